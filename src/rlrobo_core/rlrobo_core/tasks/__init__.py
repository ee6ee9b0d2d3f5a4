"""The tasks, by name."""

from rlrobo_core.tasks.base import InitialScene, SceneObject, SceneState, Task, check_members
from rlrobo_core.tasks.drawer import Drawer
from rlrobo_core.tasks.flip import Flip
from rlrobo_core.tasks.pick_and_place import PickAndPlace
from rlrobo_core.tasks.push import Push
from rlrobo_core.tasks.reach import Reach
from rlrobo_core.tasks.slide import Slide
from rlrobo_core.tasks.stack import Stack

TASKS: dict[str, type[Task]] = {
    "reach": Reach,
    "pick_and_place": PickAndPlace,
    "slide": Slide,
    "drawer": Drawer,
    "push": Push,
    "stack": Stack,
    "flip": Flip,
}
VARIANTS = ("default", "panda_gym")
"""`panda_gym`: the numbers of panda_gym 3.0.7. Each task's file says how its default differs."""


def make_task(name: str, variant: str = "default") -> Task:
    """The task of that name; ValueError names the choices, or what its class leaves undefined."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; choose one of: {', '.join(TASKS)}")
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}; choose one of: {', '.join(VARIANTS)}")
    task = TASKS[name]() if variant == "default" else TASKS[name].panda_gym()
    check_members(task)
    return task


__all__ = [
    "TASKS",
    "VARIANTS",
    "Drawer",
    "Flip",
    "InitialScene",
    "PickAndPlace",
    "Push",
    "Reach",
    "SceneObject",
    "SceneState",
    "Slide",
    "Stack",
    "Task",
    "make_task",
]
