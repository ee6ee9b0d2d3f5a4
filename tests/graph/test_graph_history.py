"""A policy node that is killed in the middle of its episodes forgets them: they are dropped by
name, and of all others the trainer reads what the policy read."""

from __future__ import annotations

import json

import pytest
from graph_peers import PATIENCE, Ear

from rlrobo_core.tasks import make_task
from rlrobo_core.types import ObservationBatch
from rlrobo_policy.policy import load_policy

ENVS = {"num_envs": 4, "group_size": 2, "image_size": 56}
TWO_AT_ONCE = 2


def wait_for_step(ear: Ear, iteration: int, step: int) -> None:
    """Of an iteration's rollouts, that a group of them has come so far."""
    while True:
        batch = ear.hear_batch()
        training = (batch.request.phase, batch.request.iteration) == ("train", iteration)
        if training and (batch.observations.step_N >= step).any():
            return


def test_what_a_killed_policy_had_begun_is_dropped_and_nothing_else_trains(graph, tmp_path):
    load_policy("tiny", make_task("reach"), image_size=56).save(tmp_path)
    run = tmp_path / "run"
    acting = {"image_size": 56, "checkpoint": tmp_path, "history": 1}
    ear = graph.add(lambda **k: Ear(ObservationBatch, **k))
    graph.launch("rlrobo_sim", **ENVS)
    policy = graph.launch("rlrobo_policy", **acting)
    training = ENVS | acting | {"run_dir": run, "iterations": 2, "groups_per_iteration": 4}
    train = graph.launch("rlrobo_train", **training, episodes=1)

    wait_for_step(ear, iteration=0, step=3)
    policy.kill()
    policy.wait(PATIENCE)
    graph.launch("rlrobo_policy", **acting)
    assert train.wait(PATIENCE) == 0

    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "loss/policy" in row]
    assert [row["policy/ratio_first"] for row in rows] == pytest.approx([1.0] * 2, abs=1e-4)
    dropped = [row["graph/groups_dropped"] for row in rows]
    assert 1 <= dropped[0] <= TWO_AT_ONCE
    assert dropped[1] == 0
