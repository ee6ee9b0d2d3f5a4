"""A cabinet whose one drawer slides out along the cabinet's -x.

The cabinet is a mocap body, so every world puts it where its scene says although all share one
model; the drawer is its child on a slide joint, which is 0 when closed. Both bodies have their
origin where the handle meets the upper edge of the drawer's front, and so are equal when closed.

The handle rises over the cabinet's top: open fingers come down around it from above, and no
camera loses it behind the cabinet.
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco

from rlrobo_core.shapes import Rgba, Shape, box
from rlrobo_core.tasks import SceneObject
from rlrobo_sim.mujoco.shapes import add_shape

CABINET_COLOR = (0.80, 0.77, 0.70, 1.0)
INSIDE_SHADE = 0.35
"""Of the drawer's own colour: its bottom lies in the shadow of its walls."""
WALL = 0.008
FRONT_THICKNESS = 0.016
GAP = 0.004
"""Between a drawer and its neighbour, drawer and table [m]."""

HANDLE_HALF_WIDTH = 0.04
HANDLE_HEIGHT = 0.04
HANDLE_THICKNESS = 0.014
SLOT = 0.016
"""Under the handle's bar [m]: too low for a finger, which would be caught in it."""

MASS = 0.5
"""Of the drawer [kg]."""
DRY_FRICTION = 2.0
"""Of its rails [N], and"""
DAMPING = 20.0
"""[N s / m]: let go at 0.5 m/s, the drawer stops within 1 cm."""


class Slide(NamedTuple):
    """Where a drawer and its cabinet are in the model."""

    cabinet: int
    mocap: int
    """Of the cabinet."""
    body: int
    joint: int
    qvel: int


def add_drawer(spec: mujoco.MjSpec, thing: SceneObject) -> None:
    half_x, half_y, half_z, travel = thing.size
    cabinet = spec.worldbody.add_body(name=_cabinet(thing.name), mocap=True)
    outside = box((half_x, 0.0, -half_z), (half_x, half_y, half_z), CABINET_COLOR, solid=True)
    add_shape(outside, cabinet, cabinet.name, solid_as="object")
    drawer = cabinet.add_body(name=thing.name)
    drawer.explicitinertial = True
    drawer.mass = MASS
    drawer.inertia = (0.01, 0.01, 0.01)  # unused: it does not turn
    drawer.add_joint(
        name=thing.name,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=(-1.0, 0.0, 0.0),
        range=(0.0, travel),
        limited=mujoco.mjtLimited.mjLIMITED_TRUE,
        frictionloss=DRY_FRICTION,
        damping=DAMPING,
    )
    for number, part in enumerate((*_tray(thing), *_handle(thing.rgba))):
        add_shape(part, drawer, f"{thing.name}_{number}", solid_as="object")


def index_drawer(model: mujoco.MjModel, name: str) -> Slide:
    cabinet, joint = model.body(_cabinet(name)), model.joint(name)
    return Slide(
        cabinet=cabinet.id,
        mocap=int(cabinet.mocapid[0]),
        body=model.body(name).id,
        joint=joint.id,
        qvel=int(joint.dofadr[0]),
    )


def _cabinet(drawer: str) -> str:
    return f"{drawer}_cabinet"


def _tray(thing: SceneObject) -> tuple[Shape, ...]:
    """The front, and what comes out of the cabinet behind it: a block with a dark top."""
    _, half_y, half_z, travel = thing.size
    front = (FRONT_THICKNESS / 2, half_y - GAP / 2, half_z - GAP / 2)
    block = (travel / 2 + WALL, half_y - WALL, half_z - WALL)
    inside = (block[0] - WALL, block[1] - WALL, 0.001)
    return (
        box((-front[0], 0.0, -front[2]), front, thing.rgba, solid=True),
        box((block[0], 0.0, -half_z), block, thing.rgba, solid=True),
        box((block[0], 0.0, -WALL), inside, _shade(thing.rgba)),
    )


def _handle(rgba: Rgba) -> tuple[Shape, ...]:
    """A bar on two feet."""
    x, half = -FRONT_THICKNESS / 2, HANDLE_THICKNESS / 2
    y = HANDLE_HALF_WIDTH - half
    middle, tall = (HANDLE_HEIGHT + SLOT) / 2, (HANDLE_HEIGHT - SLOT) / 2
    foot = (half, half, SLOT / 2)
    return (
        box((x, -y, SLOT / 2), foot, rgba, solid=True),
        box((x, y, SLOT / 2), foot, rgba, solid=True),
        box((x, 0.0, middle), (half, HANDLE_HALF_WIDTH, tall), rgba, solid=True),
    )


def _shade(rgba: Rgba) -> Rgba:
    red, green, blue, alpha = rgba
    return (red * INSIDE_SHADE, green * INSIDE_SHADE, blue * INSIDE_SHADE, alpha)
