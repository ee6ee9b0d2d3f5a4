"""Rollouts through the graph: the same, bit for bit, as in one process without ROS."""

import itertools

import numpy as np
import pytest
from graph_peers import PATIENCE, Ear, LossyWire, RandomPolicy, request

from rlrobo_core.tasks import make_task
from rlrobo_core.types import ActionBatch, ObservationBatch, PolicyUpdate, RolloutRequest
from rlrobo_policy.node import PolicyNode
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.node import SimNode
from rlrobo_sim.rollout import RolloutEngine

SCENE = {"num_envs": 4, "group_size": 2, "image_size": 32}


def trainer_ear(graph, **kwargs) -> Ear:
    return graph.add(
        lambda **k: Ear(ObservationBatch, says=(RolloutRequest, PolicyUpdate), **k), **kwargs
    )


def hear_request(ear: Ear) -> list[ObservationBatch]:
    batches = [ear.hear_batch()]
    while not batches[-1].last:
        batches.append(ear.hear_batch())
    return batches


def without_ros(asked: RolloutRequest) -> list[ObservationBatch]:
    task, policy = make_task("reach"), RandomPolicy()
    simulator = MujocoSimulator(task, SCENE["num_envs"], SCENE["image_size"])
    try:
        engine = RolloutEngine(simulator, task, asked.group_size)
        batches = [engine.start(asked)]
        while not batches[-1].last:
            batches.append(engine.act(policy.act(batches[-1])))
        return batches
    finally:
        simulator.close()


def assert_same_rollouts(ours: list[ObservationBatch], others: list[ObservationBatch]) -> None:
    assert len(ours) == len(others)
    for one, other in zip(ours, others, strict=True):
        for name in ("group_M", "rollout_M", "step_M", "reward_M", "success_M", "truncated_M"):
            np.testing.assert_array_equal(
                getattr(one.outcomes, name), getattr(other.outcomes, name), name
            )
        for name in ("group_N", "rollout_N", "samples_N", "step_N", "ee_pose_N"):
            np.testing.assert_array_equal(
                getattr(one.observations, name), getattr(other.observations, name), name
            )
        if not one.last:
            np.testing.assert_array_equal(one.observations.image_NC, other.observations.image_NC)


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
    again = [a for a, b in itertools.pairwise(batches) if same_ids(a, b)]
    assert len(again) == 1
    assert_same_rollouts([b for b in batches if b is not again[0]], without_ros(asked))


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


def same_ids(one: ObservationBatch, other: ObservationBatch) -> bool:
    a, b = one.observations, other.observations
    return (
        not other.last
        and np.array_equal(a.group_N, b.group_N)
        and np.array_equal(a.step_N, b.step_N)
    )
