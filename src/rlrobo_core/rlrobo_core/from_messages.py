"""Messages to records, whoever deserialized them: rclpy, or `rosbags` on a machine without ROS.

The records' arrays are views of the message's.
"""

from __future__ import annotations

import math
from array import array
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.image_codec import decode
from rlrobo_core.types import (
    ActionBatch,
    Form,
    ObservationBatch,
    Observations,
    Outcomes,
    Phase,
    PolicyUpdate,
    RolloutRequest,
    ScoreBatch,
)

BASE_FRAME = "base"
"""All poses are in the robot's base frame."""
FINGERS = ("finger_joint1", "finger_joint2")

Record = RolloutRequest | ObservationBatch | ActionBatch | ScoreBatch | PolicyUpdate


def view(values: array[Any] | NDArray[Any], *shape: int) -> NDArray[Any]:
    """A message's array field (of rclpy an array.array) as an ndarray on the same memory."""
    return np.asarray(values).reshape(shape or -1)


def image_from_msg(msg: Any, desired: str = "passthrough") -> NDArray[Any]:
    """As cv_bridge's `imgmsg_to_cv2`. ValueError where encoding and size contradict."""
    return decode(
        msg.data, msg.height, msg.width, msg.encoding, msg.step, bool(msg.is_bigendian), desired
    )


def request_from_msg(msg: Any) -> RolloutRequest:
    return RolloutRequest(
        request_id=msg.request_id,
        iteration=msg.iteration,
        phase=cast(Phase, msg.phase),
        form=cast(Form, msg.form),
        task=msg.task,
        seed=msg.seed,
        group_ids=tuple(msg.group_ids.tolist()),
        group_size=msg.group_size,
        min_policy_version=msg.min_policy_version,
        temperature=msg.temperature,
        branch_steps=msg.branch_steps,
    )


def observation_batch_from_msg(msg: Any) -> ObservationBatch:
    return ObservationBatch(
        sequence=msg.sequence,
        request=request_from_msg(msg.request),
        observations=Observations(
            image_NC=_tiles(msg),
            ee_pose_N=view(msg.ee_pose, -1, 7),
            gripper_width_N=view(msg.gripper_width),
            instruction_N=tuple(msg.instruction),
            group_N=view(msg.group),
            rollout_N=view(msg.rollout),
            samples_N=view(msg.samples),
            step_N=view(msg.step),
        ),
        outcomes=Outcomes(
            group_M=view(msg.outcome_group),
            rollout_M=view(msg.outcome_rollout),
            step_M=view(msg.outcome_step),
            reward_M=view(msg.reward),
            reward_term_names=tuple(msg.reward_term_names),
            reward_term_MK=view(msg.reward_terms, len(msg.reward), len(msg.reward_term_names)),
            terminated_M=np.array(msg.terminated, np.bool_),
            truncated_M=np.array(msg.truncated, np.bool_),
            success_M=np.array(msg.success, np.bool_),
            chosen_M=np.array(msg.chosen, np.bool_),
        ),
        last=msg.last,
        render_s=msg.render_s,
    )


def _tiles(msg: Any) -> NDArray[np.uint8]:
    """u8[N, C, H, W, 3]; the height is 0 where nothing was observed (N = 0)."""
    count, tiles = len(msg.group), len(msg.group) * msg.cameras
    if tiles and msg.image.height % tiles:
        raise ValueError(
            f"an image of {msg.image.height} rows cannot hold {count} observations of "
            f"{msg.cameras} cameras, one tile below the other"
        )
    height = msg.image.height // tiles if tiles else 0
    pixels = image_from_msg(msg.image, "rgb8")
    return pixels.reshape(count, msg.cameras, height, msg.image.width, 3)


def action_batch_from_msg(msg: Any) -> ActionBatch:
    count, tokens = len(msg.group), msg.tokens_per_action
    target_M = np.empty((count, 8), np.float32)
    target_M[:, :7] = np.array([pose_from_msg(pose) for pose in msg.target_pose]).reshape(-1, 7)
    target_M[:, 7] = msg.gripper_width
    return ActionBatch(
        sequence=msg.sequence,
        request_id=msg.request_id,
        policy_version=msg.policy_version,
        group_M=view(msg.group),
        rollout_M=view(msg.rollout),
        step_M=view(msg.step),
        token_MT=view(msg.token, count, tokens),
        logprob_MT=view(msg.logprob, count, tokens),
        target_M=target_M,
    )


def score_batch_from_msg(msg: Any) -> ScoreBatch:
    return ScoreBatch(
        sequence=msg.sequence,
        request_id=msg.request_id,
        group_N=view(msg.group),
        rollout_N=view(msg.rollout),
        step_N=view(msg.step),
        score_N=view(msg.score),
    )


def pose_from_msg(pose: Any) -> tuple[float, ...]:
    """[x, y, z, qx, qy, qz, qw]"""
    p, q = pose.position, pose.orientation
    return (p.x, p.y, p.z, q.x, q.y, q.z, q.w)


def gripper_from_msg(msg: Any) -> float:
    """How far the gripper is open [m], whatever its joints are called. NaN without joints."""
    return math.fsum(msg.position) if len(msg.position) else math.nan


def seconds(stamp: Any) -> float:
    return stamp.sec + stamp.nanosec * 1e-9


def nanoseconds(stamp: Any) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


def update_from_msg(msg: Any) -> PolicyUpdate:
    return PolicyUpdate(version=msg.version, path=msg.path)


READERS = {
    "RolloutRequest": request_from_msg,
    "ObservationBatch": observation_batch_from_msg,
    "ActionBatch": action_batch_from_msg,
    "ScoreBatch": score_batch_from_msg,
    "PolicyUpdate": update_from_msg,
}
"""By the name of the message's type."""


def from_msg(msg: Any) -> Record:
    """The message's record. ValueError where the parts of the message contradict each other."""
    name = type(msg).__name__.rpartition("__")[2]  # rosbags: rlrobo_msgs__msg__ActionBatch
    if name not in READERS:
        raise TypeError(f"{name} carries no record of rlrobo")
    return READERS[name](msg)
