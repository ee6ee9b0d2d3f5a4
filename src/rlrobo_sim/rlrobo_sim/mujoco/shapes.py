"""Primitive shapes, and which of them touch which."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import mujoco
import numpy as np

Rgba = tuple[float, float, float, float]
Vec3 = tuple[float, float, float]
Kind = Literal["robot", "table", "object", "seen"]

CONTACT_BITS: dict[Kind, tuple[int, int]] = {
    "robot": (1, 0),
    "table": (0, 1 | 4),
    "object": (4, 1 | 4),
    "seen": (0, 0),
}
"""contype, conaffinity. The robot does not touch itself: its fingers may close fully, and the
arm's posture is kept away from the table by the controller."""

_UNUSED: Vec3 = (0.0, 0.0, 0.0)


class Shape(NamedTuple):
    """One drawn geom in the frame of its body [m]."""

    type: mujoco.mjtGeom
    size: tuple[float, ...]
    pos: Vec3
    axis: Vec3
    """Direction of a cylinder's or capsule's length; boxes are aligned with the frame."""
    rgba: Rgba
    solid: bool = False

    def add_to(self, body: Any, name: str, solid_as: Kind) -> Any:
        contype, conaffinity = CONTACT_BITS[solid_as if self.solid else "seen"]
        return body.add_geom(
            name=name,
            type=self.type,
            size=(*self.size, *_UNUSED)[:3],
            pos=self.pos,
            quat=quat_z_to(self.axis),
            rgba=self.rgba,
            contype=contype,
            conaffinity=conaffinity,
        )


def box(pos: Vec3, half: Vec3, rgba: Rgba, solid: bool = False) -> Shape:
    return Shape(mujoco.mjtGeom.mjGEOM_BOX, half, pos, (0.0, 0.0, 1.0), rgba, solid)


def sphere(pos: Vec3, radius: float, rgba: Rgba, solid: bool = False) -> Shape:
    return Shape(mujoco.mjtGeom.mjGEOM_SPHERE, (radius,), pos, (0.0, 0.0, 1.0), rgba, solid)


def cylinder(start: Vec3, end: Vec3, radius: float, rgba: Rgba, solid: bool = False) -> Shape:
    return _between(mujoco.mjtGeom.mjGEOM_CYLINDER, start, end, radius, rgba, solid)


def capsule(start: Vec3, end: Vec3, radius: float, rgba: Rgba, solid: bool = False) -> Shape:
    return _between(mujoco.mjtGeom.mjGEOM_CAPSULE, start, end, radius, rgba, solid)


def _between(
    kind: mujoco.mjtGeom, start: Vec3, end: Vec3, radius: float, rgba: Rgba, solid: bool
) -> Shape:
    a, b = np.asarray(start), np.asarray(end)
    length = float(np.linalg.norm(b - a))
    return Shape(kind, (radius, length / 2), _vec3((a + b) / 2), _vec3(b - a), rgba, solid)


def _vec3(vector: np.ndarray) -> Vec3:
    x, y, z = map(float, vector)
    return x, y, z


def quat_z_to(axis: Vec3) -> np.ndarray:
    """Quaternion wxyz that turns the z axis to the direction of `axis`."""
    quat = np.zeros(4)
    mujoco.mju_quatZ2Vec(quat, np.asarray(axis, dtype=np.float64))
    return quat
