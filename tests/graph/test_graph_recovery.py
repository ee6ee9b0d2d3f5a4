"""Nodes as processes: killed in the middle of a request and started again, it goes on."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from graph_peers import PATIENCE, Ear, RandomPolicy, request
from graph_rollouts import (
    SCENE,
    assert_same_rollouts,
    hear_request,
    trainer_ear,
    without_repetitions,
    without_ros,
)

from rlrobo_core.types import ActionBatch, ObservationBatch
from rlrobo_policy.node import PolicyNode
from rlrobo_sim.node import SimNode

GROUPS = tuple(range(8))


@pytest.fixture(autouse=True)
def clean_shared_memory() -> Iterator[None]:
    """A killed participant leaves its segment in /dev/shm."""
    yield
    if tool := shutil.which("fastdds"):
        subprocess.run([tool, "shm", "clean"], capture_output=True, check=False)


def rollout_steps(batches: list[ObservationBatch]) -> Counter[tuple[int, int, int]]:
    outcomes = [batch.outcomes for batch in batches]
    return Counter(
        (int(group), int(rollout), int(step))
        for out in outcomes
        for group, rollout, step in zip(out.group_M, out.rollout_M, out.step_M, strict=True)
    )


def test_a_killed_simulation_begins_the_request_anew_and_finishes_it(graph):
    ear = trainer_ear(graph)
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    first = graph.launch("rlrobo_sim.node", **SCENE)
    asked = request(group_ids=GROUPS)
    ear.publish(asked)
    for _ in range(4):
        assert not ear.hear_batch().last
    first.kill()
    first.wait(timeout=PATIENCE)
    graph.launch("rlrobo_sim.node", **SCENE)
    received = [ear.next()]
    while not received[-1].record.last:
        received.append(ear.next())
    assert sum(r.lost for r in received) == 0  # a restart is not a gap
    restart = [n for n, r in enumerate(received) if r.record.sequence == 0][-1]
    assert_same_rollouts([r.record for r in received[restart:]], without_ros(asked))


def test_a_killed_policy_is_asked_again_and_every_step_is_taken_once(graph):
    ear = trainer_ear(graph)
    actions = graph.add(lambda **k: Ear(ActionBatch, **k))
    seen: dict[str, Any] = {"image_size": 56}
    graph.add(SimNode, **SCENE | seen, resend_s=1.0)
    first = graph.launch("rlrobo_policy.node", **seen)
    ear.publish(request(group_ids=GROUPS, min_policy_version=-1))
    for _ in range(4):
        actions.next()
    first.kill()
    first.wait(timeout=PATIENCE)
    graph.launch("rlrobo_policy.node", **seen)
    steps = rollout_steps(without_repetitions(hear_request(ear)))
    assert set(steps.values()) == {1}
    assert {group for group, _, _ in steps} == set(GROUPS)
    for group, rollout, step in steps:
        assert step == 0 or (group, rollout, step - 1) in steps


def test_sigint_ends_processes_in_the_middle_of_a_request(graph):
    ear = trainer_ear(graph)
    sim = graph.launch("rlrobo_sim.node", capture=True, **SCENE)
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    ear.publish(request(group_ids=GROUPS))
    ear.hear_batch()
    sim.send_signal(signal.SIGINT)
    _out, err = sim.communicate(timeout=PATIENCE)
    assert sim.returncode == 0
    assert "Traceback" not in err
