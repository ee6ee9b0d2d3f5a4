"""The Panda's two bodies behind one interface: primitive shapes, or the official meshes."""

from __future__ import annotations

import mujoco

from rlrobo_sim.mujoco.panda import add_panda

ROBOTS = ("primitive",)


def make_robot(name: str) -> mujoco.MjSpec:
    """A specification that holds the bare robot; ValueError names the choices."""
    if name not in ROBOTS:
        raise ValueError(f"unknown robot {name!r}; choose one of: {', '.join(ROBOTS)}")
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    add_panda(spec)
    return spec
