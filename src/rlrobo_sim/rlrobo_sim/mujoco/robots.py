"""The Panda's two bodies behind one interface: primitive shapes, or the official meshes.

Both have the same joints, frames, inertials and names; what differs is what is seen.
"""

from __future__ import annotations

import mujoco

from rlrobo_sim.mujoco.menagerie import load_menagerie
from rlrobo_sim.mujoco.panda import add_panda

ROBOTS = ("primitive", "menagerie")


def make_robot(name: str) -> mujoco.MjSpec:
    """A specification that holds the bare robot: `primitive`, `menagerie`, or
    `menagerie:FOLDER` for a local copy of mujoco_menagerie. ValueError names the choices."""
    kind, _, folder = name.partition(":")
    if kind == "menagerie":
        return load_menagerie(folder or None)
    if name != "primitive":
        raise ValueError(f"unknown robot {name!r}; choose one of: {', '.join(ROBOTS)}")
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    add_panda(spec)
    return spec
