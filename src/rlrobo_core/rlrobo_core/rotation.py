"""Rotations as unit quaternions xyzw, one at a time and in plain floats: a safety node turns a
few of them a hundred times a second, where a numpy call costs more than the arithmetic in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = Sequence[float] | NDArray[np.float64]
Quaternion = tuple[float, float, float, float]
"""x, y, z, w"""
Vector = tuple[float, float, float]


def multiply(a: Floats, b: Floats) -> Quaternion:
    """The rotation `b`, then `a` (Hamilton's product)."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def normalized(q: Floats) -> Quaternion:
    x, y, z, w = q
    length = math.sqrt(x * x + y * y + z * z + w * w)
    return (x / length, y / length, z / length, w / length)


def of_matrix(matrix: NDArray[np.float64]) -> Quaternion:
    """Of a rotation matrix f64[3, 3], with the numerically largest component found first
    (Shepperd, 1978)."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    squares = (1 + a - e - i, 1 - a + e - i, 1 - a - e + i, 1 + a + e + i)
    match max(range(4), key=squares.__getitem__):
        case 0:
            q = (squares[0], b + d, c + g, h - f)
        case 1:
            q = (b + d, squares[1], f + h, c - g)
        case 2:
            q = (c + g, f + h, squares[2], d - b)
        case _:
            q = (h - f, c - g, d - b, squares[3])
    return normalized(q)


def exponential(turn: Floats) -> Quaternion:
    """The rotation about the axis of `turn` by its length [rad]."""
    angle = math.hypot(*turn)
    # sin(angle / 2) / angle, by its series where the quotient would be 0 / 0
    scale = math.sin(angle / 2) / angle if angle > 1e-8 else 0.5
    x, y, z = turn
    return (x * scale, y * scale, z * scale, math.cos(angle / 2))


def turn_between(start: Floats, end: Floats) -> Vector:
    """Rotation vector [rad] about the base's axes from `start` to `end`, the shorter way:
    `exponential(turn) * start = end` up to sign."""
    sx, sy, sz, sw = start
    x, y, z, w = multiply(end, (-sx, -sy, -sz, sw))
    sine = math.hypot(x, y, z)  # of half the angle
    if sine < 1e-12:
        return (0.0, 0.0, 0.0)
    angle = 2.0 * math.atan2(sine, abs(w))
    scale = math.copysign(angle / sine, w)
    return (x * scale, y * scale, z * scale)


def turned(q: Floats, turn: Floats) -> Quaternion:
    """`q`, then the rotation vector `turn` [rad] about the base's axes."""
    return normalized(multiply(exponential(turn), q))


def z_axis(q: Floats) -> Vector:
    """Where the frame's z axis points."""
    x, y, z, w = q
    return (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))


def rotated(q: Floats, vector: Floats) -> Vector:
    """The vector, rotated."""
    qx, qy, qz, qw = q
    x, y, z, _ = multiply(multiply(q, (*vector, 0.0)), (-qx, -qy, -qz, qw))
    return (x, y, z)
