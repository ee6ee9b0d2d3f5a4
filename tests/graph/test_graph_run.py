"""A whole run of three processes that are killed in turn, interrupted, and resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from graph_peers import PATIENCE, Ear

from rlrobo_core.tasks import make_task
from rlrobo_core.types import PolicyUpdate
from rlrobo_policy.policy import load_policy

ENVS = {"num_envs": 4, "group_size": 2, "image_size": 56}
ITERATIONS = 6


def updates(run: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "loss/policy" in row]


def wait_for_version(ear: Ear, version: int) -> None:
    while ear.next().record.version < version:
        pass


def test_a_run_survives_the_death_of_each_node_and_goes_on_after_an_interrupt(graph, tmp_path):
    load_policy("tiny", make_task("reach"), image_size=56).save(tmp_path)
    run = tmp_path / "run"
    ear = graph.add(lambda **k: Ear(PolicyUpdate, **k))
    sim = graph.launch("rlrobo_sim", **ENVS)
    policy = graph.launch("rlrobo_policy", image_size=56, checkpoint=tmp_path)
    training = ENVS | {
        "checkpoint": str(tmp_path),
        "run_dir": str(run),
        "iterations": ITERATIONS,
        "groups_per_iteration": 2,
        "episodes": 2,
    }
    train = graph.launch("rlrobo_train", **training)

    wait_for_version(ear, 1)
    sim.kill()
    sim.wait(PATIENCE)
    sim = graph.launch("rlrobo_sim", **ENVS)
    wait_for_version(ear, 2)
    policy.kill()
    policy.wait(PATIENCE)
    policy = graph.launch("rlrobo_policy", image_size=56, checkpoint=tmp_path)
    wait_for_version(ear, 4)
    train.send_signal(signal.SIGINT)
    assert train.wait(PATIENCE) == 0
    for node in (sim, policy):
        node.send_signal(signal.SIGINT)
        assert node.wait(PATIENCE) == 0

    graph.launch("rlrobo_sim", resume=str(run))
    graph.launch("rlrobo_policy", resume=str(run))
    train = graph.launch("rlrobo_train", resume=str(run), iterations=ITERATIONS)
    assert train.wait(PATIENCE) == 0
    assert [row["iteration"] for row in updates(run)] == list(range(1, ITERATIONS + 1))
    assert all(row["graph/messages_lost"] == 0 for row in updates(run))
    assert all(row["graph/groups_dropped"] == 0 for row in updates(run))
    assert json.loads((run / "summary.json").read_text())["iterations"] == ITERATIONS


@pytest.mark.parametrize("task", ["reach", "drawer"])
def test_the_launch_file_trains_from_what_ships(domain, tmp_path, task):
    """As the README's first command does, but for a minute less; Reach has a warm start of its
    own."""
    run = tmp_path / "run"
    command = [sys.executable, "-P", "-m", "rlrobo.command", "launch", "sim_train.launch.py"]
    command += [f"task:={task}", f"run_dir:={run}", "iterations:=1", "episodes:=4"]
    done = subprocess.run([*command, "num_envs:=8"], timeout=3 * PATIENCE)
    assert done.returncode == 0
    assert [row["iteration"] for row in updates(run)] == [1]
    assert json.loads((run / "summary.json").read_text())["iterations"] == 1
