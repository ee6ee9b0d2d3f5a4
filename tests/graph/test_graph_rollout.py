"""Rollouts through the graph: the same, bit for bit, as in one process without ROS."""

from dataclasses import dataclass

import numpy as np
import pytest
from graph_peers import PATIENCE, Ear, LossyWire, RandomPolicy, request
from graph_rollouts import (
    SCENE,
    assert_same_rollouts,
    hear_request,
    trainer_ear,
    without_repetitions,
    without_ros,
)

from rlrobo_core.tasks import TASKS, Reach
from rlrobo_core.types import ActionBatch, ObservationBatch, PolicyUpdate
from rlrobo_policy.node import PolicyNode
from rlrobo_sim.node import SimNode


@dataclass(frozen=True)
class ReachAbove(Reach):
    name: str = "above"
    instructions: tuple[str, ...] = ("hold above the green ball",)


@pytest.mark.parametrize("form", ["trajectory", "branch"])
def test_a_request_runs_to_its_end_exactly_as_without_ros(graph, form):
    ear = trainer_ear(graph)
    graph.add(SimNode, **SCENE)
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    graph.settle()
    asked = request(form=form)
    ear.publish(asked)
    batches = hear_request(ear)
    assert {int(g) for batch in batches for g in batch.outcomes.group_M} == set(asked.group_ids)
    assert_same_rollouts(batches, without_ros(asked))


def test_one_simulation_serves_several_tasks_and_their_shifts(graph, monkeypatch):
    monkeypatch.setitem(TASKS, "above", ReachAbove)
    ear = trainer_ear(graph)
    graph.add(SimNode, **SCENE, task="reach,above")
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    graph.settle()
    words = {}
    for number, task in enumerate(("reach", "above", "above+lights", "reach"), start=1):
        ear.publish(request(number, task=task, group_ids=(0,)))
        batches = hear_request(ear)
        assert {batch.request.task for batch in batches} == {task}
        words[number] = batches[0].observations.instruction_N
        if task == "reach":
            assert_same_rollouts(batches, without_ros(batches[0].request))
    assert words[1] == words[4] != words[2] == words[3]


def test_a_late_simulation_is_told_the_request_and_a_newer_one_replaces_it(graph):
    ear = trainer_ear(graph)
    ear.publish(request(1))
    graph.add(SimNode, **SCENE)  # and no policy: the first request cannot get on
    assert ear.hear_batch().request.request_id == 1
    ear.publish(request(2, group_ids=(7,)))
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    second = [batch for batch in hear_request(ear) if batch.request.request_id == 2]
    assert second[-1].last
    assert {int(g) for batch in second for g in batch.outcomes.group_M} == {7}


def test_a_listener_that_finds_the_others_late_is_told_what_they_said_meanwhile(graph):
    ear = trainer_ear(graph)
    graph.add(SimNode, **SCENE)
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    graph.settle()
    ear.publish(request(group_ids=(0,)))
    answers = len(hear_request(ear)) - 1
    late = graph.add(lambda **k: Ear(ActionBatch, **k))
    received = [late.next() for _ in range(answers)]
    assert [r.record.sequence for r in received] == list(range(answers))
    assert not any(r.lost for r in received)


def test_observations_are_held_until_the_policy_is_new_enough(graph):
    ear = trainer_ear(graph)
    actions = graph.add(lambda **k: Ear(ActionBatch, **k))
    policy = RandomPolicy()
    graph.add(lambda **k: PolicyNode(policy, **k))
    graph.add(SimNode, **SCENE)
    graph.settle()
    ear.publish(request(min_policy_version=2))
    ear.hear_batch()
    ear.publish(PolicyUpdate(1, "one"))
    policy.offered.get(timeout=PATIENCE)
    ear.publish(PolicyUpdate(2, "two"))
    assert actions.next().record.policy_version == 2


def test_a_corrupt_update_leaves_the_old_version_at_work_and_says_so(graph):
    ear = trainer_ear(graph)
    actions = graph.add(lambda **k: Ear(ActionBatch, **k))
    node = graph.add(lambda **k: PolicyNode(RandomPolicy(version=4), **k))
    graph.add(SimNode, **SCENE)
    graph.settle()
    ear.publish(PolicyUpdate(5, "corrupt.safetensors"))
    ear.publish(request(min_policy_version=4))
    assert actions.next().record.policy_version == 4
    hear_request(ear)
    assert "corrupt.safetensors" in node.last_error
    assert node.facts["refused_updates"] == 1


def test_what_is_lost_on_the_way_to_the_policy_is_sent_again(graph):
    ear = trainer_ear(graph)
    graph.add(SimNode, **SCENE, resend_s=0.5)
    graph.wire(lambda **k: LossyWire(ObservationBatch, "observations", "seen", {3}, **k))
    policy = RandomPolicy()
    graph.add(lambda **k: PolicyNode(policy, **k), remap={"observations": "seen"})
    graph.settle()
    asked = request(group_ids=(0,))
    ear.publish(asked)
    batches = hear_request(ear)
    assert len(without_repetitions(batches)) == len(batches) - 1
    assert_same_rollouts(without_repetitions(batches), without_ros(asked))


def test_what_is_lost_on_the_way_to_the_simulation_is_answered_alike(graph):
    ear = trainer_ear(graph)
    actions = graph.add(lambda **k: Ear(ActionBatch, **k))
    graph.add(SimNode, **SCENE, resend_s=0.5, remap={"actions": "obeyed"})
    graph.wire(lambda **k: LossyWire(ActionBatch, "actions", "obeyed", {2}, **k))
    policy = RandomPolicy()
    graph.add(lambda **k: PolicyNode(policy, **k))
    graph.settle()
    ear.publish(request(group_ids=(0,)))
    batches = hear_request(ear)
    answers = [actions.next().record for _ in range(len(batches) - 1)]
    np.testing.assert_array_equal(answers[2].target_M, answers[3].target_M)
    np.testing.assert_array_equal(answers[2].step_M, answers[3].step_M)
    assert policy.calls == len(answers) - 1


def test_what_is_lost_on_the_way_to_the_trainer_is_counted(graph):
    ear = trainer_ear(graph, remap={"observations": "heard"})
    graph.wire(lambda **k: LossyWire(ObservationBatch, "observations", "heard", {2, 3, 6}, **k))
    graph.add(SimNode, **SCENE)
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    graph.settle()
    ear.publish(request(group_ids=(0,)))
    received = [ear.next()]
    while not received[-1].record.last:
        received.append(ear.next())
    assert {r.record.sequence: r.lost for r in received if r.lost} == {4: 2, 7: 1}
