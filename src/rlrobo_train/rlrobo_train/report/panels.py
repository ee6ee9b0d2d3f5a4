"""Which curves a report draws, as data for assets/charts.js."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from rlrobo_train.curves import Array, Axis, Run, over_runs, running, series

AXES: tuple[Axis, ...] = ("iteration", "minutes")
POINTS = 300
"""Of a longer curve so many points are drawn, evenly taken."""
PARTS = ("decode", "render", "rollout", "update")
"""How a training iteration's time divides; rollout without the two that are parts of it."""
PART_LABELS = ("decode actions", "render images", "rest of the rollout", "update")

Groups = Mapping[str, Sequence[Run]]
"""Name -> runs of one kind; the only run of a report is named ''."""


@dataclass(frozen=True, slots=True)
class Line:
    """A curve over one axis. Without spread `low` and `high` are empty, unsmoothed `raw` is."""

    x: list[float]
    y: list[float | None]
    low: list[float | None]
    high: list[float | None]
    raw: list[float | None]


@dataclass(frozen=True, slots=True)
class Series:
    label: str
    color: int
    """Of the page's palette."""
    by: dict[Axis, Line]
    spread: Literal["band", "bars"] = "band"


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    series: list[Series]
    note: str = ""
    """Of its spread, where that is not what `spread_note` says."""
    unit: str = ""
    """%: values are fractions and shown as percent."""
    stacked: bool = False

    def data(self) -> dict[str, Any]:
        return asdict(self)


RUNNING = (
    "Lines are running means, bands their standard deviation to either side, faint lines every "
    "iteration."
)
RANGE = "Of runs under one name the line is their mean and the band goes from lowest to highest."


def panels(groups: Groups) -> list[Panel]:
    """The main curves; of a single run with its reward terms and its time."""
    alone = _only(groups)
    many = [
        _success(groups),
        _metric(groups, "Success of the rollouts", "rollout/success", unit="%"),
        _metric(groups, "Return of an episode", "reward/mean"),
        _metric(groups, "Entropy of the policy [nat]", "policy/entropy"),
        _metric(groups, "Policy loss", "loss/policy"),
        _metric(groups, "Approximate KL of an update", "policy/approx_kl"),
        _metric(groups, "Clipped ratios", "policy/clip_fraction", unit="%"),
        _metric(groups, "Norm of the gradient", "optim/grad_norm"),
        _metric(groups, "Rollout steps a second", "rollout/steps_per_s"),
    ]
    if alone is not None:
        many[2] = _rewards(alone)
        many += [_each(alone, title, keys) for title, keys in _OF_EACH]
    return [panel for panel in many if panel.series]


_OF_EACH = (
    ("Success of each task in evaluations", r"eval/success/(.+)"),
    ("Success of each task's rollouts", r"rollout/success/(.+)"),
    ("Curriculum: success of each task, smoothed", r"smoothed_success/([^/]+)"),
    ("Curriculum: chance that a task is next", r"curriculum/([^/]+)"),
    ("Starts: success from each bin, smoothed, 0 the easiest", r"smoothed_success/(.+/\d+)"),
    ("Starts: chance that one is of the bin", r"starts/(.+/\d+)"),
)
"""Titles, and the metrics that stand together; a group names each."""


def spread_note(groups: Groups) -> str:
    """What lines and bands are; single runs may stand beside several of one name."""
    sizes = {len(runs) > 1 for runs in groups.values()}
    return " ".join(note for several, note in ((False, RUNNING), (True, RANGE)) if several in sizes)


def other_panels(groups: Groups, shown: Sequence[Panel]) -> list[Panel]:
    """One of each metric that the run logged and that has no panel of its own."""
    titles = {panel.title for panel in shown}
    drawn = {"iteration", "wall_s", "eval/ci_low", "eval/ci_high", *_DRAWN}
    keys = sorted({key for runs in groups.values() for run in runs for row in run for key in row})
    found = [_metric(groups, key, key) for key in keys if key not in drawn]
    return [panel for panel in found if panel.series and panel.title not in titles]


_DRAWN = (
    "eval/success",
    "rollout/success",
    "reward/mean",
    "policy/entropy",
    "loss/policy",
    "policy/approx_kl",
    "policy/clip_fraction",
    "optim/grad_norm",
    "rollout/steps_per_s",
)


def time_panel(run: Run) -> Panel:
    """Seconds of each iteration, by what they went to."""
    by: list[dict[Axis, Line]] = [{} for _ in PARTS]
    for axis in AXES:
        x, seconds = time_parts(run, axis)
        for lines, y in zip(by, seconds, strict=True):
            lines[axis] = _line(x, running(y)[0])
    named = zip(PART_LABELS, by, strict=True)
    return Panel(
        "Seconds of an iteration",
        [Series(label, color, lines) for color, (label, lines) in enumerate(named)],
        note="running means, one on the other",
        unit="s",
        stacked=True,
    )


def time_parts(run: Run, axis: Axis = "iteration") -> tuple[Array, list[Array]]:
    """x of the training iterations, and the seconds of each of `PARTS`."""
    rows = [row for row in run if "time/rollout" in row and "time/update" in row]
    x, _ = series(rows, "time/rollout", axis)
    seconds = {
        part: np.array([row.get(f"time/{part}", 0.0) for row in rows], np.float64) for part in PARTS
    }
    inside = seconds["decode"] + seconds["render"]
    seconds["rollout"] = np.maximum(seconds["rollout"] - inside, 0.0)
    return x, list(seconds.values())


def _success(groups: Groups) -> Panel:
    """Evaluations on held-out episodes."""
    drawn = []
    for color, (name, runs) in enumerate(groups.items()):
        if len(runs) > 1:
            drawn += _spread_over_runs(name, color, runs, "eval/success")
        else:
            by: dict[Axis, Line] = {axis: _evaluations(runs[0], axis) for axis in AXES}
            if by["iteration"].x:
                drawn.append(Series(name or "evaluation", color, by, spread="bars"))
    bars = any(it.spread == "bars" for it in drawn)
    note = "bars: 95% intervals over the held-out episodes" * bars
    return Panel("Success in evaluations", drawn, note, "%")


def _evaluations(run: Run, axis: Axis) -> Line:
    x, y = series(run, "eval/success", axis)
    low, high = series(run, "eval/ci_low", axis)[1], series(run, "eval/ci_high", axis)[1]
    return _line(x, y, low, high) if len(low) == len(high) == len(y) else _line(x, y)


def _metric(groups: Groups, title: str, key: str, unit: str = "") -> Panel:
    drawn: list[Series] = []
    for color, (name, runs) in enumerate(groups.items()):
        if len(runs) > 1:
            drawn += _spread_over_runs(name, color, runs, key)
        else:
            drawn += _smoothed(runs[0], key, name or key, color)
    return Panel(title, drawn, unit=unit)


def _spread_over_runs(name: str, color: int, runs: Sequence[Run], key: str) -> list[Series]:
    by: dict[Axis, Line] = {}
    for axis in AXES:
        found = over_runs(runs, key, axis)
        if found is None:
            return []
        by[axis] = _line(*found)
    return [Series(f"{name or key} ({len(runs)} runs)", color, by)]


def _rewards(run: Run) -> Panel:
    """The return and each of its terms (over all of a run's tasks)."""
    named = {key for row in run for key in row if key.startswith("reward/")}
    terms = sorted(key for key in named if key.count("/") == 1)
    keys = sorted(terms, key=lambda key: key != "reward/mean")
    labels = ["return" if key == "reward/mean" else key.removeprefix("reward/") for key in keys]
    drawn = [it for i, key in enumerate(keys) for it in _smoothed(run, key, labels[i], i)]
    return Panel("Return of an episode and its unweighted terms", drawn)


def _each(run: Run, title: str, keys: str) -> Panel:
    logged = sorted({key for row in run for key in row})
    found = [match for key in logged if (match := re.fullmatch(keys, key))]
    drawn = [it for i, match in enumerate(found) for it in _smoothed(run, match[0], match[1], i)]
    return Panel(title, drawn, unit="%")


def _smoothed(run: Run, key: str, label: str, color: int) -> list[Series]:
    """Nothing where the run lacks the metric."""
    by: dict[Axis, Line] = {}
    for axis in AXES:
        x, y = series(run, key, axis)
        if not np.isfinite(y).any():
            return []
        mean, std = running(y)
        # Not beyond what there was: a divergence is never below zero.
        low, high = np.maximum(mean - std, np.nanmin(y)), np.minimum(mean + std, np.nanmax(y))
        by[axis] = _line(x, mean, low, high, y)
    return [Series(label, color, by)]


def _line(x: Array, y: Array, *others: Array) -> Line:
    """`others`: low, high, raw, as many as there are. Long ones are thinned."""
    kept = np.unique(np.linspace(0, max(len(x) - 1, 0), min(len(x), POINTS)).round().astype(int))
    low, high, raw = [*(_values(it[kept]) for it in others), [], [], []][:3]
    return Line([round(float(it), 3) for it in x[kept]], _values(y[kept]), low, high, raw)


def _values(y: Array) -> list[float | None]:
    """Four digits, as many as anyone reads off; None for NaN, which JSON lacks."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in y]


def _only(groups: Groups) -> Run | None:
    runs = [run for it in groups.values() for run in it]
    return runs[0] if len(runs) == 1 else None
