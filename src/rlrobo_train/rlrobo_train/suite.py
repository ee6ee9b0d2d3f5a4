"""What an evaluation suite found: every task under every shift, as a table, JSON and Markdown."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rlrobo_core.intervals import SuccessRate
from rlrobo_core.shifts import NO_SHIFT, SHIFTS, request_name
from rlrobo_train.config import TrainConfig
from rlrobo_train.evaluation import Rates, episodes_told, pooled, told

LEGEND = "A dash: the task has nothing that this shift could change."


def write_suite(run: Path, config: TrainConfig, rates: Rates, policy_version: int) -> None:
    """`suite.json` and `suite.md` in the run directory. `rates` by the name of the request."""
    tasks = {
        task: {shift: told(rate) if rate else None for shift, rate in under.items()}
        for task, under in _by_task(config, rates).items()
    }
    found = {
        "tasks": tasks,
        "mean": told(pooled({task: rates[task] for task in config.tasks})),
        "shifts": {name: SHIFTS[name].meaning for name in config.tested_shifts},
        "variant": config.variant,
        "checkpoint": config.checkpoint or config.model,
        "policy_version": policy_version,
        "eval_seed": config.eval_seed,
        "temperature": config.eval_temperature,
        "command": shlex.join(sys.argv),
    }
    (run / "suite.json").write_text(json.dumps(found, indent=2) + "\n")
    (run / "suite.md").write_text(_markdown(config, rates, found["checkpoint"]))


def print_suite(config: TrainConfig, rates: Rates) -> None:
    """A row a shift, a column a task."""
    header, *rows = _cells(config, rates)
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    width = None if console.is_terminal else 200  # a log's lines are not wrapped at 80
    for part in (_title(config), table, LEGEND):
        console.print(part, width=width)


def _markdown(config: TrainConfig, rates: Rates, checkpoint: str) -> str:
    header, *rows = _cells(config, rates)
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    meanings = [f"- {name}: {SHIFTS[name].meaning}" for name in config.tested_shifts]
    parts = [f"{checkpoint}: {_title(config)}.", "\n".join(lines), LEGEND, "\n".join(meanings)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(config: TrainConfig) -> str:
    told_of = episodes_told(config.episodes, config.eval_temperature)
    return f"success with 95% intervals, each in {told_of}"


def _cells(config: TrainConfig, rates: Rates) -> list[list[str]]:
    """The table's rows, header first."""
    by_task = _by_task(config, rates)
    rows = [["", *by_task]]
    for shift in (NO_SHIFT.name, *config.tested_shifts):
        name = NO_SHIFT.meaning if shift == NO_SHIFT.name else shift
        rows.append([name, *(str(under[shift] or "–") for under in by_task.values())])
    return rows


def _by_task(config: TrainConfig, rates: Rates) -> dict[str, dict[str, SuccessRate | None]]:
    """task -> shift -> its success; None where the shift was left out."""
    shifts = (NO_SHIFT.name, *config.tested_shifts)
    return {
        task: {shift: rates.get(request_name(task, shift)) for shift in shifts}
        for task in config.tasks
    }
