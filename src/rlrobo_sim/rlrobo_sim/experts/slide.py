"""Slide: down behind the puck, then push it at the speed from which it would just stop on the pad.

That speed falls as the pad comes nearer, as the puck's own does while it slides. So the tool
lets go of a puck that is fast enough by itself, and pushes on one that is too slow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import SceneState, Task
from rlrobo_core.tasks.slide import BEHIND, GRAVITY, PUSH_HEIGHT, behind
from rlrobo_sim.experts.carrying import go

Array = NDArray[np.float64]

PUSHABLE_ASIDE = 0.02
"""[m] across: within it, the puck slips between the fingers by itself."""
PUSHABLE_HEIGHT = 0.015
"""[m] over `PUSH_HEIGHT`: higher, and the fingers may slip over the puck."""
ENOUGH = 0.015
"""[m], how far from the middle of the pad a puck may stop: it is left alone."""


def slide(task: Task, state: SceneState) -> NDArray[np.float64]:
    tool_N3 = state.ee_pose_N[:, :3]
    from_start_N3 = tool_N3 - behind(state)
    behind_N = np.abs(from_start_N3[:, 0]) < 0.7 * BEHIND
    beside_N = np.abs(from_start_N3[:, 1]) < PUSHABLE_ASIDE
    low_N = from_start_N3[:, 2] < PUSHABLE_HEIGHT
    ready_N = behind_N & beside_N & low_N
    move_N3 = np.where(ready_N[:, None], push(task, state), go(task, tool_N3, behind(state)))
    return np.where((task.miss(state) < ENOUGH)[:, None], 0.0, move_N3)


def push(task: Task, state: SceneState) -> Array:
    """f64[N, 3], normalised: towards the pad at the right speed, the puck in the middle."""
    puck_N2 = state.object_pose["puck"][:, :2]
    way_N2 = state.object_pose["target"][:, :2] - puck_N2
    distance_N = np.linalg.norm(way_N2, axis=-1)
    step_N = release_speed(task, distance_N) / task.control_hz
    move_N2 = way_N2 * (step_N / np.maximum(distance_N, 1e-6))[:, None]
    move_N2[:, 1] += puck_N2[:, 1] - state.ee_pose_N[:, 1]
    lift_N = PUSH_HEIGHT - state.ee_pose_N[:, 2]
    return _shorten(np.column_stack([move_N2, lift_N]) / task.max_step)


def release_speed(task: Task, distance_N: Array) -> Array:
    """f64[N] [m/s]: v such that a puck that is pushed at v for one control step dt, and then let
    go, stops after `distance_N` in all: v dt + v^2 / (2 mu g) = distance."""
    lost = task.friction * GRAVITY / task.control_hz
    return np.sqrt(lost**2 + 2 * task.friction * GRAVITY * distance_N) - lost


def _shorten(move_N3: Array) -> Array:
    """To what one step allows on each axis, in the same direction."""
    return move_N3 / np.maximum(np.abs(move_N3).max(axis=1, keepdims=True), 1.0)
