"""The metrics of a run: one JSON object a line in metrics.jsonl, and the same in TensorBoard."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

METRICS_FILE = "metrics.jsonl"
TENSORBOARD = "tensorboard"

Row = dict[str, float]
"""Slash keys -> value, with `iteration` and `wall_s` [s]. Not every row holds every key."""


class MetricsLog:
    """Appends rows; a row outlives the process once `log` returns. Used by one at a time."""

    def __init__(self, directory: Path, wall_s: float = 0.0, first_iteration: int = 0) -> None:
        """`wall_s`: the wall clock that earlier sessions of the run have spent [s].
        `first_iteration`: TensorBoard hides what an earlier session logged from there on."""
        # Imported here because it takes two seconds, which who only reads metrics need not wait.
        from torch.utils.tensorboard import SummaryWriter

        self._began = time.monotonic() - wall_s
        self._stream = (directory / METRICS_FILE).open("a", encoding="utf-8")
        self._board = SummaryWriter(str(directory / TENSORBOARD), purge_step=first_iteration)

    @property
    def wall_s(self) -> float:
        """Wall clock that the run has spent, over all its sessions [s]."""
        return time.monotonic() - self._began

    def log(self, metrics: Row, iteration: int) -> None:
        row = {"iteration": iteration, "wall_s": round(self.wall_s, 3)} | metrics
        self._stream.write(_line(row))
        self._stream.flush()
        for key, value in metrics.items():
            self._board.add_scalar(key, value, iteration)
        self._board.flush()

    def close(self) -> None:
        self._stream.close()
        self._board.close()


def read_metrics(run: Path) -> list[Row]:
    """Rows of a run directory or of a metrics.jsonl; null reads as NaN. A last line that was cut
    off by a crash is left out.

    Raises ValueError for what is not there or not metrics.
    """
    path = run / METRICS_FILE if run.is_dir() else run
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    except OSError as error:
        raise ValueError(
            f"no metrics at {path} ({error.strerror}); give a run directory or its {METRICS_FILE}"
        ) from error
    return [_parse(line, number, path) for number, line in enumerate(lines, 1)]


def cut_metrics(directory: Path, last_iteration: int) -> list[Row]:
    """Deletes the rows after `last_iteration`, so that a resumed run does not log them twice.
    Returns the rows that stay."""
    path = directory / METRICS_FILE
    if not path.exists():
        return []
    rows = [row for row in read_metrics(path) if row["iteration"] <= last_iteration]
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(map(_line, rows)), encoding="utf-8")
    temporary.replace(path)
    return rows


def _line(row: Row) -> str:
    # JSON has no NaN; null keeps the line readable for every parser.
    finite = {key: value if math.isfinite(value) else None for key, value in row.items()}
    return json.dumps(finite) + "\n"


def _parse(line: str, number: int, path: Path) -> Row:
    try:
        row = json.loads(line)
        return {key: math.nan if value is None else value for key, value in row.items()}
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} line {number} is not a JSON object: {line[:60]!r}") from error
