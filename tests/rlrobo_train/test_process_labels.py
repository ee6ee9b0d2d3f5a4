"""Labels of trajectories made by hand, and the area under the ROC curve counted pair by pair."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlrobo_train.process_reward.auc import auc, auc_within, redrawn
from rlrobo_train.process_reward.labels import (
    LabelConfig,
    keyframes,
    progress,
    segments,
    speeds,
)

HZ = 10.0
OPEN, GRIPPED = 0.08, 0.04


def positions(*ways_cm: float) -> np.ndarray:
    """f64[L, 3], along x, with these ways between them."""
    x_L = np.cumsum([0.0, *ways_cm]) / 100
    return np.stack([x_L, 0 * x_L, 0 * x_L], axis=-1)


def told(position_L3: np.ndarray, width_L: np.ndarray) -> np.ndarray:
    return progress(position_L3, width_L, HZ, LabelConfig(gripping=0.05, far=0.5))


def test_progress_is_the_way_that_is_left_over_the_keyframes() -> None:
    """It comes near, stands still, drifts off, grips; then it carries until it has succeeded."""
    position_L3 = positions(5, 5, 0, 3, 3, 5, 5)
    width_L = np.array([OPEN] * 5 + [GRIPPED] * 3)
    # Keyframes: step 2, where it stands still, at 10 cm, and the end, at 26; and one change of the
    # gripper, until the keyframe before it is behind.
    way_cm = [10 + 16 + 5, 5 + 16 + 5, 16 + 5, 16, 13, 10, 5, 0]
    np.testing.assert_allclose(told(position_L3, width_L), 1 - np.array(way_cm) / 50)


def test_a_detour_before_a_keyframe_is_no_progress() -> None:
    there_and_back = told(positions(5, 5, -5, 5), np.full(5, OPEN))
    np.testing.assert_allclose(there_and_back, 1 - np.array([10, 5, 0, 5, 0]) / 50)


def test_further_than_far_is_none() -> None:
    np.testing.assert_allclose(told(positions(30, 30, 30), np.full(4, OPEN)), [0, 0, 0.4, 1])


def test_a_segment_without_standstill_has_its_slowest_step_for_a_keyframe() -> None:
    speed_L = speeds(positions(5, 4, 2, 3, 5), HZ)
    bounds = segments(np.array([OPEN] * 4 + [GRIPPED] * 2), 0.02)
    assert keyframes(bounds, speed_L, still=0.1) == [2, 5]
    assert keyframes(bounds, speed_L, still=0.35) == [3, 5]


def test_a_gripper_that_goes_on_closing_cuts_once_and_its_noise_never() -> None:
    noisy = np.array([0.08, 0.071, 0.079, 0.067, 0.08])
    assert segments(noisy, 0.02) == [(0, 5)]
    slow = np.array([0.08, 0.08, 0.055, 0.03, 0.005, 0.004, 0.004])
    assert segments(slow, 0.02) == [(0, 4), (4, 7)]
    again = np.array([0.08, 0.04, 0.04, 0.08, 0.08])
    assert segments(again, 0.02) == [(0, 1), (1, 3), (3, 5)]
    assert segments(np.array([0.08]), 0.02) == [(0, 1)]


def test_segments_cover_every_step_once() -> None:
    width_L = np.random.default_rng(0).uniform(0, 0.08, 200)
    covered = [step for begin, end in segments(width_L, 0.02) for step in range(begin, end)]
    assert covered == list(range(200))


def test_speeds_are_metres_a_second_of_the_step_that_leaves() -> None:
    np.testing.assert_allclose(speeds(positions(5, 1), HZ), [0.5, 0.1, 0.1])
    np.testing.assert_allclose(speeds(positions(), HZ), [0.0])


scored = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30)


@given(scored)
def test_the_area_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    score_N = np.array([score for score, _ in rows], float)
    positive_N = np.array([positive for _, positive in rows])
    pairs = list(product(score_N[positive_N], score_N[~positive_N]))
    if not pairs:
        assert math.isnan(auc(score_N, positive_N))
        return
    share = sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)
    assert auc(score_N, positive_N) == pytest.approx(share)
    assert auc(-score_N, positive_N) == pytest.approx(1.0 - share)


def test_the_area_is_that_under_the_curve() -> None:
    """Integrated over thresholds, without ties."""
    rng = np.random.default_rng(1)
    positive_N = rng.random(300) < 0.4
    score_N = rng.normal(size=300) + positive_N
    order = np.argsort(-score_N)
    hit_N = np.append(0.0, np.cumsum(positive_N[order]) / positive_N.sum())
    false_N = np.append(0.0, np.cumsum(~positive_N[order]) / (~positive_N).sum())
    assert auc(score_N, positive_N) == pytest.approx(np.trapezoid(hit_N, false_N))
    drawn = list(redrawn(positive_N, times=200))
    assert all(positive_N[rows].sum() == positive_N.sum() for rows in drawn)
    low, high = np.quantile(
        [auc(score_N[rows], positive_N[rows]) for rows in drawn], [0.025, 0.975]
    )
    assert low < auc(score_N, positive_N) < high < low + 0.2


def test_within_strata_the_area_knows_nothing_of_what_tells_these_apart() -> None:
    """A clock tells long failures from short successes, and nothing of steps that are as old."""
    step_N = np.concatenate([np.arange(5), np.arange(20)])
    positive_N, clock_N = np.arange(25) < 5, -step_N.astype(float)
    assert auc(clock_N, positive_N) > 0.8
    assert auc_within(clock_N, positive_N, step_N) == 0.5
    assert auc_within(clock_N + positive_N, positive_N, step_N) == 1.0
    assert math.isnan(auc_within(clock_N, positive_N, np.arange(25)))
