"""Scripted experts, one file a task: what a robot that knew where everything is would do now.

An expert is a function of the true state alone, counted from the *measured* tool pose, so
that its labels can be learned from what the policy sees (no hidden phase, no memory of
earlier commands).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import SceneState, Task
from rlrobo_sim.experts.drawer import drawer
from rlrobo_sim.experts.pick_and_place import pick_and_place
from rlrobo_sim.experts.push import push
from rlrobo_sim.experts.reach import reach
from rlrobo_sim.experts.slide import slide
from rlrobo_sim.experts.stack import stack

Expert = Callable[[Any, SceneState], NDArray[np.float64]]
"""f64[N, D], normalised actions as in `rlrobo_core.codec`, from the task that it is for."""

EXPERTS: dict[str, Expert] = {
    "reach": reach,
    "pick_and_place": pick_and_place,
    "slide": slide,
    "drawer": drawer,
    "push": push,
    "stack": stack,
}


def expert_action(task: Task, state: SceneState) -> NDArray[np.float64]:
    """f64[N, D] in [-1, 1], the expert's normalised actions in the task's `action_dims`.
    ValueError if the task has no expert."""
    if task.name not in EXPERTS:
        raise ValueError(
            f"task {task.name!r} has no scripted expert; those that have: {', '.join(EXPERTS)}"
        )
    return EXPERTS[task.name](task, state)


def expert_target(task: Task, state: SceneState) -> NDArray[np.float32]:
    """f32[N, 8], the expert's tool pose and gripper width, base frame."""
    return end_effector_target(task, state.ee_pose_N, expert_action(task, state))
