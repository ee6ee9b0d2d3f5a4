"""What the process reward model said of the rollouts of one request, paired by id.

Shape legend: G rollouts of a group, L steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.types import RolloutRequest, ScoreBatch

At = tuple[int, int]
"""(step, rollout)"""


class GroupScore(NamedTuple):
    """Of one group; 0 where nobody acted."""

    seen_GL: NDArray[np.float32]
    """What each rollout saw before its action."""
    reached_GL: NDArray[np.float32]
    """What it saw after it; 0 where the episode was over then."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Of the rows of a request, as they come in."""

    request: RolloutRequest
    _scores: dict[int, dict[At, float]] = field(default_factory=dict)

    def add(self, batch: ScoreBatch) -> None:
        ids_N3 = np.stack([batch.group_N, batch.step_N, batch.rollout_N], -1).tolist()
        for (group, step, rollout), score in zip(ids_N3, batch.score_N.tolist(), strict=True):
            self._scores.setdefault(group, {}).setdefault((step, rollout), score)

    def lacking(self, group: int, shown: Iterable[At]) -> list[At]:
        """Those of the rows that have no score."""
        return sorted(set(shown) - self._scores.get(group, {}).keys())

    def of_group(
        self, group: int, rows: Mapping[At, int], ends: Iterable[At], chosen_GL: NDArray[np.bool_]
    ) -> GroupScore:
        """`rows`: those that were seen, and for how many rollouts each speaks; `ends`: those that
        show one. All of them have a score."""
        score, steps = self._scores[group], chosen_GL.shape[1]
        seen = np.zeros((len(chosen_GL), steps + 1), np.float32)
        for (step, first), samples in rows.items():
            seen[first : first + samples, step] = score[step, first]
        reached_GL = seen[:, 1:].copy()
        for step in range(1, steps):
            if self.request.branches_end(group, step):  # others go on from there than came there
                reached_GL[~chosen_GL[:, step - 1], step - 1] = 0.0
        for step, end in ends:
            reached_GL[end - self.request.first_end, step - 1] = score[step, end]
        return GroupScore(seen[:, :-1], reached_GL)
