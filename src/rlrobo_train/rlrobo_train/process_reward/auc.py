"""How well scores tell two kinds apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def auc(score_N: NDArray[np.floating[Any]], positive_N: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how likely a positive has a higher score than a negative, a tie
    counting half (Mann-Whitney's U over all pairs, from the ranks). NaN where one kind is
    missing."""
    positives = int(positive_N.sum())
    pairs = positives * (len(positive_N) - positives)
    if not pairs:
        return float("nan")
    above = rankdata(score_N)[positive_N].sum() - positives * (positives + 1) / 2
    return float(above / pairs)


def auc_within(
    score_N: NDArray[np.floating[Any]],
    positive_N: NDArray[np.bool_],
    stratum_N: NDArray[np.integer[Any]],
) -> float:
    """As `auc`, over the pairs of a positive and a negative of the same stratum. NaN where there
    are none."""
    above, pairs = 0.0, 0
    for stratum in np.unique(stratum_N):
        score, positive = score_N[stratum_N == stratum], positive_N[stratum_N == stratum]
        if count := int(positive.sum() * (~positive).sum()):
            above, pairs = above + auc(score, positive) * count, pairs + count
    return above / pairs if pairs else float("nan")


def redrawn(
    positive_N: NDArray[np.bool_], seed: int = 0, times: int = 1000
) -> Iterator[NDArray[np.int64]]:
    """The rows of the bootstrap: both kinds drawn anew, each as often as it is there."""
    rng = np.random.default_rng(seed)
    yes, no = np.flatnonzero(positive_N), np.flatnonzero(~positive_N)
    for _ in range(times):
        yield np.concatenate([rng.choice(kind, len(kind)) for kind in (yes, no)])
