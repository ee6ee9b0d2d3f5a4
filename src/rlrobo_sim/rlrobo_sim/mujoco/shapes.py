"""Primitive shapes as MuJoCo's geoms, and which of them touch which."""

from __future__ import annotations

from typing import Any, Literal

import mujoco
import numpy as np

from rlrobo_core.shapes import Shape, Vec3

Kind = Literal["robot", "table", "object", "seen"]

CONTACT_BITS: dict[Kind, tuple[int, int]] = {
    "robot": (1, 0),
    "table": (0, 1 | 4),
    "object": (4, 1 | 4),
    "seen": (0, 0),
}
"""contype, conaffinity. The robot does not touch itself: its fingers may close fully, and the
arm's posture is kept away from the table by the controller."""

GEOMS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
}
_UNUSED: Vec3 = (0.0, 0.0, 0.0)


def add_shape(shape: Shape, body: Any, name: str, solid_as: Kind) -> Any:
    """Its geom, added to the body; if it is solid, it touches as that kind."""
    contype, conaffinity = CONTACT_BITS[solid_as if shape.solid else "seen"]
    return body.add_geom(
        name=name,
        type=GEOMS[shape.form],
        size=(*shape.size, *_UNUSED)[:3],
        pos=shape.pos,
        quat=quat_z_to(shape.axis),
        rgba=shape.rgba,
        contype=contype,
        conaffinity=conaffinity,
    )


def quat_z_to(axis: Vec3) -> np.ndarray:
    """Quaternion wxyz that turns the z axis to the direction of `axis`."""
    quat = np.zeros(4)
    mujoco.mju_quatZ2Vec(quat, np.asarray(axis, dtype=np.float64))
    return quat
