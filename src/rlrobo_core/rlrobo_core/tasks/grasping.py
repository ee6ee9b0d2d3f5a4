"""What the true state says about the gripper and a block: is it held, is it at rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks.base import Array, SceneState
from rlrobo_core.tasks.detour import way_to

MAX_GRIPPER_WIDTH = 0.08
"""Franka Hand, fully open [m]."""
SLIP = 0.25
"""[m/s], block against tool. The fingers give way by as much as 0.2 m/s when the hand turns back
at full speed (measured); a block that is let go falls faster after 25 ms."""
SQUEEZE = 0.01
"""[m]. The same give: a 4 cm cube is held with 35 to 42 mm between the finger joints."""
STILL = 0.05
"""[m/s]"""


def offset_to(state: SceneState, name: str) -> Array:
    """f64[N, 3], from the tool to the object [m]."""
    return state.object_pose[name][:, :3] - state.ee_pose_N[:, :3]


def is_held(state: SceneState, name: str, size: float) -> NDArray[np.bool_]:
    """bool[N]: the fingers are about as far apart as the block is wide (`size` [m]), it is
    between them, and it moves with them."""
    gap_N = state.gripper_width_N - size
    slip_N = np.linalg.norm(state.object_velocity[name] - state.ee_velocity_N, axis=-1)
    near_N = np.linalg.norm(offset_to(state, name), axis=-1) < 0.75 * size
    return (np.abs(gap_N) < SQUEEZE) & near_N & (slip_N < SLIP)


def is_let_go(state: SceneState, name: str, size: float) -> NDArray[np.bool_]:
    """bool[N]: the fingers are clearly wider than the block, or the tool is away from it."""
    away_N = np.linalg.norm(offset_to(state, name), axis=-1) > 2.0 * size
    return (state.gripper_width_N > size + SQUEEZE) | away_N


def way_to_grasp(state: SceneState, name: str) -> Array:
    """f64[N] [m], what tool and fingers have to move before the fingers can close on it."""
    way_N = way_to(state.ee_pose_N[:, :3], state.object_pose[name][:, :3])
    return way_N + MAX_GRIPPER_WIDTH - state.gripper_width_N


def is_still(state: SceneState, name: str) -> NDArray[np.bool_]:
    """bool[N]"""
    return np.linalg.norm(state.object_velocity[name], axis=-1) < STILL


def is_on_table(state: SceneState, name: str, half_height: float) -> NDArray[np.bool_]:
    """bool[N]: its centre is as high as that of a block that lies there, to 1 cm."""
    return np.abs(state.object_pose[name][:, 2] - half_height) < 0.01
