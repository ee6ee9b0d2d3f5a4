"""A run is recorded whole, and replayed it is the same run: real nodes, each in its process."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from graph_peers import PATIENCE, Ear
from graph_rollouts import trainer_ear
from rclpy.publisher import Publisher
from rosbags.rosbag2 import Reader
from safetensors.torch import load_file
from std_msgs.msg import String

from rlrobo_core.bag import BagWriter, make_message
from rlrobo_core.bag_reader import open_bag
from rlrobo_core.bag_records import rollouts
from rlrobo_core.tasks import make_task
from rlrobo_core.types import ActionBatch, ObservationBatch, PolicyUpdate
from rlrobo_policy.policy import load_policy

ENVS = {"num_envs": 4, "group_size": 2, "image_size": 56}
ITERATIONS = 2
STRING = "std_msgs/msg/String"


def training(folder: Path, name: str, **options: object) -> dict[str, object]:
    return ENVS | {
        "checkpoint": str(folder),
        "run_dir": str(folder / name),
        "iterations": ITERATIONS,
        "minutes": 0.0,
        "groups_per_iteration": 2,
        "episodes": 2,
        **options,
    }


def weights(run: Path, version: int = ITERATIONS) -> dict[str, torch.Tensor]:
    return load_file(run / f"checkpoints/{version:06d}/model.safetensors")


def updates(run: Path) -> list[dict[str, float]]:
    """Rows of the updates without what depends on the clock or on where rollouts came from."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    other = ("time/", "wall_s", "staleness/", "rollout/steps_per_s")
    return [
        {key: value for key, value in row.items() if not key.startswith(other)}
        for row in rows
        if "loss/policy" in row
    ]


def await_listener(publisher: Publisher) -> None:
    while not publisher.get_subscription_count():
        time.sleep(0.01)  # rclpy has no event for this


def test_a_recorded_run_is_whole_and_replayed_it_is_the_same_run(graph, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    load_policy("tiny", make_task("reach"), image_size=56).save(tmp_path)
    bag = tmp_path / "bag"
    recorder = graph.launch("rlrobo.bags.recorder", bag=bag)
    simulated = [
        graph.launch("rlrobo_sim", **ENVS),
        graph.launch("rlrobo_policy", image_size=56, checkpoint=tmp_path),
    ]
    train = graph.launch("rlrobo_train", **training(tmp_path, "run"))
    assert train.wait(PATIENCE) == 0
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(PATIENCE) == 0
    for process in simulated:  # they would answer the requests that are replayed
        process.kill()
        process.wait(PATIENCE)

    recorded = open_bag(bag)
    assert not recorded.damage
    records = list(rollouts(recorded, pytest.fail))
    assert not any(record.lost for record in records)
    for kind, topic in {ObservationBatch: "/observations", ActionBatch: "/actions"}.items():
        sequences = [r.record.sequence for r in records if isinstance(r.record, kind)]
        assert sequences == list(range(recorded.counts[topic]))  # from the publisher's first
    # Of a latched topic who finds the trainer late is told the newest message, and no more.
    assert 1 <= recorded.counts["/policy_update"] <= ITERATIONS + 1
    with Reader(bag) as reader:
        assert {c.topic: c.msgcount for c in reader.connections} == recorded.counts | {
            c.topic: 0 for c in reader.connections if c.topic not in recorded.counts
        }

    replayed = training(tmp_path, "replayed", train_from="topics", stall_s=5.0)
    train = graph.launch("rlrobo_train", **replayed)
    replay = graph.launch("rlrobo.bags.replayer", bag=bag, rate=0.0, train=True)
    assert (replay.wait(PATIENCE), train.wait(PATIENCE)) == (0, 0)
    read = graph.launch("rlrobo_train", **training(tmp_path, "read", train_from=str(bag)))
    assert read.wait(PATIENCE) == 0

    first, original = weights(tmp_path / "run"), updates(tmp_path / "run")
    assert len(original) == ITERATIONS
    untrained = weights(tmp_path / "run", 0)
    assert not all(torch.equal(first[name], untrained[name]) for name in first)
    for other in ("replayed", "read"):
        again = weights(tmp_path / other)
        assert all(torch.equal(first[name], again[name]) for name in first), other
        assert updates(tmp_path / other) == original, other


def test_topics_of_others_are_recorded_as_they_appear_and_replayed_in_their_time(graph, tmp_path):
    ear = graph.add(lambda **k: Ear(PolicyUpdate, says=(PolicyUpdate,), **k))
    talker = ear.create_publisher(String, "/words", 10)
    recorder = graph.launch("rlrobo.bags.recorder", bag=tmp_path / "bag")
    await_listener(talker)
    for number in range(20):
        talker.publish(String(data=str(number)))
    ear.publish(PolicyUpdate(7, "seven"))
    ear.next()
    recorder.send_signal(signal.SIGTERM)
    assert recorder.wait(PATIENCE) == 0
    recorded = open_bag(tmp_path / "bag")
    assert recorded.counts["/words"] == 20 and recorded.counts["/policy_update"] == 1

    words: list[str] = []
    ear.create_subscription(String, "/words", lambda msg: words.append(msg.data), 64)
    while ear.heard.empty():  # it may be done before it has found us
        replay = graph.launch("rlrobo.bags.replayer", bag=tmp_path / "bag", topics="/policy_update")
        assert replay.wait(PATIENCE) == 0
    assert ear.next().record == PolicyUpdate(7, "seven")
    assert not words


def test_a_recorder_of_a_namespace_leaves_other_graphs_alone(graph, tmp_path):
    ear = trainer_ear(graph)
    ours = ear.create_publisher(String, "/ours/words", 10)
    theirs = ear.create_publisher(String, "/words", 10)
    process = graph.launch("rlrobo.bags.recorder", bag=tmp_path / "bag", namespace="/ours")
    await_listener(ours)
    ours.publish(String(data="ours"))
    theirs.publish(String(data="theirs"))
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    recorded = open_bag(tmp_path / "bag")
    assert recorded.counts["/ours/words"] == 1 and "/words" not in recorded.channels


def test_what_cannot_be_replayed_is_named_and_the_rest_is_published(graph, tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for number in range(3):
            writer.write("/words", make_message(STRING, data=str(number)), 1 + number)
        writer.add_topic("/others", STRING)
        ours = writer._channels["/others"]
        writer._channels["/others"] = ours._replace(digest="RIHS01_" + 64 * "0")
        writer.write("/others", make_message(STRING, data="?"), 5)
    file = tmp_path / "bag" / "bag_0.mcap"
    file.write_bytes(file.read_bytes()[:-10])
    replay = graph.launch("rlrobo.bags.replayer", capture=True, bag=tmp_path / "bag", rate=0.0)
    out, err = replay.communicate(timeout=PATIENCE)
    said = out + err
    assert replay.returncode == 0 and "3 messages replayed" in said
    assert "/others" in said and STRING in said and "another definition" in said
    assert "cut off after 4 messages" in said
    absent = graph.launch("rlrobo.bags.replayer", capture=True, bag=tmp_path / "nothing")
    _, err = absent.communicate(timeout=PATIENCE)
    assert absent.returncode == 2 and "cannot be read as a bag" in err
