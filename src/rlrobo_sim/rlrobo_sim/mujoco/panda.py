"""The Franka Panda from Franka's public numbers, drawn with primitive shapes.

Its frames, limits and shapes are `rlrobo_core`'s (`panda.py`, `panda_shapes.py`); inertials are
those of franka_description (robots/fer/*.yaml, Apache-2.0). Lengths in m, angles in rad, kg, N m.
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np

from rlrobo_core.panda import (
    DH_A,
    DH_ALPHA,
    DH_D,
    FINGER_Z,
    FLANGE_D,
    HAND_YAW,
    JOINT_HIGH,
    JOINT_LOW,
    MAX_FINGER_TRAVEL,
    NUM_JOINTS,
)
from rlrobo_core.panda_shapes import LINK_SHAPES
from rlrobo_core.shapes import Rgba, Shape
from rlrobo_sim.mujoco.facets import merged
from rlrobo_sim.mujoco.shapes import CONTACT_BITS, add_shape

ARM_JOINTS = tuple(f"joint{i}" for i in range(1, 8))
FINGER_JOINTS = ("finger_joint1", "finger_joint2")
TCP_SITE = "tcp"

ARMATURE = 0.1
"""Reflected inertia of motor and gear [kg m^2], as in mujoco_menagerie."""


class Inertial(NamedTuple):
    mass: float
    centre: tuple[float, float, float]
    inertia: tuple[float, float, float, float, float, float]
    """xx, yy, zz, xy, xz, yz about the centre of mass."""


INERTIALS = {
    "link0": Inertial(
        0.629769,
        (-0.041018, -0.00014, 0.049974),
        (0.00315, 0.00388, 0.004285, 8.2904e-7, 0.00015, 8.2299e-6),
    ),
    "link1": Inertial(
        4.970684,
        (0.003875, 0.002081, -0.04762),
        (0.70337, 0.70661, 0.009117, -0.000139, 0.006772, 0.019169),
    ),
    "link2": Inertial(
        0.646926,
        (-0.003141, -0.02872, 0.003495),
        (0.007962, 0.02811, 0.025995, -0.003925, 0.010254, 0.000704),
    ),
    "link3": Inertial(
        3.228604,
        (0.027518, 0.039252, -0.066502),
        (0.037242, 0.036155, 0.01083, -0.004761, -0.011396, -0.012805),
    ),
    "link4": Inertial(
        3.587895,
        (-0.05317, 0.104419, 0.027454),
        (0.025853, 0.019552, 0.028323, 0.007796, -0.001332, 0.008641),
    ),
    "link5": Inertial(
        1.225946,
        (-0.011953, 0.041065, -0.038437),
        (0.035549, 0.029474, 0.008627, -0.002117, -0.004037, 0.000229),
    ),
    "link6": Inertial(
        1.666555,
        (0.060149, -0.014117, -0.010517),
        (0.001964, 0.004354, 0.005433, 0.000109, -0.001158, 0.000341),
    ),
    "link7": Inertial(
        0.735522,
        (0.010517, -0.004252, 0.061597),
        (0.012516, 0.010027, 0.004815, -0.000428, -0.001196, -0.000741),
    ),
    "hand": Inertial(0.73, (-0.01, 0.0, 0.03), (0.001, 0.0025, 0.0017, 0.0, 0.0, 0.0)),
    "finger": Inertial(0.015, (0.0, 0.0, 0.0), (2.375e-6, 2.375e-6, 7.5e-7, 0.0, 0.0, 0.0)),
}

UNSEEN_GROUP = 3
"""Of the geom groups, those from 3 on are not drawn by default."""


def add_panda(spec: mujoco.MjSpec) -> None:
    """Add the arm with its hand to the world, link0 at the origin; names as in menagerie."""
    body = _add_link(spec, spec.worldbody, "link0")
    for i in range(NUM_JOINTS):
        body = _add_link(spec, body, f"link{i + 1}", *_dh_frame(i))
        body.add_joint(
            name=ARM_JOINTS[i],
            axis=(0.0, 0.0, 1.0),
            range=(JOINT_LOW[i], JOINT_HIGH[i]),
            limited=mujoco.mjtLimited.mjLIMITED_TRUE,
            armature=ARMATURE,
            damping=1.0,
        )
    hand = _add_link(
        spec,
        body,
        "hand",
        (0.0, 0.0, FLANGE_D),
        (np.cos(HAND_YAW / 2), 0.0, 0.0, np.sin(HAND_YAW / 2)),
    )
    for side, joint, quat in zip(
        ("left", "right"), FINGER_JOINTS, ((1, 0, 0, 0), (0, 0, 0, 1)), strict=True
    ):
        finger = _add_link(spec, hand, f"{side}_finger", (0.0, 0.0, FINGER_Z), quat, like="finger")
        finger.add_joint(
            name=joint,
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=(0.0, 1.0, 0.0),
            range=(0.0, MAX_FINGER_TRAVEL),
            limited=mujoco.mjtLimited.mjLIMITED_TRUE,
            armature=ARMATURE,
            damping=1.0,
        )


def _dh_frame(i: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Position and quaternion wxyz of link i + 1 in link i: Rot_x(alpha) Trans_x(a) Trans_z(d)."""
    alpha, a, d = DH_ALPHA[i], DH_A[i], DH_D[i]
    position = (a, -d * np.sin(alpha), d * np.cos(alpha))
    return position, (np.cos(alpha / 2), np.sin(alpha / 2), 0.0, 0.0)


def _add_link(
    spec: mujoco.MjSpec,
    parent: mujoco.MjsBody,
    name: str,
    pos=(0.0, 0.0, 0.0),
    quat=(1.0, 0.0, 0.0, 0.0),
    like: str | None = None,
) -> mujoco.MjsBody:
    body = parent.add_body(name=name, pos=pos, quat=quat)
    inertial = INERTIALS[like or name]
    body.mass = inertial.mass
    body.ipos = inertial.centre
    body.fullinertia = inertial.inertia
    body.explicitinertial = True
    shapes = LINK_SHAPES[like or name]
    for number, shape in enumerate(shapes):
        if shape.solid:
            geom = add_shape(shape, body, f"{name}_{number}", solid_as="robot")
            geom.group = UNSEEN_GROUP  # the mesh shows it
    for number, rgba in enumerate(dict.fromkeys(shape.rgba for shape in shapes)):
        _add_look(spec, body, f"{name}_look{number}", shapes, rgba)
    return body


def _add_look(
    spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, shapes: tuple[Shape, ...], rgba: Rgba
) -> None:
    """What is seen of a link in one colour: one mesh, since every geom costs time to draw."""
    facets = merged([shape for shape in shapes if shape.rgba == rgba], list(shapes))
    spec.add_mesh(
        name=name,
        uservert=facets.points_V.ravel(),
        usernormal=facets.normals_V.ravel(),
        userface=facets.faces_F.ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,  # unused, but must not fail
    )
    contype, conaffinity = CONTACT_BITS["seen"]
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        rgba=rgba,
        contype=contype,
        conaffinity=conaffinity,
    )
