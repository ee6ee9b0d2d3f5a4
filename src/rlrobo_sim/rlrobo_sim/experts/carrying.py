"""Motions that experts share: along the detour, with and without a block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import SceneState, Task
from rlrobo_core.tasks.detour import via_height
from rlrobo_core.tasks.grasping import is_around

Array = NDArray[np.float64]

OPEN, CLOSE = 1.0, -1.0


def go(task: Task, at_N3: Array, goal_N3: Array) -> Array:
    """f64[N, 3], normalised: from `at_N3` towards the cone above `goal_N3`, or down in it."""
    via_N3 = np.column_stack([goal_N3[:, :2], via_height(at_N3, goal_N3)])
    return np.clip((via_N3 - at_N3) / task.max_step, -1.0, 1.0)


def grasp(task: Task, state: SceneState, name: str) -> Array:
    """f64[N, 4]: to the block with open fingers, and close them where they are around it."""
    move_N3 = go(task, state.ee_pose_N[:, :3], state.object_pose[name][:, :3])
    return np.column_stack([move_N3, np.where(is_around(state, name), CLOSE, OPEN)])


def carry(task: Task, state: SceneState, name: str, goal_N3: Array) -> Array:
    """f64[N, 4]: with the block between closed fingers, so that it comes to `goal_N3`."""
    move_N3 = go(task, state.object_pose[name][:, :3], goal_N3)
    return np.column_stack([move_N3, np.full(len(move_N3), CLOSE)])
