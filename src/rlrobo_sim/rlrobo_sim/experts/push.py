"""Push: behind the cube from above, then straight on; back up when the cube slips aside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import SceneState, Task
from rlrobo_sim.experts.carrying import go

LOW = 0.02
"""[m], tool against the cube's middle: less, and the fingers touch its side."""
ASIDE = 0.018
"""[m], tool off the line through cube and pad: less, and it pushes on."""
STEER = 1.0
"""Of that offset, how much each step takes back."""
CONTACT = 0.03
"""[m], middle of the cube to the tool that touches it."""


def push(task: Task, state: SceneState) -> NDArray[np.float64]:
    tool_N3, cube_N3 = state.ee_pose_N[:, :3], state.object_pose["cube"][:, :3]
    to_goal_N2 = task.to_goal(state)[:, :2]
    left_N1 = np.linalg.norm(to_goal_N2, axis=-1, keepdims=True)
    ahead_N2 = to_goal_N2 / np.maximum(left_N1, 1e-6)
    to_cube_N2 = (cube_N3 - tool_N3)[:, :2]
    along_N1 = np.sum(to_cube_N2 * ahead_N2, axis=-1, keepdims=True)
    aside_N2 = to_cube_N2 - along_N1 * ahead_N2
    step_N2 = (along_N1 - CONTACT + left_N1) * ahead_N2 + STEER * aside_N2
    pushing_N3 = np.column_stack([step_N2, (cube_N3 - tool_N3)[:, 2]])
    longest_N1 = np.maximum(np.abs(pushing_N3).max(axis=-1, keepdims=True), task.max_step)
    ready_N = (
        (along_N1[:, 0] > 0.5 * CONTACT)
        & (along_N1[:, 0] < 0.1)
        & (np.linalg.norm(aside_N2, axis=-1) < ASIDE)
        & (np.abs(cube_N3 - tool_N3)[:, 2] < LOW)
    )
    return np.where(
        ready_N[:, None], pushing_N3 / longest_N1, go(task, tool_N3, task.behind(state))
    )
