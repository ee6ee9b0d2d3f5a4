"""Several tasks in one graph: the names that `task:=` takes, and one action space for all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from rlrobo_core.tasks import TASKS, Task, make_task

SUITES: dict[str, tuple[str, ...]] = {"rlrobo4": ("reach", "pick_and_place", "slide", "stack")}
"""Names for several tasks at once; `all` is every task that there is."""


def task_names(text: str) -> tuple[str, ...]:
    """The tasks that `reach,stack`, a suite's name or `all` stands for, each once and in order;
    ValueError names the choices."""
    suites = SUITES | {"all": tuple(TASKS)}
    given = [name.strip() for name in text.split(",")]
    names = [task for name in given for task in suites.get(name, (name,))]
    for name in names:
        if name not in TASKS:
            raise ValueError(
                f"unknown task {name!r}; choose one of: {', '.join(TASKS)}, several with commas "
                f"between them, or {', '.join(suites)}"
            )
    return tuple(dict.fromkeys(names))


def make_tasks(text: str, variant: str = "default") -> dict[str, Task]:
    """Name -> task, for all that `text` stands for (see `task_names`)."""
    return {name: make_task(name, variant) for name in task_names(text)}


AUTO = ("auto",)
"""Cameras: those that the task needs."""
Told = Literal["auto", "true", "false"]
"""Of proprioception; auto: as the task needs it."""


class Senses(NamedTuple):
    """What a policy perceives beside the instruction."""

    cameras: tuple[str, ...]
    proprioception: bool
    """Whether the prompt tells where the gripper is and how far it is open."""


def senses_for(tasks: Iterable[Task], cameras: tuple[str, ...], proprioception: Told) -> Senses:
    """As given; what is left open (auto) is all that any of the tasks needs."""
    tasks = list(tasks)
    needed = dict.fromkeys(camera for task in tasks for camera in task.cameras)
    told = any(task.proprioception for task in tasks)
    return Senses(
        tuple(needed) if cameras == AUTO else cameras,
        told if proprioception == "auto" else proprioception == "true",
    )


def widest_task(tasks: Iterable[Task]) -> Task:
    """The one with the most action dimensions, whose action space can serve the others too.
    ValueError where it cannot: theirs must be the first of its dimensions, at its step."""
    tasks = list(tasks)
    widest = max(tasks, key=lambda task: len(task.action_dims))
    for task in tasks:
        beginning = widest.action_dims[: len(task.action_dims)]
        if task.action_dims != beginning or task.max_step != widest.max_step:
            raise ValueError(
                f"one policy cannot act for the tasks {task.name!r} and {widest.name!r}: their "
                f"actions are {task.action_dims} of at most {task.max_step} m and "
                f"{widest.action_dims} of at most {widest.max_step} m; choose tasks of one "
                "action space, or train them apart"
            )
    return widest
