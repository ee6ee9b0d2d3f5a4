"""Drawer: over the handle, down around its bar, then pull; the fingers close while they pull.

Which of the three it is follows from where the tool is to the handle, with room on every side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import SceneState, Task
from rlrobo_core.tasks.base import closed
from rlrobo_core.tasks.drawer import grasp_offset, pull_direction

HOVER = np.array([0.0, 0.0, 0.06])
"""From the place of the grasp to where the open fingers pass over the handle [m]."""
SAFE_HEIGHT = 0.03
"""Lower than this over the grasp, the fingers could push the handle: straight up first [m]."""
COLUMN = (0.022, 0.03)
"""Within which the fingers may go down: along the drawer and across [m]. The bar, 8 cm long and
1.4 cm thick, may be 3.3 cm off the middle of the open fingers, which are 2 cm wide."""
HOLDING = (0.035, 0.04)
"""Likewise, within which the low fingers have the bar between them."""
HOLDING_HEIGHT = 0.012
"""Higher than this over the grasp they do not yet."""


def drawer(task: Task, state: SceneState) -> NDArray[np.float64]:
    offset_N3 = grasp_offset(state)
    pull_N3 = pull_direction(state.object_pose[closed("drawer")])
    above_N = -offset_N3[:, 2]
    over_N = _within(COLUMN, offset_N3, pull_N3)
    holding_N = _within(HOLDING, offset_N3, pull_N3) & (above_N < HOLDING_HEIGHT)

    hover_N3 = offset_N3 + HOVER
    hover_N3[above_N < SAFE_HEIGHT, :2] = 0.0
    move_N3 = np.where(over_N[:, None], offset_N3, hover_N3)
    along_N1 = np.sum(offset_N3 * pull_N3, axis=1, keepdims=True)
    pulling_N3 = offset_N3 + (task.max_step - along_N1) * pull_N3
    move_N3 = np.where(holding_N[:, None], pulling_N3, move_N3)
    gripper_N = np.where(holding_N, -1.0, 1.0)
    return np.column_stack([np.clip(move_N3 / task.max_step, -1.0, 1.0), gripper_N])


def _within(
    room: tuple[float, float], offset_N3: NDArray[np.float64], pull_N3: NDArray[np.float64]
) -> NDArray[np.bool_]:
    along_N = np.abs(np.sum(offset_N3 * pull_N3, axis=1))
    across_N = np.abs(offset_N3[:, 0] * pull_N3[:, 1] - offset_N3[:, 1] * pull_N3[:, 0])
    return (along_N < room[0]) & (across_N < room[1])
