"""Advantages compare a rollout with its group, a step at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rlrobo_train.advantages import group_advantages, returns_to_go

MIN_STD = 0.01

shapes = st.tuples(st.integers(1, 6), st.integers(1, 5))
values = st.floats(-100, 100, width=32)
returns_GL = shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=values))


@st.composite
def groups(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Returns f64[G, L] and who acted bool[G, L]."""
    return_GL = draw(returns_GL)
    return return_GL, draw(arrays(np.bool_, return_GL.shape))


@given(groups())
def test_advantages_of_a_step_have_mean_zero_over_those_that_acted(group) -> None:
    return_GL, alive_GL = group
    advantage_GL = group_advantages(return_GL, alive_GL, MIN_STD)
    np.testing.assert_allclose(advantage_GL.sum(0), 0.0, atol=1e-6)
    assert not advantage_GL[~alive_GL].any()


@given(groups())
def test_advantages_rank_as_returns_do_and_are_bounded(group) -> None:
    return_GL, alive_GL = group
    advantage_GL = group_advantages(return_GL, alive_GL, MIN_STD)
    for return_G, advantage_G, alive_G in zip(return_GL.T, advantage_GL.T, alive_GL.T, strict=True):
        order = np.argsort(return_G[alive_G], kind="stable")
        assert (np.diff(advantage_G[alive_G][order]) >= 0).all()
        # Nobody is further from the mean than sqrt(n - 1) standard deviations (Samuelson).
        assert (np.abs(advantage_G) <= np.sqrt(max(alive_G.sum() - 1, 0)) + 1e-9).all()


@given(groups(), values)
def test_what_all_members_get_alike_teaches_nothing(group, shift: float) -> None:
    return_GL, alive_GL = group
    np.testing.assert_allclose(
        group_advantages(return_GL + shift, alive_GL, MIN_STD),
        group_advantages(return_GL, alive_GL, MIN_STD),
        atol=1e-5,
    )


@given(values, shapes)
def test_equal_returns_have_no_advantage(value: float, shape: tuple[int, int]) -> None:
    assert not group_advantages(np.full(shape, value), np.ones(shape, bool), MIN_STD).any()


@given(returns_GL)
def test_who_acted_alone_has_no_advantage(return_GL: np.ndarray) -> None:
    alive_GL = np.zeros(return_GL.shape, bool)
    alive_GL[0] = True
    assert not group_advantages(return_GL, alive_GL, MIN_STD).any()


@given(groups(), st.floats(0.5, 20))
def test_the_scale_of_rewards_does_not_matter_above_the_least_deviation(group, scale) -> None:
    return_GL, alive_GL = group
    np.testing.assert_allclose(
        group_advantages(scale * return_GL, alive_GL, scale * MIN_STD),
        group_advantages(return_GL, alive_GL, MIN_STD),
        atol=1e-5,
    )


def test_differences_below_the_least_deviation_are_not_blown_up() -> None:
    return_GL = np.array([[1e-5], [-1e-5]])
    advantage_GL = group_advantages(return_GL, np.ones((2, 1), bool), MIN_STD)
    np.testing.assert_allclose(advantage_GL, return_GL / MIN_STD)


@given(returns_GL, st.floats(0, 1))
@settings(max_examples=50)
def test_returns_to_go_are_the_discounted_sums_of_what_comes(
    reward_GL: np.ndarray, gamma: float
) -> None:
    return_GL = returns_to_go(reward_GL, gamma)
    for g, t in np.ndindex(reward_GL.shape):
        naive = sum(gamma ** (k - t) * reward_GL[g, k] for k in range(t, reward_GL.shape[1]))
        assert np.isclose(return_GL[g, t], naive, atol=1e-9)


@given(returns_GL, st.integers(1, 6), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_return_of_a_branch_ends_at_the_next_branching_point(reward_GL, steps, gamma) -> None:
    parts = np.split(reward_GL, range(steps, reward_GL.shape[1], steps), axis=1)
    partings = range(0, reward_GL.shape[1], steps)
    by_part = np.concatenate([returns_to_go(part, gamma) for part in parts], axis=1)
    np.testing.assert_array_equal(returns_to_go(reward_GL, gamma, partings), by_part)
