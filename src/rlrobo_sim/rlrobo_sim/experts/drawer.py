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
COLUMN = 0.026
"""How far off the bar, along the drawer, the open fingers may go down [m]; to be around the bar,
1.4 cm thick, they may be 3.3 cm off."""
ACROSS = 0.04
"""Likewise across: the bar is 8 cm long and the fingers are 2 cm wide [m]."""
SLACK = 0.02
"""The bar counts as held this far beyond half the width between the fingers [m]: pulled, they
give way."""
HOLDING_HEIGHT = 0.02
"""Higher than this over the grasp they do not hold it yet [m]."""


def drawer(task: Task, state: SceneState) -> NDArray[np.float64]:
    offset_N3 = grasp_offset(state)
    pull_N3 = pull_direction(state.object_pose[closed("drawer")])
    above_N = -offset_N3[:, 2]
    along_N = np.sum(offset_N3 * pull_N3, axis=1)
    across_N = offset_N3[:, 0] * pull_N3[:, 1] - offset_N3[:, 1] * pull_N3[:, 0]
    beside_N = np.abs(across_N) > ACROSS
    over_N = (np.abs(along_N) < COLUMN) & ~beside_N
    between_N = np.abs(along_N) < state.gripper_width_N / 2 + SLACK
    holding_N = between_N & ~beside_N & (above_N < HOLDING_HEIGHT)

    hover_N3 = offset_N3 + HOVER
    hover_N3[above_N < SAFE_HEIGHT, :2] = 0.0
    pulling_N3 = offset_N3 + (task.max_step - along_N)[:, None] * pull_N3
    move_N3 = np.where(over_N[:, None], offset_N3, hover_N3)
    move_N3 = np.where(holding_N[:, None], pulling_N3, move_N3)
    gripper_N = np.where(holding_N, -1.0, 1.0)
    return np.column_stack([np.clip(move_N3 / task.max_step, -1.0, 1.0), gripper_N])
