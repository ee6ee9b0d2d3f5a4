"""Which task an iteration trains on: in turn, or drawn by how well each task goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.types import HELD_OUT

Curriculum = Literal["none", "paper", "frontier"]

SMOOTHING = 0.3
"""Weight of an iteration's success in the smoothed rate of its task."""


@dataclass(slots=True)
class Schedule:
    """The tasks of a run, and how often rollouts have lately succeeded in each.

    none      in turn
    paper     P(task) ~ exp((0.5 - s) / tau), as VLA-RL prints it (arXiv 2505.18719): the harder the
              likelier
    frontier  P(task) ~ exp(-|0.5 - s| / tau), as its text means it: likeliest is what succeeds
              half of the time

    With a curriculum each task has its turn once, then they are drawn. Which one is drawn depends
    on the seed, the iteration and the rates alone, so a resumed run draws as an uninterrupted one.
    """

    tasks: Sequence[str]
    curriculum: Curriculum = "none"
    tau: float = 0.25
    seed: int = 0
    success: dict[str, float] = field(default_factory=dict)
    """task -> s, of those that have been heard of."""

    def task_of(self, iteration: int) -> str:
        if self.curriculum == "none":
            return self.tasks[iteration % len(self.tasks)]
        unheard = [task for task in self.tasks if task not in self.success]
        if unheard:
            return unheard[0]
        # Three numbers: two would repeat the stream of another use of (seed, iteration).
        rng = np.random.default_rng((self.seed, iteration, HELD_OUT))
        return self.tasks[int(rng.choice(len(self.tasks), p=self.chances()))]

    def hear(self, task: str, success: float) -> None:
        """Of an iteration's rollouts, the fraction that succeeded."""
        before = self.success.get(task, success)
        self.success[task] = before + SMOOTHING * (success - before)

    def chances(self) -> NDArray[np.float64]:
        """f64[tasks], how likely each is next; of one that has not been heard of, s is 1/2."""
        success = [self.success.get(task, 0.5) for task in self.tasks]
        return chances(success, self.curriculum, self.tau)

    @property
    def metrics(self) -> dict[str, float]:
        """Nothing where tasks take turns."""
        if self.curriculum == "none":
            return {}
        named = zip(self.tasks, self.chances().tolist(), strict=True)
        chances = {f"curriculum/{task}": chance for task, chance in named}
        return chances | {f"smoothed_success/{t}": s for t, s in self.success.items()}


def chances(success: Sequence[float], curriculum: Curriculum, tau: float) -> NDArray[np.float64]:
    """How likely each is next, of which rollouts have lately succeeded so often."""
    off = 0.5 - np.array(success)
    score = {"none": 0.0 * off, "paper": off, "frontier": -np.abs(off)}[curriculum]
    weight = np.exp((score - score.max()) / tau)
    return weight / weight.sum()
