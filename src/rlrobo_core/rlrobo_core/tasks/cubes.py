"""Cubes by role: "cube" is the one that the words name, whatever its colour."""

from __future__ import annotations

from rlrobo_core.tasks.base import Rgba, SceneObject
from rlrobo_core.tasks.colors import COLORS


def cubes(
    roles: tuple[str, ...], distractors: int, size: float, mass: float
) -> tuple[SceneObject, ...]:
    """One cube for each role and `distractors` more, `size` [m] wide, `mass` in kg."""
    names = (*roles, *(f"distractor{i + 1}" for i in range(distractors)))
    half = (size / 2, size / 2, size / 2)
    return tuple(SceneObject(name, "box", half, COLORS["red"], mass) for name in names)


def colored(things: tuple[SceneObject, ...], colors: list[str]) -> dict[str, Rgba]:
    """name -> colour of the first things, for `InitialScene.object_rgba`; what has none left
    keeps its own."""
    return {thing.name: COLORS[color] for thing, color in zip(things, colors, strict=False)}
