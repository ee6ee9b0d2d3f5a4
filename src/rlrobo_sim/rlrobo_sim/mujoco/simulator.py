"""`MujocoSimulator`: many Panda scenes stepped together by `mujoco.batch`, cameras included.

Shape legend: _M the worlds of one call, in the order of its `worlds`; _S snapshot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from rlrobo_core.panda import MAX_WIDTH, NEUTRAL
from rlrobo_core.shifts import SceneShift
from rlrobo_core.tasks import InitialScene, SceneState, Task
from rlrobo_core.tasks.base import closed
from rlrobo_sim.mujoco import panda
from rlrobo_sim.mujoco.colors import ObjectColors
from rlrobo_sim.mujoco.ik import ArmKinematics
from rlrobo_sim.mujoco.randomization import Randomizer, Ranges
from rlrobo_sim.mujoco.rendering import CameraRig, RigConfig
from rlrobo_sim.mujoco.robots import make_robot
from rlrobo_sim.mujoco.scene import CAMERAS, MAX_TIMESTEP, build_kinematics, build_scene
from rlrobo_sim.mujoco.shifting import shift_scene
from rlrobo_sim.mujoco.workspace import clip_to_reach
from rlrobo_sim.simulator import UnstableWorlds, WorldIds

Array = NDArray[np.float64]
UNSHIFTED = SceneShift()


class MujocoSimulator:
    """`num_worlds` copies of the scene of `task` (see `rlrobo_sim.simulator.Simulator`).

    The gripper starts open where the task's actions include it, else at its `hold_width`. Targets
    are clipped to where the arm can go (`workspace.py`). Rendering starts with the first
    `render`, in `num_render_workers` processes (default: one a core; 0: in this process).
    """

    def __init__(
        self,
        task: Task,
        num_worlds: int,
        image_size: int = 84,
        cameras: tuple[str, ...] = ("front",),
        control_hz: float | None = None,
        randomize: bool = False,
        num_render_workers: int | None = None,
        robot: str = "primitive",
        num_threads: int = 0,
        shift: SceneShift = UNSHIFTED,
    ) -> None:
        """`control_hz` defaults to the task's; `num_threads` of physics, 0 for all cores; `shift`
        is how the scene differs from the one that policies are trained in."""
        _check_arguments(num_worlds, image_size, cameras, num_render_workers)
        self.num_worlds = num_worlds
        self.cameras = tuple(cameras)
        self.image_size = image_size
        self.control_hz = float(task.control_hz if control_hz is None else control_hz)
        self._substeps = _substeps(self.control_hz)
        self._timestep = 1.0 / (self.control_hz * self._substeps)
        commanded = "gripper" in task.action_dims
        self._start_width = MAX_WIDTH if commanded else task.hold_width

        self._scene = build_scene(task, make_robot(robot), image_size, self._timestep)
        if shift != UNSHIFTED:
            shift_scene(self._scene, shift)
        model = self._scene.model
        self._batch = mujoco.batch.Batch(model, num_worlds, num_threads)
        self._kinematics = ArmKinematics(
            build_kinematics(make_robot("primitive")), num_worlds, num_threads
        )
        self._bind(model)
        self._lead = -model.actuator_biasprm[:, 2] / model.actuator_gainprm[:, 0]
        self._stale = np.ones(num_worlds, dtype=bool)
        self._randomizer = Randomizer(self._scene, self._batch, Ranges()) if randomize else None
        self._colors = ObjectColors(self._scene, task.objects, num_worlds)
        look = RigConfig(
            self.cameras, image_size, num_worlds, tuple(self._colors.geom_G.tolist()), randomize
        )
        self._rig = CameraRig(model, look, num_render_workers)

    def _bind(self, model: mujoco.MjModel) -> None:
        self._state = self._batch.state
        self._time = self._batch.bind("time")
        self._qpos = self._batch.bind("qpos")
        self._qvel = self._batch.bind("qvel")
        self._ctrl = self._batch.bind("ctrl")
        self._mocap_pos = self._batch.bind("mocap_pos")
        self._mocap_quat = self._batch.bind("mocap_quat")
        self._xpos, self._xquat = self._batch.bind("xpos"), self._batch.bind("xquat")
        self._joint_axis = self._batch.bind("xaxis")
        site = model.site(panda.TCP_SITE).id
        self._tcp_position = self._batch.bind("site_xpos")[:, site]
        self._tcp_quat = self._batch.bind("site_xquat")[:, site]
        self._tcp_velocity = self._batch.bind("sensordata")

    def reset(self, worlds: WorldIds, scenes: Sequence[InitialScene], seeds: Sequence[int]) -> None:
        ids = self._ids(worlds)
        self._batch.reset(np.sort(ids), stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        scene = self._scene
        self._qpos[np.ix_(ids, scene.arm_qpos)] = NEUTRAL
        self._qpos[np.ix_(ids, scene.finger_qpos)] = self._start_width / 2
        self._ctrl[np.ix_(ids, scene.arm_ctrl)] = NEUTRAL
        self._ctrl[np.ix_(ids, scene.finger_ctrl)] = self._start_width / 2
        for name, address in scene.object_qpos.items():
            pose_M = _poses(scenes, name)
            self._qpos[ids, address : address + 7] = _xyzw_to_wxyz(pose_M)
        for name, (ball, foot) in scene.marker_mocap.items():
            pose_M = _poses(scenes, name)
            self._mocap_pos[ids, ball] = pose_M[:, :3]
            self._mocap_quat[ids, ball] = _xyzw_to_wxyz(pose_M)[:, 3:]
            self._mocap_pos[ids, foot] = pose_M[:, :3] * (1.0, 1.0, 0.0)
        for name, pad in scene.pad_mocap.items():
            pose_M = _poses(scenes, name)
            self._mocap_pos[ids, pad] = pose_M[:, :3]
            self._mocap_quat[ids, pad] = _xyzw_to_wxyz(pose_M)[:, 3:]
        for name, slide in scene.drawers.items():
            pose_M = _poses(scenes, name)
            self._mocap_pos[ids, slide.mocap] = pose_M[:, :3]
            self._mocap_quat[ids, slide.mocap] = _xyzw_to_wxyz(pose_M)[:, 3:]
        self._colors.reset(ids, scenes)
        if self._randomizer is not None:
            self._randomizer.apply(ids, self._randomizer.draw(seeds))
        self._stale[ids] = True

    def step(self, worlds: WorldIds, target_M: NDArray[np.floating[Any]]) -> None:
        ids = self._ids(worlds)
        target_M = _check_target(target_M, len(ids))
        before_M = self._state[ids]
        end_time_M = self._time[ids] + self._substeps * self._timestep
        controls_M = self._controls(ids, target_M)
        order = np.argsort(ids)
        self._batch.rollout(self._substeps, control=controls_M[order], record=(), ids=ids[order])
        self._stale[ids] = True
        # MuJoCo answers NaN by resetting the world: its time is then behind.
        unstable_M = np.abs(self._time[ids] - end_time_M) > self._timestep / 2
        if unstable_M.any():
            self._state[ids[unstable_M]] = before_M[unstable_M]
            raise UnstableWorlds(ids[unstable_M])

    def _controls(self, ids: NDArray[np.int64], target_M: Array) -> Array:
        """f64[M, substeps, nu]: joint targets on a straight line to the solution of inverse
        kinematics, leading by what the actuators' damping would otherwise hold back."""
        arm, fingers = self._scene.arm_ctrl, self._scene.finger_ctrl
        start_M = self._ctrl[np.ix_(ids, arm)]
        position_M = clip_to_reach(target_M[:, :3])
        quat_M = _xyzw_to_wxyz(target_M[:, :7])[:, 3:]
        end_M = self._kinematics.solve(start_M, position_M, quat_M, 1.0 / self.control_hz)
        done_T = np.arange(1, self._substeps + 1) / self._substeps
        moving_T = done_T < 1.0  # the last substep leaves the bare target: the next step's start
        velocity_M = (end_M - start_M) / (self._substeps * self._timestep)
        controls_M = np.empty((len(ids), self._substeps, self._scene.model.nu))
        controls_M[:, :, arm] = (
            start_M[:, None]
            + done_T[:, None] * (end_M - start_M)[:, None]
            + moving_T[:, None] * (self._lead[arm] * velocity_M)[:, None]
        )
        width_M = np.clip(target_M[:, 7], 0.0, MAX_WIDTH)
        controls_M[:, :, fingers] = width_M[:, None, None] / 2
        return controls_M

    def state(self, worlds: WorldIds) -> SceneState:
        ids = self._ids(worlds)
        stale = ids[self._stale[ids]]
        if len(stale):
            self._batch.forward(np.sort(stale), stage=int(mujoco.mjtStage.mjSTAGE_VEL))
            self._stale[stale] = False
        scene = self._scene
        object_pose, object_velocity = {}, {}
        for name, address in scene.object_qpos.items():
            object_pose[name] = _wxyz_to_xyzw(self._qpos[ids, address : address + 7])
            dof = scene.object_qvel[name]
            object_velocity[name] = self._qvel[ids, dof : dof + 3]
        seen = {name: ball for name, (ball, _) in scene.marker_mocap.items()} | scene.pad_mocap
        for name, ball in seen.items():
            quat_M = self._mocap_quat[ids, ball]
            object_pose[name] = _wxyz_to_xyzw(
                np.concatenate([self._mocap_pos[ids, ball], quat_M], axis=1)
            )
            object_velocity[name] = np.zeros((len(ids), 3))
        for name, slide in scene.drawers.items():
            object_pose[closed(name)] = self._body_pose(ids, slide.cabinet)
            object_pose[name] = self._body_pose(ids, slide.body)
            speed_M = self._qvel[ids, slide.qvel]
            object_velocity[name] = speed_M[:, None] * self._joint_axis[ids, slide.joint]
        tool_M = np.concatenate([self._tcp_position[ids], self._tcp_quat[ids]], axis=1)
        return SceneState(
            ee_pose_N=_wxyz_to_xyzw(tool_M),
            ee_velocity_N=self._tcp_velocity[ids],
            gripper_width_N=self._qpos[np.ix_(ids, scene.finger_qpos)].sum(axis=1),
            object_pose=object_pose,
            object_velocity=object_velocity,
        )

    def joint_positions(self, worlds: WorldIds) -> Array:
        """f64[len(worlds), 7] [rad]"""
        return self._qpos[np.ix_(self._ids(worlds), self._scene.arm_qpos)]

    def place_arm(self, worlds: WorldIds, joints_M: Array) -> None:
        """Put the arms, at rest, where their joints are at f64[len(worlds), 7] [rad]."""
        ids, scene = self._ids(worlds), self._scene
        self._qpos[np.ix_(ids, scene.arm_qpos)] = joints_M
        self._qvel[ids] = 0.0
        self._ctrl[np.ix_(ids, scene.arm_ctrl)] = joints_M
        self._stale[ids] = True

    def _body_pose(self, ids: NDArray[np.int64], body: int) -> Array:
        pose_M = np.concatenate([self._xpos[ids, body], self._xquat[ids, body]], axis=1)
        return _wxyz_to_xyzw(pose_M)

    def render(self, worlds: WorldIds) -> NDArray[np.uint8]:
        ids = self._ids(worlds)
        fields_M = [self._qpos[ids], self._mocap_pos[ids], self._mocap_quat[ids]]
        fields_M.append(self._colors.geom_rgba(ids))
        if self._randomizer is not None:
            fields_M.append(self._randomizer.visual_NV[ids])
        return self._rig.render(*fields_M)

    def snapshot(self, worlds: WorldIds) -> Array:
        ids = self._ids(worlds)
        parts = [self._state[ids], self._colors.snapshot(ids)]
        if self._randomizer is not None:
            parts.append(self._randomizer.draws_NK[ids])
        return np.concatenate(parts, axis=1)

    def restore(self, worlds: WorldIds, snapshot: Array) -> None:
        ids = self._ids(worlds)
        num_draws = self._randomizer.num_draws if self._randomizer is not None else 0
        sizes = (self._state.shape[1], self._colors.num_values, num_draws)
        if np.shape(snapshot) != (len(ids), sum(sizes)):
            raise ValueError(
                f"a snapshot of shape {np.shape(snapshot)} does not fit {len(ids)} worlds of this "
                f"scene, which takes {(len(ids), sum(sizes))}; restore it where task "
                "and randomize are the same as where it was taken"
            )
        if not np.isfinite(snapshot).all():
            raise ValueError("the snapshot is not finite; take it from a world that is")
        state_M, colors_M, draws_M = np.split(snapshot, np.cumsum(sizes)[:-1], axis=1)
        self._state[ids] = state_M
        self._colors.restore(ids, colors_M)
        if self._randomizer is not None:
            self._randomizer.apply(ids, draws_M)
        self._stale[ids] = True

    def close(self) -> None:
        self._rig.close()

    def _ids(self, worlds: WorldIds) -> NDArray[np.int64]:
        ids = np.asarray(worlds, dtype=np.int64)
        if ids.ndim != 1 or len(np.unique(ids)) != len(ids):
            raise ValueError(f"worlds must be a list of distinct world numbers, got {worlds}")
        if len(ids) and (ids.min() < 0 or ids.max() >= self.num_worlds):
            raise ValueError(
                f"worlds {worlds} are not all there; choose from 0 to {self.num_worlds - 1}"
            )
        return ids


def _check_arguments(
    num_worlds: int, image_size: int, cameras: tuple[str, ...], num_render_workers: int | None
) -> None:
    if num_worlds < 1:
        raise ValueError(f"num_worlds is {num_worlds}; it must be at least 1")
    if image_size < 16:
        raise ValueError(f"image_size is {image_size}; it must be at least 16 pixels")
    if num_render_workers is not None and num_render_workers < 0:
        raise ValueError(
            f"num_render_workers is {num_render_workers}; choose 0 (in this process) or more"
        )
    unknown = [name for name in cameras if name not in CAMERAS]
    if unknown or not cameras:
        raise ValueError(f"unknown cameras {unknown}; choose from: {', '.join(CAMERAS)}")


def _substeps(control_hz: float) -> int:
    if not 0.0 < control_hz <= 1.0 / MAX_TIMESTEP:
        raise ValueError(
            f"control_hz is {control_hz}; it must be above 0 and at most {1.0 / MAX_TIMESTEP:.0f}"
        )
    return math.ceil(1.0 / (control_hz * MAX_TIMESTEP) - 1e-9)


def _check_target(target_M: NDArray[np.floating[Any]], count: int) -> Array:
    target_M = np.array(target_M, dtype=np.float64)
    if target_M.shape != (count, 8):
        raise ValueError(
            f"targets have shape {target_M.shape}; {count} worlds need ({count}, 8): "
            "pose x, y, z, qx, qy, qz, qw and gripper width"
        )
    norm_M = np.sqrt(np.sum(target_M[:, 3:7] ** 2, axis=1))
    bad_M = ~np.isfinite(target_M).all(axis=1) | ~(norm_M > 1e-6)
    if bad_M.any():
        raise ValueError(
            f"target {np.flatnonzero(bad_M)[0]} is {target_M[bad_M][0].tolist()}; poses must be "
            "finite numbers with a quaternion that is not zero"
        )
    target_M[:, 3:7] /= norm_M[:, None]
    return target_M


def _poses(scenes: Sequence[InitialScene], name: str) -> Array:
    return np.array([scene.object_pose[name] for scene in scenes]).reshape(len(scenes), 7)


def _xyzw_to_wxyz(pose_M: Array) -> Array:
    return pose_M[:, [0, 1, 2, 6, 3, 4, 5]]


def _wxyz_to_xyzw(pose_M: Array) -> Array:
    return pose_M[:, [0, 1, 2, 4, 5, 6, 3]]
