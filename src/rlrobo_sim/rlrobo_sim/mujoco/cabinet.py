"""A cabinet whose one drawer slides out along the cabinet's -x.

The cabinet is a mocap body, so every world puts it where its scene says although all share one
model; the drawer is its child on a slide joint, which is 0 when closed. Both bodies have their
origin where the handle meets the top edge of the drawer's front, and so are equal when closed.

The handle rises over the cabinet's top: so the front camera, which stands behind the cabinet,
sees it, and closed fingers may come down anywhere behind it and pull it along.
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco

from rlrobo_core.tasks import SceneObject
from rlrobo_sim.mujoco.shapes import CONTACT_BITS, Rgba, Vec3

CABINET_COLOR = (0.80, 0.77, 0.70, 1.0)
INSIDE_SHADE = 0.35
"""Of the drawer's own colour: its bottom lies in the shadow of its walls."""
FRONT_THICKNESS = 0.016
HANDLE_HALF_WIDTH = 0.04
HANDLE_HEIGHT = 0.04
HANDLE_THICKNESS = 0.014
SLOT = 0.016
"""Under the handle's bar [m]: too low for a finger, which would be caught in it."""
GAP = 0.004
"""Between a drawer and its neighbour, drawer and table [m]."""
WALL = 0.008

MASS = 0.5
"""Of the drawer [kg]."""
DRY_FRICTION = 2.0
"""[N], and"""
DAMPING = 20.0
"""[N s / m] of the rails: let go at 0.5 m/s, the drawer stops within 1 cm."""


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
    _add_box(cabinet, (half_x, 0.0, -half_z), (half_x, half_y, half_z), CABINET_COLOR, solid=True)
    drawer = cabinet.add_body(name=thing.name)
    drawer.add_joint(
        name=thing.name,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=(-1.0, 0.0, 0.0),
        range=(0.0, travel),
        limited=mujoco.mjtLimited.mjLIMITED_TRUE,
        frictionloss=DRY_FRICTION,
        damping=DAMPING,
    )
    _add_tray(drawer, thing)
    _add_handle(drawer, thing)


def _add_tray(drawer: mujoco.MjsBody, thing: SceneObject) -> None:
    """Front, and what comes out of the cabinet behind it: a block with a dark top."""
    _, half_y, half_z, travel = thing.size
    depth, width, height = travel / 2 + WALL, half_y - WALL, half_z - WALL
    thick = FRONT_THICKNESS / 2
    front = (thick, half_y - GAP / 2, half_z - GAP / 2)
    _add_box(drawer, (-thick, 0.0, -front[2]), front, thing.rgba)
    block = _add_box(drawer, (depth, 0.0, -half_z), (depth, width, height), thing.rgba)
    block.mass = MASS
    inside = (depth - WALL, width - WALL, 0.001)
    _add_box(drawer, (depth, 0.0, height - half_z), inside, _shade(thing.rgba), solid=False)


def _add_handle(drawer: mujoco.MjsBody, thing: SceneObject) -> None:
    """A bar on two feet."""
    x, half = -FRONT_THICKNESS / 2, HANDLE_THICKNESS / 2
    for y in (half - HANDLE_HALF_WIDTH, HANDLE_HALF_WIDTH - half):
        _add_box(drawer, (x, y, SLOT / 2), (half, half, SLOT / 2), thing.rgba)
    middle, tall = (HANDLE_HEIGHT + SLOT) / 2, (HANDLE_HEIGHT - SLOT) / 2
    _add_box(drawer, (x, 0.0, middle), (half, HANDLE_HALF_WIDTH, tall), thing.rgba)


def _add_box(
    body: mujoco.MjsBody, pos: Vec3, half: Vec3, rgba: Rgba, solid: bool = True
) -> mujoco.MjsGeom:
    contype, conaffinity = CONTACT_BITS["object" if solid else "seen"]
    return body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=pos,
        size=half,
        rgba=rgba,
        mass=0.0,
        contype=contype,
        conaffinity=conaffinity,
    )


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


def _shade(rgba: Rgba) -> Rgba:
    red, green, blue, alpha = rgba
    return (red * INSIDE_SHADE, green * INSIDE_SHADE, blue * INSIDE_SHADE, alpha)
