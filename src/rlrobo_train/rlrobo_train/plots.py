"""Curves of one or several runs as one picture, from their metrics.jsonl alone.

python -m rlrobo_train.plots runs/a                              -> runs/a/curves.png
python -m rlrobo_train.plots runs/a runs/b --out both.png        mean and spread of seeds
python -m rlrobo_train.plots grpo=runs/a grpo=runs/b branch=runs/c --out forms.png
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from rlrobo_train.curves import Run, all_series, over_runs, series, smooth
from rlrobo_train.metrics import read_metrics

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
"""Okabe and Ito's palette, told apart by colour-blind readers."""


def plot_curves(runs: Sequence[Path], out: Path) -> Path:
    """Draws run directories (or metrics.jsonl files) of one kind; several as mean and spread."""
    return plot_groups({"": runs}, out)


def plot_groups(groups: Mapping[str, Sequence[Path]], out: Path) -> Path:
    """Draws named groups of runs over each other, each as its mean and spread; returns `out`.

    Raises ValueError for a run without metrics.
    """
    loaded = {name: [read_metrics(path) for path in paths] for name, paths in groups.items()}
    figure = Figure(figsize=(15, 8), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    FigureCanvasAgg(figure)
    panels = _PANELS_OF_ONE if sum(map(len, loaded.values())) == 1 else _PANELS_OF_MANY
    for axes, (title, draw) in zip(figure.subplots(2, 3).flat, panels, strict=True):
        draw(axes, loaded)
        _finish(axes, title)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".tmp-{out.name}")
    figure.savefig(temporary, dpi=110, format=out.suffix.removeprefix(".") or "png")
    temporary.replace(out)
    return out


Groups = Mapping[str, list[Run]]


def _success(axes: Axes, groups: Groups) -> None:
    """Evaluations with their 95% bars, the rollouts' success as a line behind them."""
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    for color, (name, runs) in zip(COLORS, groups.items(), strict=False):
        for run in runs:
            x, y = series(run, "rollout/success")
            label = "rollouts (sampled)" if run is runs[0] and not name else None
            axes.plot(x, smooth(y), color=color, alpha=0.35, lw=1.2, label=label)
        label = f"{name} evaluation".strip()
        if len(runs) > 1:
            for x, y in all_series(runs, "eval/success"):
                axes.plot(x, y, "o", ms=3.5, color=color, alpha=0.5)
            _mean_and_spread(axes, runs, "eval/success", color, f"{label}, {_seeds(runs)}")
        else:
            _evaluations(axes, runs[0], color, f"{label}, 95% interval")


def _evaluations(axes: Axes, run: Run, color: str, label: str) -> None:
    x, y = series(run, "eval/success")
    axes.plot(x, y, color=color, lw=2, label=label)
    _, low = series(run, "eval/ci_low")
    _, high = series(run, "eval/ci_high")
    if len(x) == len(low) == len(high):
        bars = np.maximum([y - low, high - y], 0.0)
        axes.errorbar(x, y, bars, fmt="o", ms=4, capsize=3, lw=1.2, color=color)


def _reward_terms(axes: Axes, groups: Groups) -> None:
    """The mean reward and each of its terms, of a single run (over all of its tasks)."""
    run = _only(groups)
    named = {key for row in run for key in row if key.startswith("reward/")}
    keys = sorted(key for key in named if key.count("/") == 1)
    keys.sort(key=lambda key: key != "reward/mean")
    _lines(axes, run, {key.removeprefix("reward/"): key for key in keys})


def _losses(axes: Axes, groups: Groups) -> None:
    run = _only(groups)
    _lines(axes, run, {"policy": "loss/policy"})
    if np.any(series(run, "loss/kl")[1]):
        _line(axes, run, "loss/kl", COLORS[1], "KL to the reference")


def _update_size(axes: Axes, groups: Groups) -> None:
    """How far an update moves the policy: approximate KL, and how many ratios were clipped."""
    run = _only(groups)
    _lines(axes, run, {"approximate KL (left)": "policy/approx_kl"})
    right = axes.twinx()
    right.spines[["top"]].set_visible(False)
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    x, y = series(run, "policy/clip_fraction")
    right.plot(x, smooth(y), color=COLORS[1], lw=1.8)
    right.set_ylim(bottom=0.0)
    axes.set_ylim(bottom=0.0)
    axes.plot([], [], color=COLORS[1], label="clip fraction (right)")


def _time_split(axes: Axes, groups: Groups) -> None:
    """Seconds of an iteration. Rendering and decoding are parts of the rollout."""
    run = _only(groups)
    x, rollout = series(run, "time/rollout")
    parts = {"rollout": rollout}
    for name in ("decode", "render"):
        _, seconds = series(run, f"time/{name}")
        if len(seconds) == len(rollout):
            parts[name] = seconds
            parts["rollout"] = np.maximum(parts["rollout"] - seconds, 0.0)
    if len(parts) > 1:
        parts["rest of the rollout"] = parts.pop("rollout")
    _, update = series(run, "time/update")
    if len(update) == len(rollout):
        parts["update"] = update
    if len(x):
        heights = [smooth(seconds) for seconds in parts.values()]
        axes.stackplot(x, *heights, labels=list(parts), colors=COLORS, alpha=0.8)
    axes.set_ylabel("s an iteration")
    axes.set_ylim(bottom=0)


def _metric(key: str) -> Callable[[Axes, Groups], None]:
    """A panel of one metric, for any number of runs."""

    def draw(axes: Axes, groups: Groups) -> None:
        for color, (name, runs) in zip(COLORS, groups.items(), strict=False):
            if len(runs) > 1:
                label = f"{name}, {_seeds(runs)}".removeprefix(", ")
                _mean_and_spread(axes, runs, key, color, label)
            else:
                _line(axes, runs[0], key, color, name or key.rpartition("/")[-1])

    return draw


_PANELS_OF_ONE: tuple[tuple[str, Callable[[Axes, Groups], None]], ...] = (
    ("Success", _success),
    ("Reward of a rollout and its unweighted terms", _reward_terms),
    ("Loss", _losses),
    ("Entropy of the policy [nat]", _metric("policy/entropy")),
    ("Size of the update", _update_size),
    ("Where the time goes", _time_split),
)
_PANELS_OF_MANY: tuple[tuple[str, Callable[[Axes, Groups], None]], ...] = (
    ("Success", _success),
    ("Reward of a rollout", _metric("reward/mean")),
    ("Policy loss", _metric("loss/policy")),
    ("Entropy of the policy [nat]", _metric("policy/entropy")),
    ("Approximate KL of an update", _metric("policy/approx_kl")),
    ("Clip fraction", _metric("policy/clip_fraction")),
)


def _lines(axes: Axes, run: Run, keys: Mapping[str, str]) -> None:
    for color, (label, key) in zip(COLORS, keys.items(), strict=False):
        _line(axes, run, key, color, label)


def _line(axes: Axes, run: Run, key: str, color: str, label: str) -> None:
    """A metric, pale as it is and bold as its running mean."""
    x, y = series(run, key)
    axes.plot(x, y, color=color, alpha=0.25, lw=0.8)
    axes.plot(x, smooth(y), color=color, lw=1.8, label=label)


def _mean_and_spread(axes: Axes, runs: list[Run], key: str, color: str, label: str) -> None:
    """Mean over runs, and the band from the lowest to the highest, where all of them have data."""
    found = over_runs(runs, key)
    if found is not None:
        axes.fill_between(found.x, found.low, found.high, color=color, alpha=0.18, lw=0)
        axes.plot(found.x, found.mean, color=color, lw=2.2, label=label)


def _seeds(runs: list[Run]) -> str:
    return f"mean and range of {len(runs)} runs"


def _only(groups: Groups) -> Run:
    [[run]] = groups.values()
    return run


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("wall clock [min]")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    for line in axes.lines:
        if len(np.atleast_1d(line.get_xdata())) == 1 and line.get_marker() == "None":
            line.set_marker("o")  # No line leads from one point.
    if any(len(np.atleast_1d(line.get_xdata())) for line in axes.lines) or axes.collections:
        axes.legend(framealpha=0.85, edgecolor="none", fontsize=8.5)
    else:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color="#7f7f7f")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("rlrobo_train.plots", description=__doc__.split("\n")[0])
    parser.add_argument(
        "runs", nargs="+", metavar="[NAME=]RUN", help="run directories; equal names are averaged"
    )
    parser.add_argument("--out", type=Path, help="picture; default: curves.png of the first run")
    arguments = parser.parse_args(argv)
    groups: dict[str, list[Path]] = {}
    for argument in arguments.runs:
        name, _, path = argument.rpartition("=")
        groups.setdefault(name, []).append(Path(path))
    try:
        first = next(iter(groups.values()))[0]
        folder = first if first.is_dir() else first.parent
        print(plot_groups(groups, arguments.out or folder / "curves.png"))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
