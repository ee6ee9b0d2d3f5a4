"""Records to ROS messages, on the fast paths only; back again in `from_messages.py`.

A message's array field is an `array.array`: assigned as one it is a pointer. Assigning a list or
an ndarray makes rosidl check every element (16 images of 224x224: 0.1 ms against 42 and 157).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header

from rlrobo_core.from_messages import BASE_FRAME, FINGERS, Record
from rlrobo_core.image_codec import encode
from rlrobo_core.types import (
    ActionBatch,
    ObservationBatch,
    PolicyUpdate,
    RolloutRequest,
    ScoreBatch,
)
from rlrobo_msgs import msg as ros  # pyright: ignore[reportAttributeAccessIssue]

TYPECODES = {np.dtype(code): code for code in "Bhiqfd"}


def fast_array(values: NDArray[Any]) -> array[Any]:
    """The values, flat, as what a message's array field takes without looking inside."""
    filled = array(TYPECODES[values.dtype])
    # One copy, where array(typecode, values.tobytes()) makes two.
    filled.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return filled


def image_to_msg(pixels: NDArray[Any], encoding: str, header: Header | None = None) -> Image:
    """As cv_bridge's `cv2_to_imgmsg`. ValueError where the pixels are not of that encoding."""
    data = encode(pixels, encoding)
    height, width, *channels = pixels.shape
    return Image(
        header=header or Header(),
        height=height,
        width=width,
        encoding=encoding,
        step=width * math.prod(channels) * pixels.itemsize,
        data=fast_array(data),
    )


def request_to_msg(request: RolloutRequest, header: Header) -> ros.RolloutRequest:
    return ros.RolloutRequest(
        header=header,
        request_id=request.request_id,
        iteration=request.iteration,
        phase=request.phase,
        form=request.form,
        task=request.task,
        seed=request.seed,
        group_ids=array("q", request.group_ids),
        group_size=request.group_size,
        min_policy_version=request.min_policy_version,
        temperature=request.temperature,
        branch_steps=request.branch_steps,
    )


def observation_batch_to_msg(
    batch: ObservationBatch, header: Header, session: int
) -> ros.ObservationBatch:
    obs, out = batch.observations, batch.outcomes
    count, cameras, height, width, _ = obs.image_NC.shape
    return ros.ObservationBatch(
        header=header,
        session=session,
        sequence=batch.sequence,
        request=request_to_msg(batch.request, header),
        last=batch.last,
        render_s=batch.render_s,
        group=fast_array(obs.group_N),
        rollout=fast_array(obs.rollout_N),
        samples=fast_array(obs.samples_N),
        step=fast_array(obs.step_N),
        instruction=list(obs.instruction_N),
        ee_pose=fast_array(obs.ee_pose_N),
        gripper_width=fast_array(obs.gripper_width_N),
        cameras=cameras,
        image=image_to_msg(
            obs.image_NC.reshape(count * cameras * height, width, 3), "rgb8", header
        ),
        outcome_group=fast_array(out.group_M),
        outcome_rollout=fast_array(out.rollout_M),
        outcome_step=fast_array(out.step_M),
        reward=fast_array(out.reward_M),
        reward_term_names=list(out.reward_term_names),
        reward_terms=fast_array(out.reward_term_MK),
        terminated=out.terminated_M.tolist(),
        truncated=out.truncated_M.tolist(),
        success=out.success_M.tolist(),
        chosen=out.chosen_M.tolist(),
    )


def action_batch_to_msg(batch: ActionBatch, header: Header, session: int) -> ros.ActionBatch:
    return ros.ActionBatch(
        header=header,
        session=session,
        sequence=batch.sequence,
        request_id=batch.request_id,
        policy_version=batch.policy_version,
        group=fast_array(batch.group_M),
        rollout=fast_array(batch.rollout_M),
        step=fast_array(batch.step_M),
        tokens_per_action=batch.token_MT.shape[1],
        token=fast_array(batch.token_MT),
        logprob=fast_array(batch.logprob_MT),
        target_pose=[pose_to_msg(pose) for pose in batch.target_M[:, :7].tolist()],
        gripper_width=fast_array(batch.target_M[:, 7]),
    )


def score_batch_to_msg(batch: ScoreBatch, header: Header, session: int) -> ros.ScoreBatch:
    return ros.ScoreBatch(
        header=header,
        session=session,
        sequence=batch.sequence,
        request_id=batch.request_id,
        group=fast_array(batch.group_N),
        rollout=fast_array(batch.rollout_N),
        step=fast_array(batch.step_N),
        score=fast_array(batch.score_N),
    )


def pose_to_msg(pose: Sequence[float]) -> Pose:
    """[x, y, z, qx, qy, qz, qw]"""
    x, y, z, *quaternion = pose
    qx, qy, qz, qw = quaternion
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def gripper_to_msg(width: float, header: Header) -> JointState:
    """A gripper that is open by `width` [m], measured or commanded: both fingers' way."""
    return JointState(header=header, name=list(FINGERS), position=[width / 2] * 2)


def camera_info(height: int, width: int, fovy: float, header: Header) -> CameraInfo:
    """Of a pinhole camera with square pixels that sees `fovy` [rad] from top to bottom."""
    focal, cx, cy = height / 2 / math.tan(fovy / 2), width / 2, height / 2
    return CameraInfo(
        header=header,
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def update_to_msg(update: PolicyUpdate, header: Header) -> ros.PolicyUpdate:
    return ros.PolicyUpdate(header=header, version=update.version, path=update.path)


def to_msg(record: Record, stamp: Time | None = None, session: int = 0) -> Any:
    """The record's message. `session` names the publisher where messages are counted."""
    header = Header(stamp=stamp or Time(), frame_id=BASE_FRAME)
    match record:
        case RolloutRequest():
            return request_to_msg(record, header)
        case ObservationBatch():
            return observation_batch_to_msg(record, header, session)
        case ActionBatch():
            return action_batch_to_msg(record, header, session)
        case ScoreBatch():
            return score_batch_to_msg(record, header, session)
        case PolicyUpdate():
            return update_to_msg(record, header)
