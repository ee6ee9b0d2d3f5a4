"""Group-relative advantages: how much better a rollout did than its group, step by step.

Shape legend: G rollouts of a group, L steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def returns_to_go(
    reward_GL: Floats, gamma: float, branch_steps: int | None = None
) -> NDArray[np.float64]:
    """f64[G, L], R_t = r_t + gamma R_{t+1} along each rollout; with `branch_steps`, no further
    than to the next branching point, after which another member may be the one to go on."""
    return_GL = np.zeros(reward_GL.shape, np.float64)
    following = np.zeros(len(reward_GL))
    for step in reversed(range(reward_GL.shape[1])):
        if branch_steps and (step + 1) % branch_steps == 0:
            following = np.zeros(len(reward_GL))
        following = reward_GL[:, step] + gamma * following
        return_GL[:, step] = following
    return return_GL


def group_advantages(
    return_GL: Floats, alive_GL: NDArray[np.bool_], min_std: float
) -> NDArray[np.float64]:
    """f64[G, L], (R - mean) / max(std, min_std) over the members of the group that acted at that
    step (GRPO, arXiv 2402.03300, equation 4.1, a time step at a time). 0 where the members do
    not differ, or where only one acted: such a step teaches nothing."""
    count_L = np.maximum(alive_GL.sum(0), 1)
    mean_L = np.where(alive_GL, return_GL, 0.0).sum(0) / count_L
    deviation_GL = np.where(alive_GL, return_GL - mean_L, 0.0)
    std_L = np.sqrt((deviation_GL**2).sum(0) / count_L)
    advantage_GL = deviation_GL / np.maximum(std_L, min_std)
    return np.where(std_L > 1e-8, advantage_GL, 0.0)
