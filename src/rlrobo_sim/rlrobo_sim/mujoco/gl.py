"""An OpenGL context without a window."""

from __future__ import annotations

import ctypes
import importlib
import os
from typing import Any

BACKENDS = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}
CURE = (
    "install one with: sudo apt install libegl1 libgl1-mesa-dri libopengl0  "
    "(or: sudo apt install libosmesa6)"
)


class NoOpenGL(ValueError):
    """There is no library to draw with."""


def make_context(size: int) -> Any:
    """A context of mujoco.egl or mujoco.osmesa, current in the calling thread; whoever makes
    it must use it and free it in the same thread. `MUJOCO_GL` chooses, EGL comes first."""
    name = _choose()
    try:
        context = importlib.import_module(f"mujoco.{name}").GLContext(size, size)
        context.make_current()
    except Exception as error:  # whatever PyOpenGL raises when a driver is missing
        raise NoOpenGL(f"cannot draw without a window through {name}: {error}; {CURE}") from error
    return context


def _choose() -> str:
    wanted = os.environ.get("MUJOCO_GL", "").lower()
    if wanted in BACKENDS:
        return wanted
    if wanted not in ("", "glfw", "glx"):
        raise ValueError(f"MUJOCO_GL is {wanted!r}; choose one of: {', '.join(BACKENDS)}")
    for name, library in BACKENDS.items():
        if _loads(library):
            return name
    raise NoOpenGL(f"neither EGL nor OSMesa is installed, so cameras cannot be drawn; {CURE}")


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
