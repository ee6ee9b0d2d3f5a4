"""Slide: down behind the puck, then push it at the speed from which it would just stop on the pad.

That speed falls as the pad comes nearer, as the puck's own does while it slides. So the tool
lets go of a puck that is fast enough by itself, and pushes on one that is too slow. How fast the
puck is need not be known, and is not: a policy that sees one image at a time cannot see it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import SceneState, Slide
from rlrobo_core.tasks.slide import GRAVITY, PUSH_HEIGHT, behind
from rlrobo_sim.experts.carrying import go

Array = NDArray[np.float64]

PUSHABLE_ASIDE = 0.02
"""[m] across: within it, the puck slips between the fingers by itself."""
PUSHABLE_HEIGHT = 0.015
"""[m] over `PUSH_HEIGHT`: higher, and the fingers may slip over the puck."""
PUSHABLE_GAP = (0.02, 0.16)
"""[m], puck ahead of the tool: nearer, and the fingers are over it."""
TOUCHING = 0.042
"""[m], puck ahead of the tool: 32 mm when both fingers touch it."""
FASTEST = 0.3
"""[m/s]: a puck that is hit faster jumps ahead of the fingers (at 0.4 m/s 87% of 200 succeed)."""
ENOUGH = 0.015
"""[m], how far from the middle of the pad a puck may lie: it is left alone."""


def slide(task: Slide, state: SceneState) -> NDArray[np.float64]:
    tool_N3 = state.ee_pose_N[:, :3]
    ahead_N, aside_N = _puck_from_tool(state)
    ready_N = (
        (ahead_N > PUSHABLE_GAP[0])
        & (ahead_N < PUSHABLE_GAP[1])
        & (np.abs(aside_N) < PUSHABLE_ASIDE)
        & (tool_N3[:, 2] < PUSH_HEIGHT + PUSHABLE_HEIGHT)
    )
    move_N3 = np.where(ready_N[:, None], push(task, state), go(task, tool_N3, behind(state)))
    return np.where((task.distance(state) < ENOUGH)[:, None], 0.0, move_N3)


def push(task: Slide, state: SceneState) -> Array:
    """f64[N, 3], normalised: towards the pad at the right speed, the puck in the middle."""
    puck_N2 = state.object_pose["puck"][:, :2]
    way_N2 = state.object_pose["target"][:, :2] - puck_N2
    distance_N = np.linalg.norm(way_N2, axis=-1)
    speed_N = np.minimum(release_speed(task, distance_N), FASTEST)
    move_N2 = way_N2 * (speed_N / np.maximum(distance_N, 1e-6) / task.control_hz)[:, None]
    ahead_N, aside_N = _puck_from_tool(state)
    move_N2[:, 1] = np.where(ahead_N < TOUCHING, move_N2[:, 1], 0.0) + aside_N
    lift_N = PUSH_HEIGHT - state.ee_pose_N[:, 2]
    return _shorten(np.column_stack([move_N2, lift_N]) / task.max_step)


def _puck_from_tool(state: SceneState) -> tuple[Array, Array]:
    """f64[N], f64[N] [m]: how far ahead of the tool, on the way to the pad, and aside."""
    puck_N7, goal_N7 = state.object_pose["puck"], state.object_pose["target"]
    offset_N2 = (puck_N7 - state.ee_pose_N)[:, :2]
    forwards_N = np.where(goal_N7[:, 0] >= puck_N7[:, 0], 1.0, -1.0)
    return forwards_N * offset_N2[:, 0], offset_N2[:, 1]


def release_speed(task: Slide, distance_N: Array) -> Array:
    """f64[N] [m/s]: v such that a puck that is pushed at v for one control step dt, and then let
    go, stops after `distance_N` in all: v dt + v^2 / (2 mu g) = distance."""
    lost = task.friction * GRAVITY / task.control_hz
    return np.sqrt(lost**2 + 2 * task.friction * GRAVITY * distance_N) - lost


def _shorten(move_N3: Array) -> Array:
    """To what one step allows on each axis, in the same direction."""
    return move_N3 / np.maximum(np.abs(move_N3).max(axis=1, keepdims=True), 1.0)
