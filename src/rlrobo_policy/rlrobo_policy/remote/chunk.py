"""Several actions in one answer: which of them is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlrobo_policy.remote.layout import Answer


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Row h of `answer.action_HD` is for h control steps after the observation."""

    answer: Answer
    observed_s: float
    """When the observation was made, by the monotonic clock [s]."""
    control_hz: float
    owner: tuple[Any, ...]
    """The episode that it belongs to."""

    def due(self, now_s: float) -> int:
        """The row for this time; beyond the last one where all are past."""
        return int((now_s - self.observed_s) * self.control_hz + 0.5)

    def serves(self, owner: tuple[Any, ...], now_s: float, rows: int) -> bool:
        """Whether the next observation of the same episode needs no answer of its own, because
        one of the first `rows` is due. With one row it always does."""
        held = min(rows, len(self.answer.action_HD))
        return held > 1 and owner == self.owner and self.due(now_s) < held

    def row(self, now_s: float) -> int:
        """The row to use of a fresh answer: those before it were for a time that is gone. Where
        all were, the last one; how old an answer may be is the deadline's business."""
        return min(self.due(now_s), len(self.answer.action_HD) - 1)
