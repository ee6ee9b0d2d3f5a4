"""Advantages: how much better a rollout did than its group, or than a critic expected, step by
step.

Shape legend: G rollouts of a group, L steps.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def returns_to_go(
    reward_GL: Floats, gamma: float, partings: Container[int] = (0,)
) -> NDArray[np.float64]:
    """f64[G, L], R_t = r_t + gamma R_{t+1} along each rollout, no further than to the next
    step of `partings`, after which another member may be the one to go on."""
    return_GL = np.zeros(reward_GL.shape, np.float64)
    following = np.zeros(len(reward_GL))
    for step in reversed(range(reward_GL.shape[1])):
        if step + 1 in partings:
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


def gae(
    reward_GL: Floats,
    value_GL: Floats,
    alive_GL: NDArray[np.bool_],
    after_G: Floats,
    gamma: float,
    gae_lambda: float,
) -> NDArray[np.float64]:
    """f64[G, L], generalised advantage estimation (arXiv 1506.02438, equation 16): the sum of
    (gamma lambda)^k d_{t+k}, where d_t = r_t + gamma V_{t+1} - V_t. 0 where nobody acted.

    `after_G` is V after each rollout's last step: the critic's where the limit of steps cut it
    off, for more would have come; 0 where it ended, for nothing does (arXiv 1712.00378)."""
    advantage_GL = np.zeros(reward_GL.shape, np.float64)
    next_value, next_advantage = np.asarray(after_G, np.float64), np.zeros(len(reward_GL))
    for step in reversed(range(reward_GL.shape[1])):
        alive = alive_GL[:, step]
        surprise = reward_GL[:, step] + gamma * next_value - value_GL[:, step]
        next_advantage = np.where(alive, surprise + gamma * gae_lambda * next_advantage, 0.0)
        next_value = np.where(alive, value_GL[:, step], next_value)
        advantage_GL[:, step] = next_advantage
    return advantage_GL


def explained_variance(return_M: Floats, value_M: Floats) -> float:
    """1 - Var(R - V) / Var(R): 1 for a critic that knows every return, 0 for one that knows
    their mean, below for one that is worse than that. 0 where all returns are the same."""
    variance = float(np.var(return_M))
    return 1.0 - float(np.var(return_M - value_M)) / variance if variance > 1e-12 else 0.0
