"""What a run shows while it runs: a live line in a terminal, plain lines where output is piped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress as RichProgress

from rlrobo_core.intervals import SuccessRate
from rlrobo_train.evaluation import episodes_told
from rlrobo_train.metrics import Row


class Progress:
    """Shows the newest metrics and how much of the budget is spent."""

    def __init__(
        self, minutes: float = 0.0, iterations: int = 0, stream: TextIO | None = None
    ) -> None:
        """`minutes`, `iterations`: the budget, 0 where there is none. `stream`: default stdout."""
        out = stream or sys.stdout
        self._minutes, self._iterations = minutes, iterations
        self._latest: Row = {}
        self._display: _Display = _Live(out) if out.isatty() else _Lines(out)

    def update(self, row: Row) -> None:
        """Shows a row of metrics with `iteration` and `wall_s`; what it lacks stays as it was."""
        self._latest |= row
        line = progress_line(self._latest, self._minutes, self._iterations)
        latest = self._latest["iteration"], self._latest["wall_s"]
        spent = share_spent(*latest, self._minutes, self._iterations)
        self._display.show(line, min(1.0, spent))

    def note(self, text: str) -> None:
        """A line that stays."""
        self._display.note(text)

    def close(self) -> None:
        """Leaves the terminal as it was; may be called again."""
        self._display.close()


def share_spent(iteration: float, wall_s: float, minutes: float, iterations: int) -> float:
    """The part of the budget that is spent, of whichever limit is nearer; above 1 where it is
    overdrawn. `minutes`, `iterations`: the budget, 0 where there is none."""
    by_time = wall_s / (60.0 * minutes) if minutes else 0.0
    by_count = iteration / iterations if iterations else 0.0
    return max(by_time, by_count)


def progress_line(row: Row, minutes: float = 0.0, iterations: int = 0) -> str:
    """One line of what is known, as

    iteration 40  3:05 / 15:00  rollout 62.5%  eval 71.0% [64.4, 76.9]  loss 0.012  …
    """
    count = f"{row['iteration']:.0f}" + (f" / {iterations}" if iterations else "")
    clock = _clock(row["wall_s"]) + (f" / {_clock(60 * minutes)}" if minutes else "")
    parts = [f"iteration {count}", clock]
    if "rollout/success" in row:
        parts.append(f"rollout {row['rollout/success']:.1%}")
    if "eval/success" in row:
        low, high = 100 * row["eval/ci_low"], 100 * row["eval/ci_high"]
        parts.append(f"eval {row['eval/success']:.1%} [{low:.1f}, {high:.1f}]")
    for key, text in (
        ("loss/policy", "loss {:.3f}"),
        ("policy/entropy", "entropy {:.2f}"),
        ("rollout/steps_per_s", "{:,.0f} steps/s"),
    ):
        if key in row:
            parts.append(text.format(row[key]))
    if row.get("graph/messages_lost"):
        parts.append(f"{row['graph/messages_lost']:.0f} messages lost")
    return "  ".join(parts)


def final_line(
    run: Path, before: SuccessRate | None, after: SuccessRate, temperature: float
) -> str:
    """The last line of a run: where it is, and success (before, in training, and) after it with
    95% intervals, of evaluations at this temperature."""
    rates = f"{before} before, {after} after" if before else f"{after}"
    return f"{run}: success {rates} (95% intervals, {episodes_told(after.episodes, temperature)})"


class _Display(Protocol):
    def show(self, line: str, spent: float) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


class _Lines:
    """Every update is a line: under `ros2 launch`, in a log file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, line: str, spent: float) -> None:
        self.note(line)

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        pass


class _Live:
    """A bar of the budget and the newest line, redrawn in place; shown from the first update."""

    def __init__(self, stream: TextIO) -> None:
        self._progress = RichProgress(
            BarColumn(bar_width=20),
            "{task.description}",
            console=Console(file=stream, highlight=False),
            auto_refresh=False,
        )
        self._task = self._progress.add_task("", total=1.0)

    def show(self, line: str, spent: float) -> None:
        self._progress.start()
        self._progress.update(
            self._task, description=line.replace("[", r"\["), completed=spent, refresh=True
        )

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False)

    def close(self) -> None:
        self._progress.stop()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
