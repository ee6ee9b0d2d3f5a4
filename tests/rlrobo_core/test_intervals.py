"""Intervals agree with scipy's and behave as intervals must."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rlrobo_core.intervals import SuccessRate, mean_interval, wilson_interval

counts = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_wilson_agrees_with_scipy(count: tuple[int, int]) -> None:
    successes, episodes = count
    expected = stats.binomtest(successes, episodes).proportion_ci(method="wilson")
    assert wilson_interval(successes, episodes) == pytest.approx(tuple(expected), abs=1e-9)


@given(counts)
def test_wilson_contains_the_rate_and_stays_a_probability(count: tuple[int, int]) -> None:
    low, high = wilson_interval(*count)
    assert 0.0 <= low <= count[0] / count[1] <= high <= 1.0


@given(counts, st.integers(2, 10))
def test_wilson_shrinks_with_more_episodes(count: tuple[int, int], times: int) -> None:
    few, many = wilson_interval(*count), wilson_interval(count[0] * times, count[1] * times)
    assert many[1] - many[0] < few[1] - few[0]


@given(counts)
def test_failures_mirror_successes(count: tuple[int, int]) -> None:
    low, high = wilson_interval(*count)
    mirrored = wilson_interval(count[1] - count[0], count[1])
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_mean_interval_agrees_with_scipy(values: list[float]) -> None:
    mean, low, high = mean_interval(values)
    spread = statistics.stdev(values) / math.sqrt(len(values))
    assert low - 1e-12 <= mean <= high + 1e-12
    if spread > 1e-9:
        expected = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=spread)
        assert (low, high) == pytest.approx(tuple(expected))


def test_one_run_has_no_spread() -> None:
    with pytest.raises(ValueError, match="at least 2 runs, got 1"):
        mean_interval([0.9])


def test_more_successes_than_episodes_are_refused() -> None:
    with pytest.raises(ValueError, match="got 3 of 2"):
        wilson_interval(3, 2)


def test_without_episodes_nothing_is_known() -> None:
    nothing = SuccessRate(0, 0)
    assert math.isnan(nothing.rate)
    assert nothing.ci95 == (0.0, 1.0)


def test_a_success_rate_reads_as_percent_with_its_interval() -> None:
    assert str(SuccessRate(8, 10)) == "80.0% [49.0, 94.3]"
