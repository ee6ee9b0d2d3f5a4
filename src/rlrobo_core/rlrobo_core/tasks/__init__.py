"""The tasks, by name."""

from rlrobo_core.tasks.base import InitialScene, SceneObject, SceneState, Task
from rlrobo_core.tasks.reach import Reach

TASKS: dict[str, type[Task]] = {"reach": Reach}


def make_task(name: str) -> Task:
    """The task of that name with its defaults; ValueError names the choices."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; choose one of: {', '.join(TASKS)}")
    return TASKS[name]()


__all__ = ["TASKS", "InitialScene", "SceneObject", "SceneState", "Task", "make_task"]
