"""Demonstrations to a bag that looks as if an arm's graph had been recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.bag import BagWriter
from rlrobo_core.bag_messages import (
    SECOND,
    episode_end,
    float_array,
    gripper,
    image,
    pose_stamped,
    text,
)
from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import make_task
from rlrobo_sim.datasets.origin import Origin
from rlrobo_sim.datasets.rosbag.format import (
    ACTION,
    EPISODE,
    FACT,
    GRIPPER,
    GRIPPER_TARGET,
    INSTRUCTION,
    POSE,
    TARGET,
    image_topic,
)
from rlrobo_sim.demonstrations import Demonstrations

PAUSE = SECOND
"""Between episodes [ns]."""


def write(shown: Demonstrations, origin: Origin, path: Path) -> None:
    task = make_task(origin.task, origin.variant)
    target_N8 = end_effector_target(task, shown.ee_pose_N, shown.action_ND)
    stamp_N, end_E = stamps(shown, origin.control_hz)
    last_N = np.append(shown.step_N[1:] == 0, True)
    with BagWriter(path, {FACT: origin.to_json()}) as bag:
        for row, stamp in enumerate(stamp_N.tolist()):
            if shown.step_N[row] == 0:
                bag.write(INSTRUCTION, text(shown.instruction_N[row]), stamp)
            for topic, msg in _frame(shown, row, target_N8[row], origin, stamp).items():
                bag.write(topic, msg, stamp)
            if last_N[row]:
                bag.write(EPISODE, *_end(shown, row, end_E))


def _frame(
    shown: Demonstrations, row: int, target_8: NDArray[np.float32], origin: Origin, stamp: int
) -> dict[str, Any]:
    images = {
        image_topic(camera): image(pixels, f"camera_{camera}", stamp)
        for camera, pixels in zip(origin.cameras, shown.image_NC[row], strict=True)
    }
    return images | {
        POSE: pose_stamped(shown.ee_pose_N[row], stamp),
        GRIPPER: gripper(float(shown.gripper_width_N[row]), stamp),
        ACTION: float_array(shown.action_ND[row], origin.action_dims),
        TARGET: pose_stamped(target_8[:7], stamp),
        GRIPPER_TARGET: gripper(float(target_8[7]), stamp),
    }


def _end(shown: Demonstrations, row: int, end_E: NDArray[np.int64]) -> tuple[Any, int]:
    """The message of an episode's end, and its stamp [ns]."""
    episode = int(shown.episode_N[row])
    success, end = bool(shown.success_E[episode]), int(end_E[episode])
    return episode_end(shown.instruction_N[row], success, int(shown.step_N[row]) + 1, end), end


def stamps(shown: Demonstrations, control_hz: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """i64[N] of the frames and i64[E] of the episodes' ends [ns], simulated time from 1 s on
    (0 means "no stamp" in ROS)."""
    length_E = np.bincount(shown.episode_N, minlength=len(shown.success_E))
    duration_E = np.rint(length_E * SECOND / control_hz).astype(np.int64)
    end_E = SECOND + np.cumsum(duration_E) + PAUSE * np.arange(len(length_E))
    start_N = (end_E - duration_E)[shown.episode_N]
    offset_N = np.rint(shown.step_N.astype(np.float64) * SECOND / control_hz).astype(np.int64)
    return start_N + offset_N, end_E
