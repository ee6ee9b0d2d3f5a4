"""The curves of one or several runs, from their metrics.jsonl alone.

python -m rlrobo_train.plots runs/a runs/b runs/c --out curves.png
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rlrobo_train.metrics import Row, read_metrics

Floats = NDArray[np.floating[Any]]

COLOURS = ("#2f6fde", "#e07b39", "#3a9a5b", "#a555b8", "#c43d4b", "#5b6472", "#b8952e", "#2b9fa8")
INK, FAINT = "#30343c", "#d9dce2"
WINDOW = 9
"""Iterations of the running mean that is drawn over a noisy curve."""

PANELS = {
    "policy/entropy": "entropy [nat per token]",
    "policy/approx_kl": "KL of behaviour and policy [nat]",
    "policy/clip_fraction": "clipped tokens [fraction]",
    "loss/policy": "policy loss",
}


class Series(NamedTuple):
    """One metric of one run."""

    x: Floats
    """Iterations."""
    y: Floats


def plot_curves(runs: list[Path], out: Path) -> None:
    """Writes a PNG: success, reward and its terms, what the update did, and where time went.
    Several runs (seeds) are drawn with their mean and standard deviation.

    `runs`: run directories or files metrics.jsonl. Raises ValueError for one without metrics and
    where `out` cannot be written.
    """
    rows_of = {name: read_metrics(run) for name, run in zip(_names(runs), runs, strict=True)}
    figure = Figure(figsize=(14, 11), layout="constrained", facecolor="white")
    grid = figure.add_gridspec(3, 4)
    _success(figure.add_subplot(grid[0, :2]), rows_of)
    _rewards(figure.add_subplot(grid[0, 2:]), rows_of)
    for column, (key, label) in enumerate(PANELS.items()):
        axes = figure.add_subplot(grid[1, column])
        _curve(axes, [_series(rows, key) for rows in rows_of.values()], COLOURS[0], "")
        _finish(axes, label)
    _times(figure.add_subplot(grid[2, :2]), rows_of)
    _speed(figure.add_subplot(grid[2, 2:]), rows_of)
    figure.suptitle(_title(rows_of), color=INK, fontsize=13)
    try:
        figure.savefig(out, dpi=110)
    except OSError as error:
        raise ValueError(f"cannot write {out}: {error.strerror}; choose another path") from error


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m rlrobo_train.plots", description="Draws the curves of one or several runs."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("--out", type=Path, default=Path("curves.png"), metavar="PNG")
    arguments = parser.parse_args()
    try:
        plot_curves(arguments.runs, arguments.out)
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    print(arguments.out)


# ---------------------------------------------------------------------- the panels


def _success(axes: Axes, rows_of: dict[str, list[Row]]) -> None:
    rollouts = [_series(rows, "rollout/success") for rows in rows_of.values()]
    _curve(axes, rollouts, COLOURS[0], "rollouts (sampled actions)")
    single = len(rows_of) == 1
    evaluations = [_series(rows, "eval/success") for rows in rows_of.values()]
    for (name, rows), series in zip(rows_of.items(), evaluations, strict=True):
        low, high = _series(rows, "eval/ci_low"), _series(rows, "eval/ci_high")
        if not len(series.y) or not len(series.y) == len(low.y) == len(high.y):
            continue
        bars = np.maximum(0.0, [series.y - low.y, high.y - series.y])
        label = "held-out episodes, 95% interval" if single else f"held-out episodes, {name}"
        colour = COLOURS[1] if single else COLOURS[1 + list(rows_of).index(name) % 7]
        axes.errorbar(
            series.x, series.y, bars, fmt="o-", ms=5, lw=1.0 if single else 0.6, capsize=3,
            color=colour, label=label, alpha=1.0 if single else 0.75, zorder=3,
        )  # fmt: skip
    axes.set_ylim(-0.03, 1.03)
    _finish(axes, "success")


def _rewards(axes: Axes, rows_of: dict[str, list[Row]]) -> None:
    keys = sorted({key for rows in rows_of.values() for row in rows for key in row})
    terms = [key for key in keys if key.startswith("reward/") and key != "reward/mean"]
    for n, key in enumerate(["reward/mean", *terms]):
        name = "return" if key == "reward/mean" else f"{key.removeprefix('reward/')} (unweighted)"
        series = [_series(rows, key) for rows in rows_of.values()]
        _curve(axes, series, COLOURS[n % len(COLOURS)], name, bold=not n)
    _finish(axes, "return of an episode and its terms")


def _times(axes: Axes, rows_of: dict[str, list[Row]]) -> None:
    """Seconds of an iteration by what they were spent on, stacked; the mean of several runs."""
    keys = sorted({k for rows in rows_of.values() for row in rows for k in row if "time/" in k})
    means = {key: _mean([_series(rows, key) for rows in rows_of.values()]) for key in keys}
    x = np.unique(np.concatenate([np.zeros(0), *(mean.x for mean in means.values())]))
    if len(x):
        layers = [np.interp(x, *_smooth(mean)) for mean in means.values() if len(mean.x)]
        labels = [key.removeprefix("time/") for key, mean in means.items() if len(mean.x)]
        axes.stackplot(x, *layers, labels=labels, colors=COLOURS, alpha=0.75, lw=0)
    axes.set_ylim(bottom=0)
    _finish(axes, "time of an iteration [s]")


def _speed(axes: Axes, rows_of: dict[str, list[Row]]) -> None:
    series = [_series(rows, "rollout/steps_per_s") for rows in rows_of.values()]
    _curve(axes, series, COLOURS[0], "")
    axes.set_ylim(bottom=0)
    _finish(axes, "control steps a second, all environments")


# ---------------------------------------------------------------------- curves


def _curve(axes: Axes, runs: list[Series], colour: str, label: str, bold: bool = True) -> None:
    """One run: its points, faint, and their running mean. Several: each faint, their mean and
    standard deviation."""
    runs = [series for series in runs if len(series.x)]
    for series in runs:
        axes.plot(*series, color=colour, lw=0.8, alpha=0.3, marker="." if len(series.x) < 3 else "")
    if not runs:
        return
    mean = _smooth(_mean(runs))
    axes.plot(*mean, color=colour, lw=2.2 if bold else 1.4, label=label or None)
    if len(runs) > 1:
        x, spread = _spread(runs)
        low, high = mean.y - spread, mean.y + spread
        axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)


def _series(rows: list[Row], key: str) -> Series:
    """The rows that hold the metric; of rows of one iteration the last counts."""
    found = {row["iteration"]: row[key] for row in rows if np.isfinite(row.get(key, np.nan))}
    return Series(np.array(sorted(found)), np.array([found[x] for x in sorted(found)]))


def _mean(runs: list[Series]) -> Series:
    """Over the runs that were there at an iteration."""
    x, values = _table(runs)
    return Series(x, np.array([column[np.isfinite(column)].mean() for column in values.T]))


def _spread(runs: list[Series]) -> Series:
    """Standard deviation across the runs that were there at an iteration; 0 of one."""
    x, values = _table(runs)
    finite = [_smoothed_column(column) for column in values.T]
    return _smooth(Series(x, np.array(finite)))


def _smoothed_column(column: Floats) -> float:
    present = column[np.isfinite(column)]
    return float(present.std(ddof=1)) if len(present) > 1 else 0.0


def _table(runs: list[Series]) -> tuple[Floats, Floats]:
    """Iterations f[X] and values f[runs, X], NaN where a run has none."""
    x = np.unique(np.concatenate([np.zeros(0), *(series.x for series in runs)]))
    values = np.full((len(runs), len(x)), np.nan)
    for row, series in zip(values, runs, strict=True):
        row[np.searchsorted(x, series.x)] = series.y
    return x, values


def _smooth(series: Series) -> Series:
    """Centred running mean; the window shrinks at the ends, so that they are not bent."""
    n = len(series.y)
    sums = np.concatenate([[0.0], np.cumsum(series.y)])
    half = np.minimum(WINDOW // 2, np.minimum(np.arange(n), np.arange(n)[::-1]))
    at = np.arange(n)
    return Series(series.x, (sums[at + half + 1] - sums[at - half]) / (2 * half + 1))


# ---------------------------------------------------------------------- looks


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    axes.set_xlabel("iteration", fontsize=9, color=INK)
    axes.grid(color=FAINT, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(labelsize=8.5, colors=INK, length=0)
    if not axes.has_data():
        axes.text(0.5, 0.5, "no data yet", transform=axes.transAxes, ha="center", color="#8a909c")
    elif axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8.5, frameon=False, labelcolor=INK)


def _title(rows_of: dict[str, list[Row]]) -> str:
    if len(rows_of) > 1:
        return f"{len(rows_of)} runs: mean and standard deviation"
    (name, rows), *_ = rows_of.items()
    if not rows:
        return name
    return f"{name}: {rows[-1]['iteration']:.0f} iterations in {rows[-1]['wall_s'] / 60:.1f} min"


def _names(runs: list[Path]) -> Iterator[str]:
    """The run directories' names, told apart by their parents where they are alike."""
    directories = [run.resolve() if run.is_dir() else run.resolve().parent for run in runs]
    alike = len({directory.name for directory in directories}) < len(directories)
    for directory in directories:
        yield str(Path(*directory.parts[-2:])) if alike else directory.name


if __name__ == "__main__":
    main()
