"""The parts of a comparison: several runs over each other; runs of one name are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from rlrobo_core.intervals import mean_interval
from rlrobo_train.report import html
from rlrobo_train.report.data import RunData
from rlrobo_train.report.panels import other_panels, panels, spread_note, time_parts
from rlrobo_train.report.sections import curves_section, split_bar, value

Groups = Mapping[str, Sequence[RunData]]
"""Name -> runs of one kind, as of several seeds."""

BOOKKEEPING = ("run_dir", "resume")
"""Differ between any two runs."""


def comparison(groups: Groups) -> list[str]:
    runs = {name: [run.rows for run in members] for name, members in groups.items()}
    shown = panels(runs)
    return [
        _head(groups),
        _results(groups),
        curves_section(shown, other_panels(runs, shown), spread_note(runs)),
        _differences(groups),
        _times(groups),
    ]


def _head(groups: Groups) -> str:
    members = [run for it in groups.values() for run in it]
    tasks = sorted({run.tasks for run in members})
    names = ", ".join(groups)
    notes = []
    if len(tasks) > 1:
        notes.append(f"These runs are of different tasks ({', '.join(tasks)}): success and "
                     "return of one do not compare with those of another.")  # fmt: skip
    if unfinished := [run.name for run in members if not run.summary]:
        notes.append(f"Not finished: {', '.join(unfinished)}; the last figures are as of now.")
    if len({_judged(run) for run in members}) > 1:
        notes.append("The runs were judged differently (episodes, eval_seed, eval_temperature).")
    return "\n".join(
        [
            f"<h1>{len(members)} runs</h1>",
            f'<p class="lead">{escape(names)}</p>',
            *(html.paragraph(note, "warning") for note in notes),
        ]
    )


def _judged(run: RunData) -> tuple[Any, ...]:
    config = run.config  # of runs before there was a temperature, it was 0
    return config.get("episodes"), config.get("eval_seed"), config.get("eval_temperature", 0.0)


def _results(groups: Groups) -> str:
    rows = []
    for color, (name, members) in enumerate(groups.items()):
        swatch = f'<i class="swatch color{color % 8}"></i>{escape(name)}'
        rows += [(swatch, *_result(run)) for run in members]
        rates = [rate for run in members if (rate := _last(run, "eval/success")) is not None]
        if len(rates) > 1:
            spread = mean_interval(rates)
            low, high = max(spread.low, 0.0), min(spread.high, 1.0)
            mean = html.interval(spread.mean, low, high)
            rows.append((swatch, f"<b>mean of {len(rates)}</b>", "", "", "", "", "", mean))
    header = ("name", "run", "task", "algorithm", "iterations", "wall clock", "before", "after")
    return html.section(
        "results",
        "Results",
        html.table(header, rows, "numbers"),
        html.paragraph(
            "Success in evaluations. A run's interval is Wilson's over its held-out episodes; a "
            "mean's is Student's t over the runs. Both at 95%."
        ),
    )


def _result(run: RunData) -> tuple[str, ...]:
    judged = [row for row in run.rows if "eval/success" in row]

    def rate(index: int) -> str:
        if not judged:
            return "–"
        row = judged[index]
        low, high = row.get("eval/ci_low", np.nan), row.get("eval/ci_high", np.nan)
        return html.interval(row["eval/success"], low, high)

    state = "" if run.summary else ' <span class="state unfinished">unfinished</span>'
    return (
        f"{escape(run.name)}{state}",
        escape(run.tasks),
        escape(str(run.config.get("algorithm", "–"))),
        f"{run.iterations:,}",
        html.clock(run.wall_s),
        rate(0),
        rate(-1),
    )


def _last(run: RunData, key: str) -> float | None:
    return next((row[key] for row in reversed(run.rows) if key in row), None)


def _differences(groups: Groups) -> str:
    members = [run for it in groups.values() for run in it]
    names = dict.fromkeys(name for run in members for name in run.config)
    different = [
        name
        for name in names
        if name not in BOOKKEEPING
        and any(run.config.get(name) != members[0].config.get(name) for run in members)
    ]
    rows = [
        (f"<code>{escape(name)}</code>", *(value(run.config.get(name, "–")) for run in members))
        for name in different
    ]
    if not rows:
        return html.section(
            "configuration", "Configuration", html.paragraph("All are configured alike.")
        )
    header = ("parameter", *(run.name for run in members))
    return html.section(
        "configuration",
        "What was configured differently",
        html.table(header, rows),
        html.paragraph(f"{len(names) - len(different)} parameters are the same, or name the run."),
    )


def _times(groups: Groups) -> str:
    bars = []
    for run in (run for members in groups.values() for run in members):
        totals = [float(np.nansum(it)) for it in time_parts(run.rows)[1]]
        if sum(totals):
            rest = max(run.wall_s - sum(totals), 0.0)
            bars.append(f"<h3>{escape(run.name)}</h3>{split_bar([*totals, rest])}")
    return html.section("time", "Where the time went", *bars)
