"""Requests as the tests hear them, and the same without ROS."""

from __future__ import annotations

import itertools

import numpy as np
from graph_peers import Ear, RandomPolicy

from rlrobo_core.tasks import make_task
from rlrobo_core.types import ObservationBatch, PolicyUpdate, RolloutRequest
from rlrobo_sim.mujoco import MujocoSimulator
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


def same_ids(one: ObservationBatch, other: ObservationBatch) -> bool:
    a, b = one.observations, other.observations
    return (
        not other.last
        and np.array_equal(a.group_N, b.group_N)
        and np.array_equal(a.step_N, b.step_N)
    )


def without_repetitions(batches: list[ObservationBatch]) -> list[ObservationBatch]:
    """But for those that were sent again."""
    return batches[:1] + [b for a, b in itertools.pairwise(batches) if not same_ids(a, b)]
