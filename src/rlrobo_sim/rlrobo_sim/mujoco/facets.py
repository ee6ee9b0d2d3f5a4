"""Primitive shapes as triangles, so that one mesh draws what would be several geoms.

MuJoCo draws every primitive with `numslices x numstacks` facets, along its length too, where
they show nothing; on a CPU that is most of a small image's time.

Shape legend: _V vertices, _F triangles.
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from rlrobo_core.shapes import Shape
from rlrobo_sim.mujoco.shapes import quat_z_to

Array = NDArray[np.float64]

SLICES = 12
"""Around a cylinder or capsule, as many as MuJoCo's own shapes get below 200 pixels."""
RINGS = 3
"""Of facets on each half sphere."""
INSIDE = 0.95
"""Of a shape's radius: facets run inside the round shape, by 3.4% at 12 slices."""


class Facets(NamedTuple):
    """Triangles with smooth normals, in the frame of a body [m]."""

    points_V: Array
    """f64[V, 3]"""
    normals_V: Array
    """f64[V, 3]"""
    faces_F: NDArray[np.int64]
    """i64[F, 3], counter-clockwise from outside"""


def merged(shapes: list[Shape], others: list[Shape]) -> Facets:
    """All of `shapes`, without the triangles that lie wholly inside one of `others`: as shapes
    are convex, a triangle does when its corners do."""
    points, normals, faces, count = [], [], [], 0
    for shape in shapes:
        part = _facets(shape)
        hidden_F = np.zeros(len(part.faces_F), bool)
        for other in others:
            if other is not shape:
                hidden_F |= _inside(other, part.points_V)[part.faces_F].all(axis=1)
        points.append(part.points_V)
        normals.append(part.normals_V)
        faces.append(part.faces_F[~hidden_F] + count)
        count += len(part.points_V)
    return Facets(np.concatenate(points), np.concatenate(normals), np.concatenate(faces))


def _facets(shape: Shape) -> Facets:
    local = _box(np.asarray(shape.size)) if shape.form == "box" else _round(_profile(shape))
    rotation = _rotation(shape)
    points_V = local.points_V @ rotation.T + np.asarray(shape.pos)
    return Facets(points_V, local.normals_V @ rotation.T, local.faces_F)


def _box(half: Array) -> Facets:
    points, normals, faces = [], [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal, v = sign * np.eye(3)[axis], np.eye(3)[axis - 1]
            u = np.cross(v, normal)
            first = len(normals)
            points += [(normal + a * u + b * v) * half for a, b in _CORNERS]
            normals += [normal] * 4
            faces += [[first, first + 1, first + 2], [first, first + 2, first + 3]]
    return Facets(np.array(points), np.array(normals), np.array(faces))


_CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


def _profile(shape: Shape) -> list[Array]:
    """Bands [r, z, normal r, normal z] from the lower end to the upper; a band's rows are joined
    smoothly, bands are not joined."""
    radius, half = shape.size[:2]
    if shape.form == "cylinder":
        return [
            np.array([(0, -half, 0, -1), (radius, -half, 0, -1)], float),
            np.array([(radius, -half, 1, 0), (radius, half, 1, 0)], float),
            np.array([(radius, half, 0, 1), (0, half, 0, 1)], float),
        ]
    assert shape.form == "capsule"
    angle = np.linspace(0.0, np.pi / 2, RINGS + 1)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = upper[::-1] * (1.0, -1.0)
    return [
        np.concatenate(
            [
                np.hstack([lower * radius - (0.0, half), lower]),
                np.hstack([upper * radius + (0.0, half), upper]),
            ]
        )
    ]


def _round(bands: list[Array]) -> Facets:
    turn = 2 * np.pi * np.arange(SLICES) / SLICES
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    here = np.arange(SLICES)
    after = (here + 1) % SLICES
    points, normals, faces, count = [], [], [], 0
    for band in bands:
        for row, (r, z, normal_r, normal_z) in enumerate(band):
            points.append(np.column_stack([r * ring, np.full(SLICES, z)]))
            normals.append(np.column_stack([normal_r * ring, np.full(SLICES, normal_z)]))
            low, high = count - SLICES, count
            if row and r > 1e-9:
                faces.append(np.stack([low + here, high + after, high + here], axis=1))
            if row and band[row - 1, 0] > 1e-9:
                faces.append(np.stack([low + here, low + after, high + after], axis=1))
            count += SLICES
    return Facets(np.concatenate(points), np.concatenate(normals), np.concatenate(faces))


def _inside(shape: Shape, points_V: Array) -> NDArray[np.bool_]:
    local_V = (points_V - np.asarray(shape.pos)) @ _rotation(shape)
    if shape.form == "box":
        return np.asarray((np.abs(local_V) < np.asarray(shape.size)).all(axis=1))
    radius, half = shape.size[:2]
    beyond_V = np.maximum(np.abs(local_V[:, 2]) - half, 0.0)
    across_V = np.linalg.norm(local_V[:, :2], axis=1)
    if shape.form == "cylinder":
        return (across_V < INSIDE * radius) & (np.abs(local_V[:, 2]) < half)
    return np.hypot(across_V, beyond_V) < INSIDE * radius


def _rotation(shape: Shape) -> Array:
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quat_z_to(shape.axis))
    return matrix.reshape(3, 3)
