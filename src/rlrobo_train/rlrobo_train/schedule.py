"""Which task an iteration trains on."""

from __future__ import annotations

from collections.abc import Sequence


def task_of(iteration: int, tasks: Sequence[str]) -> str:
    """One task an iteration, in turn: a function of the iteration alone, so that a resumed run
    goes on with the task whose turn it is."""
    return tasks[iteration % len(tasks)]
