"""Learning from a bag is learning from the run that was recorded: real simulation, real tiny
model, without ROS but for the serialization."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("rclpy")

from rclpy.serialization import serialize_message

from rlrobo_core.bag import BagWriter, make_message
from rlrobo_core.bag_reader import open_bag
from rlrobo_core.bag_records import Recorded, rollouts
from rlrobo_core.tasks import make_task
from rlrobo_core.types import ActionBatch, ObservationBatch, RolloutRequest
from rlrobo_policy.policy import load_policy, shipped_checkpoint
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.assemble import make_conductor
from rlrobo_train.conductor import Conductor
from rlrobo_train.config import TrainConfig
from rlrobo_train.local import run_local
from rlrobo_train.metrics import read_metrics
from rlrobo_train.replayed import check_codec

TOPICS = {ObservationBatch: "/observations", ActionBatch: "/actions"}
ITERATIONS = 2


class Recording:
    """Stands between engine, policy and trainer, and writes what passes by."""

    version = 0

    def __init__(self, writer: BagWriter, engine: RolloutEngine, policy: Any) -> None:
        self.writer, self.engine, self.policy = writer, engine, policy
        self.sent: Counter[type] = Counter()

    def start(self, request: RolloutRequest) -> ObservationBatch:
        return self._write(self.engine.start(request))

    def act(self, it: Any) -> Any:
        """The simulation's answer to actions, or the policy's to observations."""
        return self._write((self.engine if isinstance(it, ActionBatch) else self.policy).act(it))

    def load_weights(self, update: Any) -> None:
        pass

    def _write(self, record: Any) -> Any:
        from rlrobo_core.ros.messages import to_msg

        kind = type(record)
        numbered = replace(record, sequence=self.sent[kind])
        cdr = serialize_message(to_msg(numbered, session=7))
        stamp = 1 + sum(self.sent.values())
        self.writer.write_bytes(TOPICS[kind], f"rlrobo_msgs/msg/{kind.__name__}", cdr, stamp)
        self.writer.flush()  # as the recorder does now and then
        self.sent[kind] += 1
        return record


def config(run_dir: Path, **options: Any) -> TrainConfig:
    values = {
        "num_envs": 8,
        "group_size": 4,
        "groups_per_iteration": 2,
        "minibatch_size": 32,
        "episodes": 2,
        "eval_every": 0,
        "minutes": 0.0,
        "iterations": ITERATIONS,
        "critic_warmup": 1,
        "run_dir": str(run_dir),
    }
    return TrainConfig(**values | options)


def watch(conductor: Conductor) -> list[Any]:
    """What its trainer is given, request by request."""
    given, update = [], conductor.trainer.update

    def noting(groups: Any, *rest: Any, **options: Any) -> Any:
        given.append((groups, *rest))
        return update(groups, *rest, **options)

    conductor.trainer.update = noting  # pyright: ignore[reportAttributeAccessIssue]
    return given


def learn(config: TrainConfig) -> tuple[Path, list[Any]]:
    """From bags: the run's directory, and what the trainer was given."""
    torch.set_num_threads(1)
    conductor = make_conductor(config)
    given = watch(conductor)
    try:
        for _ in conductor.start():
            pass
    finally:
        conductor.close()
    return conductor.run.path, given


@pytest.fixture(scope="module", params=["branch_grpo", "grpo", "ppo"])
def recorded(request, tmp_path_factory) -> tuple[Path, Path, list[Any]]:
    """A run, its bag, and what its trainer was given."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp(request.param)
    conductor = make_conductor(config(folder / "run", algorithm=request.param))
    given, policy = watch(conductor), conductor.trainer.policy
    simulator = MujocoSimulator(policy.task, 8, image_size=112, num_render_workers=0)
    try:
        with BagWriter(folder / "bags" / "one") as writer:
            engine = RolloutEngine(simulator, policy.task, conductor.config.members)
            wire = Recording(writer, engine, policy)
            run_local(conductor, wire, wire)  # pyright: ignore[reportArgumentType]
    finally:
        simulator.close()
        conductor.close()
    return folder / "run", folder / "bags" / "one", given


def assert_same(one: Any, other: Any) -> None:
    """Bit for bit, whatever the records are made of."""
    if is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, dict):
        assert_same(list(one.items()), list(other.items()))
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


def weights(run: Path, version: int = ITERATIONS) -> dict[str, torch.Tensor]:
    return load_file(run / f"checkpoints/{version:06d}/model.safetensors")


def test_a_bag_gives_the_same_batches_and_the_same_policy(recorded, tmp_path: Path) -> None:
    run, bag, given = recorded
    algorithm = run.parent.name.removesuffix("0")
    # The directory of the bags as well as a bag; the limit of the budget is the bag's end.
    again, given_again = learn(
        config(tmp_path / "again", train_from=str(bag.parent), algorithm=algorithm, iterations=9)
    )
    assert len(given) == ITERATIONS
    assert_same([g[:3] for g in given], [g[:3] for g in given_again])
    ours, theirs = weights(again), weights(run)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    untrained = weights(run, 0)
    assert not all(torch.equal(theirs[name], untrained[name]) for name in theirs)
    rows = [row for row in read_metrics(again) if "staleness/versions" in row]
    assert [row["staleness/versions"] for row in rows] == [0.0] * ITERATIONS
    asked = [row["policy/ratio_first"] for row in rows if "policy/ratio_first" in row]
    assert len(asked) == ITERATIONS - (algorithm == "ppo")  # while its critic warms up, not
    assert asked[0] == pytest.approx(1.0, abs=1e-4)
    assert json.loads((again / "summary.json").read_text())["policy/approx_kl"] >= 0.0


def test_a_bag_that_was_cut_off_trains_with_what_is_left(recorded, tmp_path: Path, capsys) -> None:
    run, bag, given = recorded
    cut = tmp_path / "cut"
    cut.mkdir()
    whole = (bag / "one_0.mcap").read_bytes()
    (cut / "one_0.mcap").write_bytes(whole[: int(0.8 * len(whole))])
    algorithm = run.parent.name.removesuffix("0")
    _, left = learn(config(tmp_path / "run", train_from=str(cut), algorithm=algorithm))
    assert 0 < len(left) <= len(given)
    kept = {group.group_id: group for groups, *_ in left for group in groups}
    known = {group.group_id: group for groups, *_ in given for group in groups}
    for name, group in kept.items():
        assert_same(group, known[name])
    assert "cut off after" in capsys.readouterr().out


@pytest.mark.parametrize("missing", [ObservationBatch, ActionBatch])
def test_a_missing_topic_is_named_with_its_type(missing: type, tmp_path: Path, capsys) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.write("/words", make_message("std_msgs/msg/String", data="hello"), 1)
        for kind in {ObservationBatch, ActionBatch} - {missing}:
            writer.write_bytes(TOPICS[kind], f"rlrobo_msgs/msg/{kind.__name__}", b"\0\1\0\0", 2)
    with pytest.raises(ValueError, match="nothing that came could train"):
        learn(config(tmp_path / "run", train_from=str(tmp_path / "bag")))
    said = capsys.readouterr().out
    assert f"no topic of type rlrobo_msgs/msg/{missing.__name__}" in said
    assert "/words (std_msgs/msg/String)" in said


@pytest.mark.parametrize(
    ("task", "codec", "said"),
    [
        ("push", "tokens", "is of task reach, this run of push: left out; set task:=reach"),
        ("reach", "words", "(rlrobo_msgs/msg/ActionBatch) say"),
    ],
)
def test_a_bag_of_another_task_or_codec_is_named_and_left_out(
    recorded, tmp_path: Path, capsys, task: str, codec: str, said: str
) -> None:
    _, bag, _ = recorded
    load_policy("tiny", make_task(task), codec).save(tmp_path)
    spaces = {"task": task, "codec": codec, "checkpoint": str(tmp_path)}
    spaces |= {"cameras": ("front",), "proprioception": "false"}
    with pytest.raises(ValueError, match="nothing that came could train"):
        learn(config(tmp_path / "run", train_from=str(bag), **spaces))
    assert said in capsys.readouterr().out


def test_a_bag_with_other_targets_than_the_codec_says_is_left_out(recorded, tmp_path) -> None:
    _, bag, _ = recorded
    policy = load_policy(str(shipped_checkpoint(["reach"])), make_task("reach"))
    records = list(rollouts(open_bag(bag), pytest.fail))
    check_codec(iter(records), policy, bag)
    moved = [
        Recorded(replace(it.record, target_M=it.record.target_M + np.float32(0.01)), 0)
        if isinstance(it.record, ActionBatch)
        else it
        for it in records
    ]
    with pytest.raises(ValueError, match="not what codec:=tokens says to task reach"):
        check_codec(iter(moved), policy, bag)


def test_what_cannot_be_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no bag and holds none"):
        make_conductor(config(tmp_path / "c", train_from=str(tmp_path)))
    with pytest.raises(ValueError, match="evaluation needs a simulation"):
        make_conductor(config(tmp_path / "d", train_from="topics", mode="eval"))
    with pytest.raises(ValueError, match="max_policy_lag"):
        make_conductor(config(tmp_path / "e", train_from="topics", max_policy_lag=1))
