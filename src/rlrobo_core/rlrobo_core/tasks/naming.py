"""What objects are called in words: by what colour they have in a scene and what they look like."""

from __future__ import annotations

import numpy as np

from rlrobo_core.tasks.base import InitialScene, Rgba, SceneObject
from rlrobo_core.tasks.colors import COLORS, TARGET_GREEN

NOUNS = {
    "box": "cube",
    "cylinder": "puck",
    "sphere": "ball",
    "marker": "ball",
    "pad": "spot",
    "drawer": "drawer",
}
"""Shape -> noun, as instructions use it."""
_NAMED = COLORS | {"green": TARGET_GREEN}


def color_name(rgba: Rgba) -> str:
    """The nearest of the named colours."""
    return min(_NAMED, key=lambda name: float(np.linalg.norm(np.subtract(_NAMED[name], rgba))))


def call(thing: SceneObject, scene: InitialScene) -> str:
    """The object in a scene, such as "red cube"."""
    return f"{color_name(scene.object_rgba.get(thing.name, thing.rgba))} {NOUNS[thing.shape]}"
