"""Push: behind the cube from above, then straight on, and wait once the cube is on the pad."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import Push, SceneState
from rlrobo_core.tasks.push import TOUCHING
from rlrobo_sim.experts.carrying import go

LOW = 0.02
"""[m], tool against the cube's middle: less, and the fingers touch its side."""
ASIDE = 0.018
"""[m], tool off the line through cube and pad: less, and it pushes on."""
BEHIND = (0.5 * TOUCHING, 0.1)
"""[m], how far behind the cube the tool pushes from."""
CLEAR = 0.04
"""[m], from further below the way than this the tool first rises, or it drags the cube along."""
NEARLY = 0.8
"""Of the pad's radius: nearer to its middle, the cube is left to come to rest."""


def push(task: Push, state: SceneState) -> NDArray[np.float64]:
    ready_N, forward_N3 = _forward(task, state)
    there_N = task.distance(state) < NEARLY * task.threshold
    move_N3 = np.where(ready_N[:, None], forward_N3, _around(task, state))
    return np.where(there_N[:, None], 0.0, move_N3)


def _forward(task: Push, state: SceneState) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether the tool is behind the cube (bool[N]), and the straight push to the pad, back
    onto the line through cube and pad (f64[N, 3])."""
    to_cube_N3 = state.object_pose["cube"][:, :3] - state.ee_pose_N[:, :3]
    ahead_N2 = task.ahead(state)[:, :2]
    left_N1 = np.linalg.norm(task.to_goal(state)[:, :2], axis=-1, keepdims=True)
    along_N1 = np.sum(to_cube_N3[:, :2] * ahead_N2, axis=-1, keepdims=True)
    aside_N2 = to_cube_N3[:, :2] - along_N1 * ahead_N2
    ready_N = (
        (along_N1[:, 0] > BEHIND[0])
        & (along_N1[:, 0] < BEHIND[1])
        & (np.linalg.norm(aside_N2, axis=-1) < ASIDE)
        & (np.abs(to_cube_N3[:, 2]) < LOW)
    )
    way_N2 = (along_N1 - TOUCHING + left_N1) * ahead_N2 + aside_N2
    way_N3 = np.column_stack([way_N2, to_cube_N3[:, 2]])
    longest_N1 = np.abs(way_N3).max(axis=-1, keepdims=True)
    return ready_N, way_N3 / np.maximum(longest_N1, task.max_step)


def _around(task: Push, state: SceneState) -> NDArray[np.float64]:
    """f64[N, 3], over everything to behind the cube."""
    move_N3 = go(task, state.ee_pose_N[:, :3], task.behind(state))
    low_N = move_N3[:, 2] * task.max_step > CLEAR
    move_N3[:, :2] = np.where(low_N[:, None], 0.0, move_N3[:, :2])
    return move_N3
