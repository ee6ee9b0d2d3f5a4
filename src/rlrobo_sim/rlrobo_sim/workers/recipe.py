"""What a simulation process is told to make its environments, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rlrobo_core.shifts import SceneShift
from rlrobo_core.task_set import make_tasks
from rlrobo_core.tasks import Task
from rlrobo_core.types import ObservationBatch
from rlrobo_sim.engines import RolloutEngines
from rlrobo_sim.mujoco import MujocoSimulator


@dataclass(frozen=True, slots=True)
class Recipe:
    task: str
    """One, or several with commas between them."""
    variant: str
    num_envs: int
    group_size: int
    image_size: int
    """[px]"""
    cameras: tuple[str, ...]
    reward: str = "dense"
    randomize: bool = False
    robot: str = "primitive"

    def engines(self, alone: bool = True) -> RolloutEngines:
        """`alone`: of a process that has the machine for itself, with rendering processes and
        threads of its own; else one of several, which does everything in one thread."""

        def make_simulator(task: Task, shift: SceneShift) -> MujocoSimulator:
            return MujocoSimulator(
                task,
                self.num_envs,
                image_size=self.image_size,
                cameras=self.cameras,
                randomize=self.randomize,
                robot=self.robot,
                shift=shift,
                num_render_workers=None if alone else 0,
                num_threads=0 if alone else 1,
            )

        tasks = make_tasks(self.task, self.variant)
        return RolloutEngines(tasks, self.group_size, make_simulator, self.reward)


class Reply(NamedTuple):
    batch: ObservationBatch | None
    """None: the environments are made, and nothing has been asked yet."""
    busy_s: float = 0.0
    """How long it took [s]."""
    unstable_groups: tuple[int, ...] = ()
    unanswered_groups: tuple[int, ...] = ()
    problem: str = ""
    """Where the request or the answer was wrong: the user's error, not the process's."""
