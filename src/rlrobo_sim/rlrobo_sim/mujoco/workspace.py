"""Where the tool may be sent, pointing down, in the base frame [m]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.panda import DH_A, DH_D, FLANGE_D, TCP_Z

Array = NDArray[np.float64]

REACH_LOW = np.array([0.25, -0.45, 0.01])
"""The fingertips end 9 mm below the tool centre point, just above the table."""
REACH_HIGH = np.array([0.80, 0.45, 0.65])
MAX_SHOULDER_TO_WRIST = 0.705
"""The stretched arm measures 0.719 m, where it loses a degree of freedom."""

SHOULDER_Z = DH_D[0]
WRIST_RADIUS = DH_A[6]
WRIST_Z = FLANGE_D + TCP_Z
"""The wrist (axes 5, 6) from a tool that points down: nearer to the base by its radius, higher."""


def clip_to_reach(position_M: Array) -> Array:
    """f64[M, 3]: first into the box from `REACH_LOW` to `REACH_HIGH`, then along the horizontal
    towards the base until the arm can hold the tool there."""
    clipped_M = np.clip(position_M, REACH_LOW, REACH_HIGH)
    height_M = clipped_M[:, 2] + WRIST_Z - SHOULDER_Z
    furthest_M = np.sqrt(MAX_SHOULDER_TO_WRIST**2 - height_M**2) + WRIST_RADIUS
    radius_M = np.sqrt(clipped_M[:, 0] ** 2 + clipped_M[:, 1] ** 2)
    clipped_M[:, :2] *= np.minimum(1.0, furthest_M / radius_M)[:, None]
    return clipped_M
