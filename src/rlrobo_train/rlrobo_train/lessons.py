"""What the warm start teaches: spatial questions about frames, and what an expert would do.

Shape legend: _K frames, _S questions about each.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.codec import Bins, Choices
from rlrobo_core.prompt import (
    YES_NO,
    held_question,
    left_question,
    location_question,
    offset_question,
)
from rlrobo_core.tasks import Task
from rlrobo_policy.policy import VlmPolicy
from rlrobo_policy.vlm import Vlm
from rlrobo_policy.vocabulary import NUM_LOCATION_BINS, new_token_ids, word_token_ids
from rlrobo_sim.demonstrations import Demonstrations
from rlrobo_sim.spatial import SpatialFrames
from rlrobo_train.supervised import Lesson

PLACE_LOW = np.array([0.30, -0.30, -0.05])
PLACE_HIGH = np.array([0.90, 0.30, 0.50])
"""The box in which places are told [m], base frame: bins of about 9 mm."""
OFFSET_LOW, OFFSET_HIGH = np.full(3, -0.30), np.full(3, 0.30)
"""The box in which ways are told [m]."""


def where_lesson(policy: VlmPolicy, frames: SpatialFrames) -> Lesson:
    """Where are the gripper and each thing ?"""
    names = {"gripper": ("gripper",) * len(frames)} | frames.name_N
    poses = {"gripper": frames.ee_pose_N} | frames.object_pose
    place_KS3 = np.stack([poses[it][:, :3] for it in names], axis=1)
    return Lesson(
        image_KC=frames.image_NC,
        text_KS=_by_frame([map(location_question, names[it]) for it in names]),
        answer_KSD=normalise(place_KS3, PLACE_LOW, PLACE_HIGH),
        codec=place_codec(),
        token_V=place_tokens(policy.vlm),
    )


def relation_lessons(policy: VlmPolicy, frames: SpatialFrames) -> list[Lesson]:
    """How far is the gripper from each thing; is it held; which of two is further left ? Each
    kind is one lesson, over all frames."""
    lessons = [way_lesson(policy, frames)]
    if frames.held:
        lessons.append(_held_lesson(policy.vlm, frames))
    if len(frames.name_N) > 1:
        lessons.append(_left_lesson(policy.vlm, frames))
    return lessons


def way_lesson(policy: VlmPolicy, frames: SpatialFrames) -> Lesson:
    """With what the robot measures in the prompt, where the policy is told that too."""
    measured = frames.ee_pose_N, frames.gripper_width_N
    way_KS3 = np.stack(
        [(frames.object_pose[it] - frames.ee_pose_N)[:, :3] for it in frames.name_N], axis=1
    )
    return Lesson(
        image_KC=frames.image_NC,
        text_KS=_by_frame(
            [
                policy.prompts(tuple(map(offset_question, names)), *measured)
                for names in frames.name_N.values()
            ]
        ),
        answer_KSD=normalise(way_KS3, OFFSET_LOW, OFFSET_HIGH),
        codec=place_codec(),
        token_V=place_tokens(policy.vlm),
    )


def imitation_lesson(policy: VlmPolicy, task: Task, shown: Demonstrations) -> Lesson:
    """What the expert would do, seen from where its noisy actions led, and what it would do there
    if the words named another object."""
    asked = [shown, *filter(None, [shown.otherwise])]
    measured = shown.ee_pose_N, shown.gripper_width_N
    return Lesson(
        image_KC=shown.image_NC,
        text_KS=_by_frame([policy.prompts(it.instruction_N, *measured) for it in asked]),
        answer_KSD=np.stack([it.action_ND for it in asked], axis=1),
        codec=policy.codec_of(task),
        token_V=policy.token_V.cpu(),
    )


def _by_frame(text_SK: Iterable[Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(zip(*text_SK, strict=True))


def normalise(
    value_KS3: NDArray[np.floating], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float32]:
    """f32[K, S, 3] in [-1, 1] from metres, clipped to the box."""
    return np.clip((value_KS3 - low) / (high - low) * 2.0 - 1.0, -1.0, 1.0).astype(np.float32)


def place_codec() -> Bins:
    return Bins(3, NUM_LOCATION_BINS)


def place_tokens(vlm: Vlm):
    """i64[64], the tokens that tell coordinates."""
    return new_token_ids(vlm, 0, NUM_LOCATION_BINS)


def _held_lesson(vlm: Vlm, frames: SpatialFrames) -> Lesson:
    text_KS = _by_frame([map(held_question, frames.name_N[it]) for it in frames.held])
    return _yes_or_no(vlm, frames, text_KS, np.stack(list(frames.held.values()), axis=1))


def _left_lesson(vlm: Vlm, frames: SpatialFrames) -> Lesson:
    """One pair a frame, in turn."""
    pairs = list(permutations(frames.object_pose, 2))
    asked = [(k, *pairs[k % len(pairs)]) for k in range(len(frames))]
    texts = (left_question(frames.name_N[a][k], frames.name_N[b][k]) for k, a, b in asked)
    left_K = [frames.object_pose[a][k, 1] > frames.object_pose[b][k, 1] for k, a, b in asked]
    return _yes_or_no(vlm, frames, _by_frame([texts]), np.array(left_K)[:, None])


def _yes_or_no(
    vlm: Vlm,
    frames: SpatialFrames,
    text_KS: tuple[tuple[str, ...], ...],
    yes_KS: NDArray[np.bool_],
) -> Lesson:
    return Lesson(
        image_KC=frames.image_NC,
        text_KS=text_KS,
        answer_KSD=np.where(yes_KS, YES_NO.index("yes"), YES_NO.index("no"))[..., None],
        codec=Choices(YES_NO),
        token_V=word_token_ids(vlm, YES_NO),
    )
