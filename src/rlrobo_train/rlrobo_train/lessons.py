"""What the warm start teaches: spatial questions about frames, and what an expert would do.

Shape legend: _N examples of a lesson, _K frames.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def seeing_lessons(policy: VlmPolicy, frames: SpatialFrames) -> list[Lesson]:
    """Where are the gripper and each thing; how far is the gripper from it; is it held; which
    of two is further left. Each kind is one lesson, over all frames."""
    lessons = [where_lesson(policy, frames), way_lesson(policy, frames)]
    pairs = list(permutations(frames.object_pose, 2))
    if frames.held:
        lessons.append(_yes_or_no(policy.vlm, frames, _held(frames)))
    if pairs:
        lessons.append(_yes_or_no(policy.vlm, frames, _left(frames, pairs)))
    return lessons


def where_lesson(policy: VlmPolicy, frames: SpatialFrames) -> Lesson:
    count = len(frames)
    names = {"gripper": ("gripper",) * count} | frames.name_N
    poses = {"gripper": frames.ee_pose_N} | frames.object_pose
    return Lesson(
        image_KC=frames.image_NC,
        image_of_N=np.tile(np.arange(count), len(names)),
        text_N=tuple(location_question(name) for it in names for name in names[it]),
        answer_ND=normalise(
            np.concatenate([poses[it][:, :3] for it in names]), PLACE_LOW, PLACE_HIGH
        ),
        codec=place_codec(),
        token_V=place_tokens(policy.vlm),
    )


def way_lesson(policy: VlmPolicy, frames: SpatialFrames) -> Lesson:
    """With what the robot measures in the prompt, where the policy is told that too."""
    texts = [
        policy.prompts(tuple(map(offset_question, names)), frames.ee_pose_N, frames.gripper_width_N)
        for names in frames.name_N.values()
    ]
    way_N3 = [(frames.object_pose[it] - frames.ee_pose_N)[:, :3] for it in frames.name_N]
    return Lesson(
        image_KC=frames.image_NC,
        image_of_N=np.tile(np.arange(len(frames)), len(frames.name_N)),
        text_N=tuple(text for of_thing in texts for text in of_thing),
        answer_ND=normalise(np.concatenate(way_N3), OFFSET_LOW, OFFSET_HIGH),
        codec=place_codec(),
        token_V=place_tokens(policy.vlm),
    )


def imitation_lesson(policy: VlmPolicy, task: Task, shown: Demonstrations) -> Lesson:
    """What the expert would do, seen from where its noisy actions led."""
    return Lesson(
        image_KC=shown.image_NC,
        image_of_N=np.arange(len(shown)),
        text_N=policy.prompts(shown.instruction_N, shown.ee_pose_N, shown.gripper_width_N),
        answer_ND=shown.action_ND,
        codec=policy.codec_of(task),
        token_V=policy.token_V.cpu(),
    )


def normalise(
    value_N3: NDArray[np.floating], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float32]:
    """f32[N, 3] in [-1, 1] from metres, clipped to the box."""
    return np.clip((value_N3 - low) / (high - low) * 2.0 - 1.0, -1.0, 1.0).astype(np.float32)


def place_codec() -> Bins:
    return Bins(3, NUM_LOCATION_BINS)


def place_tokens(vlm: Vlm):
    """i64[64], the tokens that tell coordinates."""
    return new_token_ids(vlm, 0, NUM_LOCATION_BINS)


Asked = tuple[int, str, bool]
"""Frame, question, whether the answer is yes."""


def _held(frames: SpatialFrames) -> Iterator[Asked]:
    for it, held_K in frames.held.items():
        for k, (name, held) in enumerate(zip(frames.name_N[it], held_K.tolist(), strict=True)):
            yield k, held_question(name), held


def _left(frames: SpatialFrames, pairs: list[tuple[str, str]]) -> Iterator[Asked]:
    """One pair a frame, in turn."""
    for k in range(len(frames)):
        one, other = pairs[k % len(pairs)]
        left = frames.object_pose[one][k, 1] > frames.object_pose[other][k, 1]
        yield k, left_question(frames.name_N[one][k], frames.name_N[other][k]), bool(left)


def _yes_or_no(vlm: Vlm, frames: SpatialFrames, asked: Iterator[Asked]) -> Lesson:
    frame_N, text_N, yes_N = zip(*asked, strict=True)
    return Lesson(
        image_KC=frames.image_NC,
        image_of_N=np.array(frame_N, np.int64),
        text_N=text_N,
        answer_ND=np.where(yes_N, YES_NO.index("yes"), YES_NO.index("no"))[:, None],
        codec=Choices(YES_NO),
        token_V=word_token_ids(vlm, YES_NO),
    )
