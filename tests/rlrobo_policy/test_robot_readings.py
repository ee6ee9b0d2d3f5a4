"""The robot's edge of the policy: the same observation as in training, or none at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rlrobo_core.codec import TOOL_DOWN
from rlrobo_core.tasks import make_task
from rlrobo_policy.policy import load_policy, shipped_checkpoint
from rlrobo_policy.robot.readings import Readings, Stamped

NOW = 50.0
POSE = np.array([0.6, 0.1, 0.2, *TOOL_DOWN], np.float32)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def readings() -> Readings:
    return Readings(
        cameras=("front",),
        image_size=112,
        max_age=0.3,
        images={"front": Stamped(picture(112, 112), NOW)},
        ee_pose=Stamped(POSE, NOW),
        gripper_width=Stamped(0.03, NOW),
        instruction="reach the green ball",
    )


def test_a_robot_gets_the_very_targets_that_a_rollout_gets(readings: Readings) -> None:
    """One observation of a robot, and the same among several rollouts of a simulation."""
    policy = load_policy(str(shipped_checkpoint(["reach"])), make_task("reach"))
    ours = policy.act(readings.observe("reach", 1, 0, seed=0)).target_M
    alone = readings.observe("reach", 1, 0, seed=0)
    one = alone.observations
    four = replace(
        one,
        image_NC=np.concatenate([one.image_NC, one.image_NC[:, :, ::-1]]),
        ee_pose_N=np.repeat(one.ee_pose_N, 2, axis=0),
        gripper_width_N=np.repeat(one.gripper_width_N, 2),
        instruction_N=one.instruction_N * 2,
        group_N=np.array([7, 8], np.int64),
        rollout_N=np.zeros(2, np.int32),
        samples_N=np.array([2, 2], np.int32),
        step_N=np.array([3, 3], np.int32),
    )
    theirs = policy.act(replace(alone, observations=four)).target_M
    np.testing.assert_array_equal(np.repeat(ours, 2, axis=0), theirs[:2])


def test_at_a_temperature_every_step_draws_anew(readings: Readings) -> None:
    """Of one unchanged observation: what the likeliest action would repeat for ever."""
    policy = load_policy(str(shipped_checkpoint(["reach"])), make_task("reach"))
    readings.temperature = 1.0
    drawn = [policy.act(readings.observe("reach", 1, step, seed=0)).target_M for step in range(8)]
    assert len(np.unique(np.concatenate(drawn), axis=0)) > 1
    again = policy.act(readings.observe("reach", 1, 0, seed=0)).target_M
    np.testing.assert_array_equal(again, drawn[0])


def test_a_camera_of_another_shape_is_seen_as_the_policy_was_trained(readings: Readings) -> None:
    readings.images["front"] = Stamped(picture(480, 640), NOW)
    observed = readings.observe("reach", 1, 0, seed=0).observations
    assert observed.image_NC.shape == (1, 1, 112, 112, 3)
    assert observed.image_NC.dtype == np.uint8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"instruction": ""}, "no instruction"),
        ({"images": {}}, "no image of camera 'front' yet"),
        ({"images": {"front": Stamped(picture(8, 8), NOW - 0.31)}}, "newer than 0.3 s"),
        ({"images": {"front": Stamped(picture(8, 8), np.nan)}}, "newer than 0.3 s"),
        ({"cameras": ("front", "wrist")}, "'wrist' yet"),
        ({"ee_pose": None}, "no current_pose yet"),
        ({"ee_pose": Stamped(POSE, NOW - 1.0)}, "current_pose newer"),
        ({"ee_pose": Stamped(POSE * np.nan, NOW)}, "not a number"),
        ({"gripper_width": Stamped(0.03, NOW - 1.0)}, "gripper state newer"),
        ({"gripper_width": Stamped(np.nan, NOW)}, "not a number"),
    ],
)
def test_what_an_observation_lacks_is_named(readings: Readings, changes, words) -> None:
    problem = replace(readings, **changes).problem(NOW)
    assert words in problem and bool(words) == bool(problem)
