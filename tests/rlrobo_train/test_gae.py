"""Generalised advantage estimates: by hand, against another way to write them, at their ends."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rlrobo_train.advantages import explained_variance, gae, returns_to_go
from rlrobo_train.loss import value_loss

values = st.floats(-10, 10, width=32)
unit = st.floats(0, 1)


class Rollouts(NamedTuple):
    reward_GL: np.ndarray
    value_GL: np.ndarray
    alive_GL: np.ndarray
    after_G: np.ndarray


@st.composite
def rollouts(draw: st.DrawFn) -> Rollouts:
    """Of different lengths, some of them cut off."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 6)))
    lengths = draw(st.lists(st.integers(1, shape[1]), min_size=shape[0], max_size=shape[0]))
    alive_GL = np.arange(shape[1]) < np.array(lengths)[:, None]
    reward_GL, value_GL = (
        np.where(alive_GL, draw(arrays(np.float64, shape, elements=values)), 0.0) for _ in "rv"
    )
    cut = draw(arrays(np.bool_, shape[0]))
    after_G = np.where(cut, draw(arrays(np.float64, shape[0], elements=values)), 0.0)
    return Rollouts(reward_GL, value_GL, alive_GL, after_G)


def by_lambda_returns(it: Rollouts, gamma: float, lam: float) -> np.ndarray:
    """The same from the other end (Sutton and Barto, 2nd edition, equation 12.3): the mean of all
    n-step returns, weighted with (1 - lambda) lambda^(n - 1), the last with what is left, less
    the value."""
    advantage_GL = np.zeros_like(it.reward_GL)
    for g, length in enumerate(it.alive_GL.sum(1)):
        value = [*it.value_GL[g, :length], it.after_G[g]]
        for t in range(length):
            total, reward = 0.0, 0.0
            for n in range(1, length - t + 1):
                reward += gamma ** (n - 1) * it.reward_GL[g, t + n - 1]
                weight = lam ** (n - 1) * (1.0 if t + n == length else 1.0 - lam)
                total += weight * (reward + gamma**n * value[t + n])
            advantage_GL[g, t] = total - value[t]
    return advantage_GL


def test_by_hand_what_was_cut_off_goes_on_and_what_ended_does_not() -> None:
    """Twice the rewards 1, 2 where the critic says 4, 6; the first ended, the second was cut off
    where the critic says 8. gamma 1/2, lambda 1/2."""
    advantage_GL = gae(
        np.array([[1.0, 2.0], [1.0, 2.0]]),
        np.array([[4.0, 6.0], [4.0, 6.0]]),
        np.ones((2, 2), bool),
        np.array([0.0, 8.0]),
        gamma=0.5,
        gae_lambda=0.5,
    )
    # Ended: d1 = 2 + 0 - 6 = -4, d0 = 1 + 3 - 4 = 0, A0 = 0 + -4 / 4.
    # Cut off: d1 = 2 + 4 - 6 = 0, d0 = 1 + 3 - 4 = 0, A0 = 0.
    np.testing.assert_array_equal(advantage_GL, [[-1.0, -4.0], [0.0, 0.0]])


@given(rollouts(), unit, unit)
def test_it_is_the_weighted_mean_of_n_step_returns(it: Rollouts, gamma: float, lam: float) -> None:
    np.testing.assert_allclose(gae(*it, gamma, lam), by_lambda_returns(it, gamma, lam), atol=1e-9)


@given(rollouts(), unit)
def test_lambda_1_is_the_return_less_the_value(it: Rollouts, gamma: float) -> None:
    reward_GL = it.reward_GL.copy()
    last_G = it.alive_GL.sum(1) - 1
    reward_GL[np.arange(len(last_G)), last_G] += gamma * it.after_G
    expected = np.where(it.alive_GL, returns_to_go(reward_GL, gamma) - it.value_GL, 0.0)
    np.testing.assert_allclose(gae(*it, gamma, 1.0), expected, atol=1e-9)


@given(rollouts(), unit, unit)
def test_a_critic_that_knows_everything_is_never_surprised(it, gamma, lam) -> None:
    ended = it._replace(after_G=np.zeros_like(it.after_G))
    value_GL = returns_to_go(ended.reward_GL, gamma)
    np.testing.assert_allclose(gae(*ended._replace(value_GL=value_GL), gamma, lam), 0, atol=1e-9)


def test_explained_variance() -> None:
    return_M = np.array([0.0, 1.0, 2.0, 5.0])
    assert explained_variance(return_M, return_M + 3.0) == 1.0
    assert explained_variance(return_M, np.full(4, return_M.mean())) == pytest.approx(0.0)
    assert explained_variance(return_M, -return_M) < 0.0
    assert explained_variance(np.ones(4), return_M) == 0.0


def test_what_an_update_has_moved_far_enough_is_not_pulled_any_further() -> None:
    before, target = torch.zeros(1, 4), torch.tensor([[1.0, 1.0, -1.0, 1.0]])
    value = torch.tensor([[0.1, 0.5, -0.5, -0.5]], requires_grad=True)
    loss, clipped = value_loss(value, before, target, clip=0.2)
    loss.backward()
    assert value.grad is not None
    assert value.grad[0, 0] < 0  # within the bounds: towards the return
    assert not value.grad[0, 1:3].any()  # beyond, on the way there
    assert value.grad[0, 3] < 0  # beyond, on the wrong side
    assert clipped == 0.5
    free, none = value_loss(value, before, target, clip=0.0)
    torch.testing.assert_close(free, 0.5 * ((value - target) ** 2).mean())
    assert none == 0.0 and loss >= free
