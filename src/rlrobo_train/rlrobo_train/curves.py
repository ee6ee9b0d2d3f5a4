"""A run's metrics as curves: series, running means, and what several runs have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlrobo_train.metrics import Row

Run = list[Row]
Array = NDArray[np.float64]
Axis = Literal["minutes", "iteration"]
"""Over what a curve is drawn: minutes of wall clock, or updates."""

SMOOTHING = 0.08
"""Width of the running mean over noisy series, as a part of the run."""


class Spread(NamedTuple):
    x: Array
    mean: Array
    low: Array
    high: Array


def series(run: Run, key: str, axis: Axis = "minutes") -> tuple[Array, Array]:
    """x and values of the rows that hold the key."""
    rows = [row for row in run if key in row]
    x = [row["wall_s"] / 60 if axis == "minutes" else row["iteration"] for row in rows]
    return np.array(x, np.float64), np.array([row[key] for row in rows], np.float64)


def all_series(runs: Sequence[Run], key: str, axis: Axis = "minutes") -> list[tuple[Array, Array]]:
    """Of the runs that have any."""
    return [(x, y) for x, y in (series(run, key, axis) for run in runs) if len(x)]


def smooth(y: Array) -> Array:
    """Centred running mean; at the ends over what there is."""
    return running(y)[0]


def running(y: Array) -> tuple[Array, Array]:
    """Centred running mean and standard deviation; at the ends over what there is, NaN where
    there is nothing."""
    if not len(y):
        return y, y
    width = max(1, round(SMOOTHING * len(y)))
    known = np.isfinite(y)
    kernel = np.ones(2 * (width // 2) + 1)

    def total(values: Array) -> Array:
        return np.convolve(np.pad(values, len(kernel) // 2), kernel, "valid")

    count = total(known.astype(float))
    mean = total(np.where(known, y, 0.0)) / np.maximum(count, 1)
    square = total(np.where(known, y, 0.0) ** 2) / np.maximum(count, 1)
    std = np.sqrt(np.maximum(square - mean**2, 0.0))
    return np.where(count > 0, mean, np.nan), np.where(count > 0, std, np.nan)


def over_runs(runs: Sequence[Run], key: str, axis: Axis = "minutes") -> Spread | None:
    """Mean over runs, lowest and highest, where all of them have data; each run's running mean
    unless it is an evaluation's metric. None where no x has data of all."""
    found = [
        (x, y if key.startswith("eval/") else smooth(y)) for x, y in all_series(runs, key, axis)
    ]
    if not found:
        return None
    begin, end = max(x[0] for x, _ in found), min(x[-1] for x, _ in found)
    if begin > end:
        return None
    grid = np.linspace(begin, end, 200)
    values = np.stack([np.interp(grid, x, y) for x, y in found])
    return Spread(grid, values.mean(0), values.min(0), values.max(0))
