"""One world of the simulator as an arm: the physics and the cameras that a policy was trained
with, moved on in small steps of real time instead of a control step at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.robot.arm import ArmConfig, ArmState
from rlrobo_core.task_set import make_tasks
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.mujoco.scene import FRONT_FOVY, WRIST_FOVY
from rlrobo_sim.simulator import UnstableWorlds
from rlrobo_sim.states import initial_scene

Array = NDArray[np.float64]
WORLD = (0,)


@dataclass(frozen=True)
class MujocoArmConfig(ArmConfig):
    """The node's parameters."""

    task: str = "reach"
    """Task whose scene stands before the arm, and that judges success."""
    variant: Literal["default", "panda_gym"] = "default"
    """The task's numbers: our own, or panda_gym's."""
    seed: int = field(default=2**31, metadata={"range": (0, 2**62)})
    """Of the scenes; from 2^31 on they are those of evaluation, which training never sees."""
    robot: str = "primitive"
    """Looks of the arm: primitive (shapes), menagerie (the official meshes, downloaded at first
    use), or menagerie:FOLDER (a local copy)."""


class MujocoArm:
    """See `rlrobo_core.robot.arm.Arm`. Scene after scene of one seed, as evaluation has them."""

    def __init__(self, config: MujocoArmConfig) -> None:
        tasks = make_tasks(config.task, config.variant)
        if len(tasks) > 1:
            raise ValueError(
                f"task is {config.task!r}, but one scene stands before the arm; choose one of: "
                f"{', '.join(tasks)}"
            )
        self.task = next(iter(tasks.values()))
        self._seed, self._episode = config.seed, 0
        fovy = {"front": FRONT_FOVY, "wrist": WRIST_FOVY}
        self.fovy_C = tuple(math.radians(fovy[camera]) for camera in config.cameras)
        self._simulator = MujocoSimulator(
            self.task,
            1,
            image_size=config.image_size,
            cameras=config.cameras,
            control_hz=config.rate_hz,
            num_render_workers=0,
            robot=config.robot,
            num_threads=1,
        )
        self._standing: Array | None = None

    def restart(self) -> str:
        scene, randomization = initial_scene(self.task, self._seed, self._episode)
        self._episode += 1
        self._simulator.reset(WORLD, [scene], [randomization])
        self._standing = None
        return scene.instruction

    def step(self, target: Array | None, width: float) -> None:
        if target is not None:
            self._standing = None
        pose = self._stand() if target is None else target
        try:
            self._simulator.step(WORLD, np.array([[*pose, width]]))
        except UnstableWorlds:
            self.restart()

    def _stand(self) -> Array:
        """f64[7]: where the arm was when it was first told nothing. It has no brakes, and would
        creep if it were told its measured pose again and again."""
        standing = self._standing
        if standing is None:
            standing = self._standing = self._simulator.state(WORLD).ee_pose_N[0]
        return standing

    def state(self) -> ArmState:
        state = self._simulator.state(WORLD)
        return ArmState(
            joints=self._simulator.joint_positions(WORLD)[0],
            ee_pose=state.ee_pose_N[0],
            gripper_width=float(state.gripper_width_N[0]),
            success=bool(self.task.success(state)[0]),
        )

    def render(self) -> NDArray[np.uint8]:
        return self._simulator.render(WORLD)[0]

    def close(self) -> None:
        self._simulator.close()
