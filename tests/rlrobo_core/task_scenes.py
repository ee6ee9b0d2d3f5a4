"""Scene states written by hand, for tests of rewards and success."""

from __future__ import annotations

import numpy as np

from rlrobo_core.tasks import SceneState, Task

FAR_AWAY = (0.45, -0.15, 0.02)


def scene_state(
    task: Task,
    tool: tuple[float, float, float] = (0.6, 0.0, 0.3),
    width: float = 0.08,
    tool_velocity: tuple[float, float, float] = (0.0, 0.0, 0.0),
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0),
    **positions: tuple[float, float, float],
) -> SceneState:
    """One scene: objects stand at `positions`, the others far away; the one that
    is meant has `velocity`."""
    upright = (0.0, 0.0, 0.0, 1.0)
    return SceneState(
        ee_pose_N=np.array([[*tool, 1.0, 0.0, 0.0, 0.0]]),
        ee_velocity_N=np.array([tool_velocity]),
        gripper_width_N=np.array([width]),
        object_pose={
            thing.name: np.array([[*positions.get(thing.name, FAR_AWAY), *upright]])
            for thing in task.objects
        },
        object_velocity={
            thing.name: np.array([velocity if i == 0 else (0.0, 0.0, 0.0)])
            for i, thing in enumerate(task.objects)
        },
    )
