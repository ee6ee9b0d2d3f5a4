"""Shifts: how an evaluation's scenes differ from what training ever showed.

A request names a shifted task as `stack+camera`; simulation, policy and trainer read the name
here. A shift changes the task (`of_task`), or the simulator's scene (`scene`), never what is
rewarded or what success is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from rlrobo_core.tasks import Task

SEPARATOR = "+"
MOVABLE = ("box", "cylinder", "sphere")
Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class SceneShift:
    """What a simulator changes in the scene that it builds. Randomization goes around that; the
    numbers in `SHIFTS` lie outside of its ranges."""

    camera_offset: Vector = (0.0, 0.0, 0.0)
    """Of every camera: right, up and back in its own frame [m]."""
    camera_rotation: Vector = (0.0, 0.0, 0.0)
    """Of every camera: rotation vector in its own frame [rad]."""
    light_direction: Vector = (0.0, 0.0, 0.0)
    """Added to the components of every light's unit vector, base frame."""
    light_intensity: float = 1.0
    """Factor of every light."""
    mass: float = 1.0
    """Factor of the mass of every object that can be moved; its inertia follows."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One kind of difference."""

    name: str
    meaning: str
    scene: SceneShift = SceneShift()
    of_task: Callable[[Task], Task | None] = lambda task: task
    """The task as it is with the shift; None where the shift has nothing to change in it."""


def _held_out(field: str) -> Callable[[Task], Task | None]:
    """Puts `held_out_<field>` in the place of `field`."""

    def of_task(task: Task) -> Task | None:
        unseen = getattr(task, f"held_out_{field}", None)
        return replace(cast(Any, task), **{field: unseen}) if unseen else None

    return of_task


def _with_distractors(count: int) -> Callable[[Task], Task | None]:
    def of_task(task: Task) -> Task | None:
        most = min(count, getattr(task, "max_distractors", count))
        has_fewer = getattr(task, "distractors", most) < most
        return replace(cast(Any, task), distractors=most) if has_fewer else None

    return of_task


def _if_movable(task: Task) -> Task | None:
    return task if any(thing.shape in MOVABLE for thing in task.objects) else None


NO_SHIFT = Shift("none", "as in training")
SHIFTS: dict[str, Shift] = {
    shift.name: shift
    for shift in (
        Shift(
            "camera",
            "every camera 6 cm off and turned by 4 degrees",
            SceneShift(camera_offset=(0.05, 0.04, 0.0), camera_rotation=(-0.03, 0.03, 0.06)),
        ),
        Shift(
            "lights",
            "the lamp half as bright, on the other side",
            SceneShift(light_direction=(0.7, 0.8, 0.0), light_intensity=0.5),
        ),
        Shift(
            "colors", "objects in colours that training never used", of_task=_held_out("palette")
        ),
        Shift(
            "distractors",
            "three objects that are not meant, or as many as fit the task",
            of_task=_with_distractors(3),
        ),
        Shift("mass", "objects of three times the mass", SceneShift(mass=3.0), _if_movable),
        Shift(
            "phrasing",
            "instructions in words that training never used",
            of_task=_held_out("instructions"),
        ),
    )
}


def shift_names(text: str) -> tuple[str, ...]:
    """The shifts that `none`, `all` or `camera,lights` stands for; ValueError names the choices."""
    if text in ("none", "all"):
        return tuple(SHIFTS) if text == "all" else ()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        _check(name)
    return names


def parse_task(name: str) -> tuple[str, Shift]:
    """`stack+camera` -> stack and the shift; ValueError for a shift that there is not."""
    task, separator, shift = name.partition(SEPARATOR)
    if not separator:
        return task, NO_SHIFT
    _check(shift)
    return task, SHIFTS[shift]


def request_name(task: str, shift: str) -> str:
    """What a request calls the task under the shift; `none` leaves it as it is."""
    return task if shift == NO_SHIFT.name else f"{task}{SEPARATOR}{shift}"


def applies(task: Task, shift: str) -> bool:
    """Whether there is something in the task that the shift changes."""
    return SHIFTS[shift].of_task(task) is not None


def _check(shift: str) -> None:
    if shift not in SHIFTS:
        raise ValueError(f"unknown shift {shift!r}; choose from: none, all, {', '.join(SHIFTS)}")
