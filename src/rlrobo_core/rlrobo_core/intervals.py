"""Confidence intervals: of a success rate over episodes, and of a mean over training seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple

from scipy.special import stdtrit


class SuccessRate(NamedTuple):
    """How often an evaluation succeeded."""

    successes: int
    episodes: int

    @property
    def rate(self) -> float:
        """NaN without episodes; the interval is then [0, 1]."""
        return self.successes / self.episodes if self.episodes else math.nan

    @property
    def ci95(self) -> tuple[float, float]:
        return wilson_interval(self.successes, self.episodes)

    def __str__(self) -> str:
        low, high = self.ci95
        return f"{self.rate:.1%} [{100 * low:.1f}, {100 * high:.1f}]"


class MeanInterval(NamedTuple):
    mean: float
    low: float
    high: float


def wilson_interval(successes: int, episodes: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a binomial proportion (Wilson 1927; Brown, Cai and DasGupta 2001,
    eq. 4). Unlike p +- z sqrt(p (1 - p) / n) it stays within [0, 1] and is honest at 0 and 1.

    Raises ValueError unless 0 <= successes <= episodes.
    """
    if not 0 <= successes <= episodes:
        raise ValueError(
            f"a success rate needs 0 <= successes <= episodes, got {successes} of {episodes}"
        )
    if not episodes:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, n = successes / episodes, episodes
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding must not push a bound past the rate itself, which is where it ends at 0 and 1.
    return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> MeanInterval:
    """Student's t interval of the mean, mean +- t_{n-1} s / sqrt(n), as over training seeds.

    Raises ValueError for fewer than two values: one run has no spread.
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval over seeds needs at least 2 runs, got {n}")
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * stdev(values) / math.sqrt(n)
    mean = fmean(values)
    return MeanInterval(mean, mean - half, mean + half)
