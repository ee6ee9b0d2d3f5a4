"""Reward as panda_gym 3.0.7 has it, for the `panda_gym` variants."""

from __future__ import annotations

import numpy as np

from rlrobo_core.tasks.base import Array

PANDA_GYM_WEIGHTS = {"sparse": 1.0, "dense": 0.0}
"""panda_gym's `reward_type` is "sparse" by default; reward weights of 0 and 1 choose "dense"."""


def goal_reward(distance_N: Array, threshold: float) -> dict[str, Array]:
    """-1 until the goal is reached, and the distance itself: how the object got there, and
    what holds it there, does not matter."""
    return {"sparse": -(distance_N > threshold).astype(np.float64), "dense": -distance_N}
