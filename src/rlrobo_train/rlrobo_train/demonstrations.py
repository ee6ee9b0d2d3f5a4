"""An expert's demonstrations as a data set: LeRobot's format, rosbag2, or both.

./rlrobo run rlrobo_train demonstrations --task reach --episodes 100 --out DIRECTORY
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from rlrobo_core.errors import spoken
from rlrobo_core.tasks import Task, make_task
from rlrobo_core.types import HELD_OUT
from rlrobo_sim import datasets
from rlrobo_sim.demonstrations import Demonstrations, collect
from rlrobo_sim.mujoco import MujocoSimulator


@dataclass(frozen=True, slots=True)
class DemonstrationsConfig:
    task: str = "reach"
    variant: str = "default"
    """`panda_gym`: with panda_gym's numbers."""
    episodes: int = 100
    noise: float = 0.5
    """Standard deviation of the noise on the expert's executed actions, in full steps. The
    actions in the data set are the expert's own, without it."""
    seed: int = 0
    cameras: tuple[str, ...] = ("front",)
    image_size: int = 112
    """[px]"""
    out: Path = Path("demonstrations")
    """Directory to make; with `both`, of the two directories lerobot and rosbag2."""
    format: Literal["lerobot", "rosbag2", "both"] = "lerobot"

    def check(self) -> None:
        if self.episodes < 1:
            raise ValueError(f"episodes must be 1 or more, not {self.episodes}")
        if not self.noise >= 0.0:
            raise ValueError(f"noise must be 0 (none) or more, not {self.noise}")
        if not 0 <= self.seed < HELD_OUT:
            raise ValueError(
                f"seed must lie in [0, {HELD_OUT}), not {self.seed}: higher ones are held out for "
                "evaluation"
            )


def demonstrations(config: DemonstrationsConfig) -> Demonstrations:
    """Collects them and writes them. ValueError before anything is done where it cannot be."""
    config.check()
    task = make_task(config.task, config.variant)
    places = datasets.places(config.out, config.format)
    origin = datasets.Origin.of(
        task, config.variant, config.cameras, config.image_size, config.noise, config.seed
    )
    shown = _collect(config, task)
    for form, path in places.items():
        datasets.write(shown, origin, path, form)
        print(f"wrote {path}")
    return shown


def _collect(config: DemonstrationsConfig, task: Task) -> Demonstrations:
    simulator = MujocoSimulator(
        task,
        num_worlds=min(config.episodes, 64),
        image_size=config.image_size,
        cameras=config.cameras,
    )
    try:
        shown = collect(simulator, task, config.episodes, config.seed, config.noise)
    finally:
        simulator.close()
    print(
        f"{config.episodes} episodes of {task.name}, {len(shown)} frames, "
        f"expert success {shown.success_E.mean():.0%}"
    )
    return shown


def main() -> None:
    with spoken():
        demonstrations(tyro.cli(DemonstrationsConfig))


if __name__ == "__main__":
    main()
