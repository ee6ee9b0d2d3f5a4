"""What would be right in the same scene if the instruction had named another object.

A demonstration alone does not show what its words are for: in every image the expert goes to
one of two cubes, and a model that imitates learns to go to either. With what the expert would
do if the words were exchanged beside it, the image is the same and only the words differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import InitialScene, SceneState, Task
from rlrobo_core.tasks.base import closed
from rlrobo_core.tasks.naming import color_name
from rlrobo_sim.experts import expert_action

Roles = dict[str, str]
"""object -> the one that takes its part."""
ONLY_SEEN = ("marker", "pad")
"""Shapes that no instruction tells to move."""


def other_roles(task: Task) -> list[Roles]:
    """Every other way to cast the objects that look like the one that the words name first."""
    things = [thing for thing in task.objects if thing.shape not in ONLY_SEEN]
    names = [thing.name for thing in things if thing.shape == things[0].shape]
    return [dict(zip(names, cast, strict=True)) for cast in permutations(names)][1:]


def other_instruction(scene: InitialScene, roles: Roles) -> str:
    """The scene's instruction with the colours of those that take the parts."""
    color = {name: color_name(scene.object_rgba[name]) for name in roles}
    said = {color[name]: color[other] for name, other in roles.items()}
    words = "|".join(said)
    return re.sub(rf"\b({words})\b", lambda found: said[found[0]], scene.instruction)


def other_action(task: Task, state: SceneState, roles: Roles) -> NDArray[np.float64]:
    """f64[N, D], what the expert would do in these scenes."""
    return expert_action(task, _recast(state, roles))


def _recast(state: SceneState, roles: Roles) -> SceneState:
    roles = roles | {closed(name): closed(other) for name, other in roles.items()}

    def of(values: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        return {name: values[roles.get(name, name)] for name in values}

    return replace(
        state, object_pose=of(state.object_pose), object_velocity=of(state.object_velocity)
    )
