"""The parts of a run's report, each a function from the run to its HTML."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from rlrobo_train.evaluation import episodes_told
from rlrobo_train.report import html
from rlrobo_train.report.data import EvaluationFile, RunData
from rlrobo_train.report.panels import (
    PART_LABELS,
    Panel,
    other_panels,
    panels,
    spread_note,
    time_panel,
    time_parts,
)
from rlrobo_train.report.strips import films, strips

SUCCEEDED, FAILED, UNKNOWN = (46, 160, 67), (207, 34, 46), (128, 128, 128)


def head(run: RunData) -> str:
    """What was trained, how it went, and whether it is over."""
    state = "finished" if run.summary else "unfinished"
    commit = str(run.versions.get("git_commit") or "unknown commit")
    facts = [run.tasks, str(run.config.get("algorithm", "")), str(run.config.get("model", ""))]
    line = " · ".join(fact for fact in facts if fact)
    notes = []
    if not run.summary:
        notes = [html.paragraph(f"This run is not finished: {_so_far(run)}.", "warning")]
    return "\n".join(
        [
            f'<h1>{escape(run.name)} <span class="state {state}">{state}</span></h1>',
            f'<p class="lead">{escape(line)} <code>{escape(commit[:12])}</code></p>',
            *notes,
            f'<div class="tiles">{"".join(_tiles(run))}</div>',
        ]
    )


def _so_far(run: RunData) -> str:
    if not run.rows:
        return "it has logged nothing yet"
    return f"what follows is of {run.iterations} iterations and {html.clock(run.wall_s)}"


def _tiles(run: RunData) -> list[str]:
    judged = [row for row in run.rows if "eval/success" in row]
    tiles = []
    for label, row in zip(("success before", "success after"), _ends(judged), strict=False):
        low, high = row.get("eval/ci_low", np.nan), row.get("eval/ci_high", np.nan)
        tiles.append(
            html.tile(
                label if len(judged) > 1 else "success",
                f"{row['eval/success']:.1%}",
                f"[{100 * low:.1f}, {100 * high:.1f}] of {row.get('eval/episodes', 0):.0f}",
            )
        )
    speeds = [row["rollout/steps_per_s"] for row in run.rows if "rollout/steps_per_s" in row]
    if run.iterations:
        tiles.append(html.tile("iterations", f"{run.iterations:,}", html.clock(run.wall_s)))
    if speeds:
        steps = sum(row.get("rollout/steps", 0.0) for row in run.rows)
        median = f"{np.median(speeds):,.0f}"
        tiles.append(html.tile("rollout steps a second", median, f"median; {steps:,.0f} in all"))
    return tiles


def _ends(items: list[Any]) -> list[Any]:
    return [items[0], items[-1]] if len(items) > 1 else items


def curves(run: RunData) -> str:
    groups = {"": [run.rows]}
    shown = panels(groups)
    return curves_section(shown, other_panels(groups, shown), spread_note(groups))


def curves_section(shown: list[Panel], others: list[Panel], note: str) -> str:
    """`note` says what lines and bands are."""
    if not shown:
        return html.section("curves", "Curves", html.paragraph("Nothing has been logged yet."))
    return html.section(
        "curves",
        "Curves",
        '<div class="switch" role="group" aria-label="horizontal axis">'
        '<button data-axis="iteration" aria-pressed="true">iterations</button>'
        '<button data-axis="minutes" aria-pressed="false">wall clock</button></div>',
        html.paragraph(f"{note} Values under the pointer stand in the legend."),
        html.script_data("panels", [panel.data() for panel in shown]),
        '<div class="panels" data-panels="panels"></div>',
        html.details(
            f"Every other metric ({len(others)})",
            html.script_data("others", [panel.data() for panel in others]),
            '<div class="panels small" data-panels="others"></div>',
        )
        if others
        else "",
    )


def evaluations(run: RunData) -> str:
    if not run.evaluations:
        return ""
    minutes = {int(row["iteration"]): row["wall_s"] for row in run.rows if "eval/success" in row}
    tasks = _tasks(run.evaluations)
    rows = [
        (
            f"{it.iteration}",
            html.clock(minutes[it.iteration]),
            *([escape(it.task)] if len(tasks) > 1 else []),
            html.interval(it.success, *it.ci95),
            f"{it.episodes}",
            f"{it.mean_length:.1f}",
            f"{it.mean_return:+.3f}",
        )
        for it in run.evaluations
    ]
    task = ["task"] if len(tasks) > 1 else []
    header = ("iteration", "wall clock", *task, "success, 95% interval", "episodes", "steps")
    return html.section(
        "evaluations",
        "Evaluations",
        html.paragraph(
            f"Each of {_told(run)}, from the same starts each time. The interval is Wilson's, over "
            "these episodes: it says nothing of how training seeds differ."
        ),
        html.table((*header, "return"), rows, "numbers"),
        *(_outcome_map(task, run.evaluations) for task in tasks),
    )


def _told(run: RunData) -> str:
    config = run.config
    return episodes_told(config.get("episodes", 0), config.get("eval_temperature", 0.0))


def _tasks(found: list[EvaluationFile]) -> list[str]:
    return list(dict.fromkeys(it.task for it in found))


def _outcome_map(task: str, found: list[EvaluationFile]) -> str:
    """Which held-out episodes succeeded when: a row an evaluation, a column an episode."""
    mine = [it for it in found if it.task == task]
    if len(mine) < 2:
        return ""
    groups = sorted({group for it in mine for group in it.outcomes})
    # The hardest first; those of equal difficulty in their order.
    groups.sort(key=lambda group: sum(it.outcomes.get(group, False) for it in mine))
    color = {True: SUCCEEDED, False: FAILED, None: UNKNOWN}
    pixels = [[color[it.outcomes.get(group)] for group in groups] for it in mine]
    never = sum(not any(it.outcomes.get(group) for it in mine) for group in groups)
    caption = (
        f"{task}: a row an evaluation (first on top), a column a held-out episode, hardest left; "
        f"green succeeded, red failed. {never} of {len(groups)} never succeeded."
    )
    source, alt = _png(np.array(pixels, np.uint8)), f"outcomes of {task}"
    return (
        f'<figure class="map"><img src="{source}" alt="{escape(alt)}" '
        f'style="height:{max(4, min(14, 160 // len(mine))) * len(mine)}px">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _png(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def film_strips(run: RunData) -> str:
    embedded = strips(run.records)
    if not embedded:
        return html.section(
            "episodes",
            "Episodes, step by step",
            html.paragraph("This run recorded no episodes (its folder episodes/ is not there)."),
        )
    judged = sum(it.label.startswith("evaluation") for it in embedded)
    return html.section(
        "episodes",
        "Episodes, step by step",
        html.paragraph(
            "What the policy saw, what it did and how sure it was, and what came of it. Of an "
            "evaluation up to four that failed and two that succeeded; of training the worst and "
            "the best, with the advantages that they taught. x, y and z are where the action sends "
            "the tool from where it is; small: the probability of that token, given those before."
            + _left_out(embedded, run.records)
        ),
        f'<div class="choices">{html.chooser("strip", embedded, max(judged - 1, 0))}'
        '<div id="episode-buttons" role="group" aria-label="episode"></div></div>',
        '<div id="episode"></div>',
    )


def videos(run: RunData) -> str:
    embedded = films(run.evaluations)
    if not embedded:
        return ""
    filmed = [it for it in run.evaluations if it.film]
    return html.section(
        "films",
        "Films",
        html.paragraph(
            "The first held-out episodes of an evaluation; a green frame at the end: succeeded, a "
            "red one: failed." + _left_out(embedded, filmed)
        ),
        f'<div class="choices">{html.chooser("film", embedded, len(embedded) - 1)}</div>',
        '<div id="player"></div>',
    )


def _left_out(embedded: list[Any], there: list[Any]) -> str:
    missing = len(there) - len(embedded)
    return f" {missing} of {len(there)} were left out to keep the page small." if missing else ""


def time_split(run: RunData) -> str:
    _, seconds = time_parts(run.rows)
    totals = [float(np.nansum(it)) for it in seconds]
    if not sum(totals):
        return ""
    rest = max(run.wall_s - sum(totals), 0.0)
    return html.section(
        "time",
        "Where the time went",
        split_bar([*totals, rest]),
        html.script_data("time-panel", [time_panel(run.rows).data()]),
        '<div class="panels wide" data-panels="time-panel"></div>',
    )


def split_bar(seconds: list[float]) -> str:
    """The parts of a run's wall clock: those of `PART_LABELS`, and the rest."""
    labels = (*PART_LABELS, "evaluations, checkpoints, start")
    whole = max(sum(seconds), 1e-9)
    bar = "".join(
        f'<i class="color{i}" style="flex-grow:{value / whole:.5f}" title="{label}"></i>'
        for i, (label, value) in enumerate(zip(labels, seconds, strict=True))
    )
    legend = "".join(
        f'<li><i class="color{i}"></i>{label} <b>{value / whole:.0%}</b> '
        f"<small>{html.clock(value)}</small></li>"
        for i, (label, value) in enumerate(zip(labels, seconds, strict=True))
    )
    return f'<div class="split">{bar}</div><ul class="legend">{legend}</ul>'


def configuration(run: RunData) -> str:
    rows = [(f"<code>{escape(name)}</code>", value(it)) for name, it in run.config.items()]
    made = [(escape(name), escape(str(it or "–"))) for name, it in run.versions.items()]
    return html.section(
        "configuration",
        "Configuration",
        f'<div class="columns">{html.table(("parameter", "value"), rows)}'
        f"{html.table(('made with', 'version'), made)}</div>",
    )


def value(it: Any) -> str:
    """A configured value as HTML."""
    text = ", ".join(map(str, it)) if isinstance(it, list) else str(it)
    return escape(text) if text else '<span class="faint">empty</span>'
