"""Stack: to the cube from above, with it onto the base from above, then let go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import SceneState, Stack
from rlrobo_sim.experts.carrying import OPEN, carry, grasp

OVER = 0.016
"""[m], cube against base on each axis: so far off, a cube may be let go."""


def stack(task: Stack, state: SceneState) -> NDArray[np.float64]:
    goal_N3 = task.goal(state)
    aside_N2 = state.object_pose["cube"][:, :2] - goal_N3[:, :2]
    put_N = task.placed(state) & (np.abs(aside_N2).max(axis=-1) < OVER)
    let_go_N4 = np.tile([0.0, 0.0, 0.0, OPEN], (len(put_N), 1))
    moves_N4 = np.where(
        task.gripped(state)[:, None],
        carry(task, state, "cube", goal_N3),
        grasp(task, state, "cube"),
    )
    return np.where(put_N[:, None], let_go_N4, moves_N4)
