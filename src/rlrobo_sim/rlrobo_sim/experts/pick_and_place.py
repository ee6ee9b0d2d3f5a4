"""Pick and Place: to the cube from above, then with it to the goal from above."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import PickAndPlace, SceneState
from rlrobo_core.tasks.grasping import is_gripped
from rlrobo_sim.experts.carrying import carry, grasp


def pick_and_place(task: PickAndPlace, state: SceneState) -> NDArray[np.float64]:
    goal_N3 = state.object_pose["target"][:, :3]
    gripped_N = is_gripped(state, "cube", task.cube_size)
    return np.where(
        gripped_N[:, None], carry(task, state, "cube", goal_N3), grasp(task, state, "cube")
    )
