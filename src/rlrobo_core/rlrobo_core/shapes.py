"""Primitive shapes that links and things are drawn with, whoever draws them."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

Rgba = tuple[float, float, float, float]
Vec3 = tuple[float, float, float]
Form = Literal["box", "sphere", "cylinder", "capsule"]


class Shape(NamedTuple):
    """One shape in the frame of its body [m]."""

    form: Form
    size: tuple[float, ...]
    """Half the sides of a box; the radius, and half the length of a cylinder's or capsule's
    straight part."""
    pos: Vec3
    axis: Vec3
    """Direction of a cylinder's or capsule's length; boxes are aligned with the frame."""
    rgba: Rgba
    solid: bool = False
    """Whether it touches other things."""


def box(pos: Vec3, half: Vec3, rgba: Rgba, solid: bool = False) -> Shape:
    return Shape("box", half, pos, (0.0, 0.0, 1.0), rgba, solid)


def sphere(pos: Vec3, radius: float, rgba: Rgba, solid: bool = False) -> Shape:
    return Shape("sphere", (radius,), pos, (0.0, 0.0, 1.0), rgba, solid)


def cylinder(start: Vec3, end: Vec3, radius: float, rgba: Rgba, solid: bool = False) -> Shape:
    return _between("cylinder", start, end, radius, rgba, solid)


def capsule(start: Vec3, end: Vec3, radius: float, rgba: Rgba, solid: bool = False) -> Shape:
    return _between("capsule", start, end, radius, rgba, solid)


def _between(form: Form, start: Vec3, end: Vec3, radius: float, rgba: Rgba, solid: bool) -> Shape:
    (ax, ay, az), (bx, by, bz) = start, end
    middle = ((ax + bx) / 2, (ay + by) / 2, (az + bz) / 2)
    half = math.dist(start, end) / 2
    return Shape(form, (radius, half), middle, (bx - ax, by - ay, bz - az), rgba, solid)
