"""Changes a compiled scene as an evaluation's shift says."""

from __future__ import annotations

import mujoco
import numpy as np

from rlrobo_core.shifts import SceneShift
from rlrobo_sim.mujoco.randomization import turned
from rlrobo_sim.mujoco.scene import Scene


def shift_scene(scene: Scene, shift: SceneShift) -> None:
    """In place, before worlds, renderers or a `Randomizer` are made of the model."""
    model = scene.model
    for camera in range(model.ncam):
        offset = np.zeros(3)
        mujoco.mju_rotVecQuat(offset, np.array(shift.camera_offset), model.cam_quat[camera])
        model.cam_pos[camera] += offset
    rotation = np.array(shift.camera_rotation)[None, None]
    model.cam_quat[:] = turned(model.cam_quat, rotation)[0]
    direction = model.light_dir + shift.light_direction
    model.light_dir[:] = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    model.light_diffuse[:] *= shift.light_intensity
    bodies = [model.body(name).id for name in scene.object_qpos]
    model.body_mass[bodies] *= shift.mass
    model.body_inertia[bodies] *= shift.mass
    mujoco.mj_setConst(model, mujoco.MjData(model))
