"""Which starts an iteration trains on: as they come, or drawn by how well starts as hard go.

A start is a function of (seed, group), so the trainer knows each before it is rolled out: it draws
which groups to ask for. Nothing else changes, neither in the simulation nor in the messages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import Task
from rlrobo_core.tasks.difficulty import difficulty
from rlrobo_core.types import HELD_OUT
from rlrobo_sim.states import initial_scene
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.schedule import SMOOTHING, Curriculum, chances

BINS = 5
"""A task's starts from the easiest to the hardest, as many in each."""
SURVEYED = 1000
"""Starts that the bins' edges are drawn through."""


@dataclass(slots=True)
class Starts:
    """The starts of a run, and how often rollouts have lately succeeded from those as hard.

    The chance of a bin is that of a task in `Schedule`: `none` all alike, `paper` the harder the
    likelier, `frontier` what succeeds half of the time. Of a bin that nobody has heard of s is 1/2.
    An iteration's starts are drawn from BINS times as many: where those of a bin are used up, from
    the bin next to it.
    """

    tasks: Mapping[str, Task]
    curriculum: Curriculum = "none"
    tau: float = 0.25
    seed: int = 0
    success: dict[str, float] = field(default_factory=dict)
    """<task>/<bin> -> s, of those that have been heard of; bin 0 is the easiest."""
    _edges: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def group_ids(self, task: str, iteration: int, count: int) -> tuple[int, ...]:
        """Which groups the iteration rolls out. They depend on the seed, the iteration and the
        rates alone, and no two iterations have one in common."""
        if self.curriculum == "none":
            return tuple(range(iteration * count, (iteration + 1) * count))
        first = iteration * count * BINS
        left: dict[int, list[int]] = defaultdict(list)
        for group in range(first, first + count * BINS):
            left[self.bin_of(task, group)].append(group)
        # Four numbers: fewer would repeat the stream of another use of (seed, iteration).
        rng = np.random.default_rng((self.seed, iteration, HELD_OUT, BINS))
        drawn = rng.choice(BINS, size=count, p=self.chances(task))
        return tuple(sorted(_nearest(left, int(wanted)).pop(0) for wanted in drawn))

    def hear(self, task: str, groups: Iterable[RolloutGroup]) -> None:
        """What came of an iteration's groups."""
        if self.curriculum == "none":
            return
        found: dict[str, list[float]] = defaultdict(list)
        for group in groups:
            found[f"{task}/{self.bin_of(task, group.group_id)}"].append(group.success)
        for name, each in found.items():
            success = float(np.mean(each))
            before = self.success.get(name, success)
            self.success[name] = before + SMOOTHING * (success - before)

    def chances(self, task: str) -> NDArray[np.float64]:
        """f64[BINS], how likely a start of each is drawn."""
        success = [self.success.get(f"{task}/{b}", 0.5) for b in range(BINS)]
        return chances(success, self.curriculum, self.tau)

    def bin_of(self, task: str, group: int) -> int:
        if task not in self._edges:
            # Of a seed that nobody trains or is judged on.
            surveyed = [self.difficulty(task, i, 2 * HELD_OUT) for i in range(SURVEYED)]
            self._edges[task] = np.quantile(surveyed, np.arange(1, BINS) / BINS)
        return int(np.searchsorted(self._edges[task], self.difficulty(task, group, self.seed)))

    def difficulty(self, task: str, group: int, seed: int) -> float:
        """[m]"""
        scene, _ = initial_scene(self.tasks[task], seed, group)
        return difficulty(self.tasks[task], scene)

    def metrics(self, task: str, groups: Iterable[RolloutGroup]) -> dict[str, float]:
        """Of the iteration's task, and the groups that came of it; nothing without a curriculum."""
        if self.curriculum == "none":
            return {}
        told = {f"starts/{task}/{b}": float(p) for b, p in enumerate(self.chances(task))}
        smoothed = {f"smoothed_success/{name}": s for name, s in self.success.items()}
        hard = [self.difficulty(task, group.group_id, self.seed) for group in groups]
        mine = {name: s for name, s in smoothed.items() if name.split("/")[1] == task}
        return told | mine | {f"starts/difficulty/{task}": float(np.mean(hard))}


def _nearest(left: Mapping[int, list[int]], wanted: int) -> list[int]:
    """Of the bins that have some left."""
    return left[min((b for b in left if left[b]), key=lambda b: (abs(b - wanted), b))]
