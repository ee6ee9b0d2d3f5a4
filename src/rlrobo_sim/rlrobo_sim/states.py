"""Indexing a `SceneState` by world, and how an episode starts from its seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import InitialScene, SceneState, Task

Index = NDArray[np.integer[Any]] | Sequence[int]


def initial_scene(task: Task, seed: int, group: int) -> tuple[InitialScene, int]:
    """How group `group` of `seed` starts, and the seed of its domain randomization."""
    rng = np.random.default_rng((seed, group))
    return task.sample(rng), int(rng.integers(2**63))


def take(state: SceneState, index: Index) -> SceneState:
    """A copy of the scenes at `index`, in that order; an index may come more than once."""
    return SceneState(
        ee_pose_N=state.ee_pose_N[index],
        ee_velocity_N=state.ee_velocity_N[index],
        gripper_width_N=state.gripper_width_N[index],
        object_pose={name: pose_N[index] for name, pose_N in state.object_pose.items()},
        object_velocity={name: v_N[index] for name, v_N in state.object_velocity.items()},
    )


def put(state: SceneState, index: Index, values: SceneState) -> None:
    """Write `values` over the scenes at `index`, in place."""
    state.ee_pose_N[index] = values.ee_pose_N
    state.ee_velocity_N[index] = values.ee_velocity_N
    state.gripper_width_N[index] = values.gripper_width_N
    for name, pose_N in values.object_pose.items():
        state.object_pose[name][index] = pose_N
    for name, velocity_N in values.object_velocity.items():
        state.object_velocity[name][index] = velocity_N
