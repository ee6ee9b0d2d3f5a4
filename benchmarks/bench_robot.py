"""What a policy reaches through the robot's graph: its target goes through the safety machine to
the simulated arm, which moves in small steps while the policy thinks. In the arm's own time, and
without ROS, so that the machine's speed changes nothing.

    ./rlrobo bench robot --episodes 100 --max-speed 0.25 --latency 0.05

`sim_eval` runs the same scenes a control step at a time, the world waiting for the policy.
`--json FILE` writes the figures.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from rlrobo_core.intervals import SuccessRate
from rlrobo_core.tasks import Task, make_task
from rlrobo_core.types import HELD_OUT
from rlrobo_policy.policy import VlmPolicy, load_policy, shipped_checkpoint
from rlrobo_policy.robot.readings import Readings, Stamped
from rlrobo_robot.safety.config import SafetyConfig
from rlrobo_robot.safety.machine import ACTIVE, SafetyMachine
from rlrobo_robot.safety.targets import StampedPose
from rlrobo_sim.arm.arm import MujocoArm, MujocoArmConfig

TICK = 0.01
"""[s] of the safety machine."""


@dataclass(frozen=True)
class Options:
    task: str = "reach"
    checkpoint: str = ""
    """Empty: the one that ships for the task."""
    episodes: int = 100
    seconds: float = 5.0
    """Limit of an episode. The rollouts of training have the task's own."""
    max_speed: float = 0.25
    """[m/s]"""
    max_acceleration: float = 1.0
    """[m/s^2]"""
    latency: float = 0.05
    """From an image to its target [s]."""
    image_size: int = 112
    seed: int = HELD_OUT
    """Scene g is that of group g of an evaluation of this seed."""
    json: Path | None = None


class Loop:
    """Arm at 50 Hz, safety machine at 100 Hz, images at the task's rate, targets later."""

    def __init__(self, options: Options, task: Task, policy: VlmPolicy) -> None:
        self.options, self.task, self.policy = options, task, policy
        self.cameras = policy.spec.cameras
        self.config = SafetyConfig(
            max_speed=options.max_speed, max_acceleration=options.max_acceleration
        )
        self.arm = MujocoArm(
            MujocoArmConfig(
                task=options.task,
                seed=options.seed,
                image_size=options.image_size,
                cameras=self.cameras,
            )
        )
        self.refused: dict[str, int] = {}
        self.lowest = np.inf
        self.faults: list[str] = []

    def episode(self) -> float | None:
        """After how long it succeeded [s]; None where it did not."""
        options, machine = self.options, SafetyMachine(self.config)
        readings = Readings(self.cameras, options.image_size, 0.3)
        readings.instruction = self.arm.restart()
        waiting: list[tuple[float, float, np.ndarray]] = []
        width = self.arm.state().gripper_width
        image_every = round(1.0 / self.task.control_hz / TICK)
        found = None
        for tick in range(round(options.seconds / TICK)):
            now = 10.0 + tick * TICK
            if tick % 2 == 0:
                setpoint = machine.tick(now)
                self.arm.step(setpoint, width)
                state = self.arm.state()
                machine.see_pose(StampedPose(state.ee_pose, now, "base"), now)
                machine.see_mode("move", now, now)
                self.lowest = min(self.lowest, state.ee_pose[2])
                if state.success:
                    found = tick * TICK
                    break
                if tick == 0:
                    machine.arm(now)
            else:
                machine.tick(now)
            if tick % image_every == 0:
                state = self.arm.state()
                pixels = self.arm.render()
                readings.images = {
                    name: Stamped(image, now)
                    for name, image in zip(self.cameras, pixels, strict=True)
                }
                readings.ee_pose = Stamped(state.ee_pose.astype(np.float32), now)
                readings.gripper_width = Stamped(state.gripper_width, now)
                batch = readings.observe(self.task.name, 0, tick // image_every, options.seed)
                waiting.append((now + options.latency, now, self.policy.act(batch).target_M[0]))
            while waiting and waiting[0][0] <= now:
                _, seen_at, target = waiting.pop(0)
                machine.see_target(StampedPose(target[:7].astype(float), seen_at, "base"), now)
                given = machine.see_gripper(float(target[7]), seen_at, now)
                width = width if given is None else given
            if machine.state not in ACTIVE:
                self.faults.append(machine.reason)
                break
        for what, count in machine.rejected.items():
            self.refused[what] = self.refused.get(what, 0) + count
        return found


def main() -> None:
    options = tyro.cli(Options)
    task = make_task(options.task)
    policy = load_policy(
        options.checkpoint or str(shipped_checkpoint([options.task])),
        task,
        cameras=task.cameras,
        image_size=options.image_size,
        proprioception=task.proprioception,
    )
    loop = Loop(options, task, policy)
    times = [loop.episode() for _ in range(options.episodes)]
    loop.arm.close()
    reached = [it for it in times if it is not None]
    in_time = [it for it in reached if it <= task.max_steps / task.control_hz]
    result: dict[str, Any] = {
        "success": len(reached) / options.episodes,
        "ci95": SuccessRate(len(reached), options.episodes).ci95,
        "success_in_task_time": len(in_time) / options.episodes,
        "median_seconds": float(np.median(reached)) if reached else None,
        "refused": loop.refused,
        "faults": loop.faults,
        "lowest_z": float(loop.lowest),
    }
    print(f"through the safety node: {SuccessRate(len(reached), options.episodes)}")
    print(json.dumps(result, indent=2))
    if options.json:
        text = json.dumps({"options": asdict(options), **result}, default=str, indent=2)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
