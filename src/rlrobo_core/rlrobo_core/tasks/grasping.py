"""What the true state says about the gripper and a block: is it held, is it at rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.panda import MAX_WIDTH
from rlrobo_core.tasks.base import Array, SceneState
from rlrobo_core.tasks.detour import CONE_INNER, way_to

SLIP = 0.25
"""[m/s], block against tool. The fingers give way by as much as 0.2 m/s when the hand turns back
at full speed (measured); a block that is let go falls faster after 25 ms."""
SQUEEZE = 0.01
"""[m]. The same give: a 4 cm cube is held with 35 to 42 mm between the finger joints."""
STILL = 0.05
"""[m/s]"""
GRASP_HEIGHT = 0.018
"""[m], tool against the middle of a 4 cm cube: less, and the fingers cover 11 mm of it."""


def offset_to(state: SceneState, name: str) -> Array:
    """f64[N, 3], from the tool to the object [m]."""
    return state.object_pose[name][:, :3] - state.ee_pose_N[:, :3]


def is_around(state: SceneState, name: str) -> NDArray[np.bool_]:
    """bool[N]: the tool is where fingers that close take the block."""
    offset_N3 = offset_to(state, name)
    aside_N = np.linalg.norm(offset_N3[:, :2], axis=-1)
    return (aside_N < CONE_INNER) & (np.abs(offset_N3[:, 2]) < GRASP_HEIGHT)


def is_gripped(state: SceneState, name: str, size: float) -> NDArray[np.bool_]:
    """bool[N]: the fingers are about as far apart as the block is wide (`size` [m]) and it is
    between them. What can be seen of a grasp: it does not ask for velocities."""
    near_N = np.linalg.norm(offset_to(state, name), axis=-1) < 0.75 * size
    return (np.abs(state.gripper_width_N - size) < SQUEEZE) & near_N


def is_held(state: SceneState, name: str, size: float) -> NDArray[np.bool_]:
    """bool[N]: the block is gripped, and it moves with the fingers."""
    slip_N = np.linalg.norm(state.object_velocity[name] - state.ee_velocity_N, axis=-1)
    return is_gripped(state, name, size) & (slip_N < SLIP)


def is_let_go(state: SceneState, name: str, size: float) -> NDArray[np.bool_]:
    """bool[N]: the fingers are clearly wider than the block, or the tool is away from it."""
    away_N = np.linalg.norm(offset_to(state, name), axis=-1) > 2.0 * size
    return (state.gripper_width_N > size + SQUEEZE) | away_N


def way_to_let_go(state: SceneState, name: str, size: float) -> Array:
    """f64[N] [m], what the fingers have to open until the block counts as let go."""
    left_N = np.maximum(size + SQUEEZE - state.gripper_width_N, 0.0)
    return np.where(is_let_go(state, name, size), 0.0, left_N)


def way_to_grip(state: SceneState, name: str, size: float) -> Array:
    """f64[N] [m], what tool and fingers have to move until the block is gripped: there with open
    fingers, then these together. Closing is progress where the fingers are around the block,
    and only there: it takes two control steps, and the first one has to pay too."""
    way_N = way_to(state.ee_pose_N[:, :3], state.object_pose[name][:, :3])
    opening_N = MAX_WIDTH - state.gripper_width_N
    closing_N = np.maximum(state.gripper_width_N - size, 0.0)
    there_N = way_N + opening_N + MAX_WIDTH - size
    left_N = np.where(is_around(state, name), closing_N, there_N)
    return np.where(is_gripped(state, name, size), 0.0, left_N)


def is_still(state: SceneState, name: str) -> NDArray[np.bool_]:
    """bool[N]"""
    return np.linalg.norm(state.object_velocity[name], axis=-1) < STILL


def is_on_table(state: SceneState, name: str, half_height: float) -> NDArray[np.bool_]:
    """bool[N]: its centre is as high as that of a block that lies there, to 1 cm."""
    return np.abs(state.object_pose[name][:, 2] - half_height) < 0.01
