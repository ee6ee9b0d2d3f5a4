"""Over things, not through them: the way down to a place leads through a cone above it.

Rewards measure how long that way is, experts walk along it; so both mean the same motion.
"""

from __future__ import annotations

import numpy as np

from rlrobo_core.tasks.base import Array

VIA_HEIGHT = 0.1
"""[m] above the table: a 4 cm cube that is carried there clears another by 4 cm."""
CONE_INNER = 0.018
"""[m] from the axis: from here straight down. Open fingers have 2 cm on either side of a 4 cm
cube, and the policy's bins are 6 mm."""
CONE_OUTER = 0.05
"""[m] from the axis: from here on at `VIA_HEIGHT`. Of the values tried, these lose least time to
noise on the actions."""
FAR = 1.0
"""[m], longer than any `way_to`: what is left for a block that nothing holds, so that to hold
it always is progress."""


def via_height(at_N: Array, goal_N: Array) -> Array:
    """f64[N] [m]: how high to be at `at_N` (f64[N, 3]) on the way to `goal_N`."""
    aside_N = np.linalg.norm((goal_N - at_N)[:, :2], axis=-1)
    rise_N = np.clip((aside_N - CONE_INNER) / (CONE_OUTER - CONE_INNER), 0.0, 1.0)
    return goal_N[:, 2] + rise_N * np.maximum(VIA_HEIGHT - goal_N[:, 2], 0.0)


def way_to(at_N: Array, goal_N: Array) -> Array:
    """f64[N] [m], what is left of the way from `at_N` up to the cone, aside, and down."""
    via_N = via_height(at_N, goal_N)
    aside_N = np.linalg.norm((goal_N - at_N)[:, :2], axis=-1)
    return np.abs(via_N - at_N[:, 2]) + aside_N + np.abs(via_N - goal_N[:, 2])
