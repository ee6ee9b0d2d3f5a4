"""Reach: straight at the ball, on each axis as far as one step goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import SceneState, Task


def reach(task: Task, state: SceneState) -> NDArray[np.float64]:
    offset_N3 = state.object_pose["target"][:, :3] - state.ee_pose_N[:, :3]
    return np.clip(offset_N3 / task.max_step, -1.0, 1.0)
