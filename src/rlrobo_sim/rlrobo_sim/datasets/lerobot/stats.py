"""What `meta/stats.json` tells of each feature, with LeRobot's keys and shapes.

Over all frames, where LeRobot takes a sample of the images and bins of the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
"""lerobot.datasets.compute_stats.DEFAULT_QUANTILES."""

Stats = dict[str, list[Any]]


def vector_stats(value_ND: NDArray[Any]) -> Stats:
    """Each a list of D numbers; `count` is [N]."""
    value_ND = value_ND.astype(np.float64)
    stats = {
        "min": value_ND.min(axis=0),
        "max": value_ND.max(axis=0),
        "mean": value_ND.mean(axis=0),
        "std": value_ND.std(axis=0),
    } | {name: np.quantile(value_ND, q, axis=0) for name, q in QUANTILES.items()}
    return {name: value.tolist() for name, value in stats.items()} | {"count": [len(value_ND)]}


def image_stats(image_N: NDArray[np.uint8]) -> Stats:
    """Of u8[N, H, W, 3], on pixels in [0, 1]: each of shape [3, 1, 1]. From the counts of the
    256 values of each channel, which say it all and need no floats as large as the images."""
    counts_CV = np.sum([_counts(image) for image in image_N], axis=0)
    per_channel = [_stats_of_counts(counts_V) for counts_V in counts_CV]
    names = per_channel[0]
    stats = {name: [[[channel[name]]] for channel in per_channel] for name in names}
    return stats | {"count": [len(image_N)]}


def _counts(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """i64[3, 256]"""
    return np.stack([np.bincount(image[..., c].ravel(), minlength=256) for c in range(3)])


def _stats_of_counts(counts_V: NDArray[np.int64]) -> dict[str, float]:
    value_V = np.arange(256) / 255.0
    seen_V = value_V[counts_V > 0]
    total, reached_V = counts_V.sum(), np.cumsum(counts_V)
    mean = (counts_V @ value_V) / total
    stats = {
        "min": seen_V[0],
        "max": seen_V[-1],
        "mean": mean,
        "std": np.sqrt(counts_V @ (value_V - mean) ** 2 / total),
    } | {name: value_V[np.searchsorted(reached_V, q * total)] for name, q in QUANTILES.items()}
    return {name: float(value) for name, value in stats.items()}
