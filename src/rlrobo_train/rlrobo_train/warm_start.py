"""The warm start: a tiny model learns to see, then imitates scripted experts for a while.

    ./rlrobo run rlrobo_train warm_start --out DIRECTORY

makes a checkpoint for Reach, deliberately stopped early: what is left to learn is left to
reinforcement learning. How the one for all tasks was made stands in docs/learning.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from rlrobo_core.errors import spoken
from rlrobo_core.task_set import AUTO, Senses, Told, make_tasks, senses_for, widest_task
from rlrobo_core.tasks import Task
from rlrobo_policy.policy import VlmPolicy, load_policy
from rlrobo_sim import datasets
from rlrobo_sim.demonstrations import Demonstrations, collect
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.spatial import SpatialFrames, expert_frames, join, random_frames
from rlrobo_train.lessons import (
    PLACE_HIGH,
    PLACE_LOW,
    imitation_lesson,
    relation_lessons,
    where_lesson,
)
from rlrobo_train.supervised import LessonConfig, answer, teach

RECIPE = "warm_start.json"
HELD_OUT_FRAMES = 500
"""Of each task; what the seeing stage is judged by."""


@dataclass(frozen=True, slots=True)
class WarmStartConfig:
    task: str = "reach"
    """One task, several with commas between them, or all."""
    variant: str = "default"
    """`panda_gym`: with panda_gym's numbers."""
    model: str = "tiny"
    codec: str = "tokens"
    image_size: int = 112
    """[px]"""
    cameras: tuple[str, ...] = AUTO
    """auto: those that the task needs."""
    proprioception: Told = "auto"
    """Whether a prompt tells where the gripper is and how far it is open; auto: where the task
    needs it."""
    seed: int = 0
    frames: int = 16000
    """Images of random scenes that the seeing stage asks about, of each task; with 0 and no
    `watched` the stage is left out."""
    watched: int = 0
    """Episodes of the expert, of each task, whose images the seeing stage asks about as well."""
    seeing: LessonConfig = field(default_factory=lambda: LessonConfig(steps=3000))
    """Where things are: what everything else builds on, and so it comes first and alone."""
    relating: LessonConfig = field(default_factory=lambda: LessonConfig(steps=0))
    """Then, beside that: how far the gripper is from them, what is held, which is left of which.
    Done where there are steps."""
    demonstrations: int = 300
    """Episodes of the expert, of each task; 0 leaves imitation out."""
    noise: float = 0.5
    """Standard deviation of the noise on the expert's executed actions, in full steps."""
    noise_of: dict[str, float] = field(default_factory=dict)
    """Likewise, of tasks that need another one: with much of it a puck goes too far."""
    demonstrations_from: Path | None = None
    """A data set (LeRobot or rosbag2, see `demonstrations.py`) of the one task to imitate, all of
    it, instead of `demonstrations` new episodes with `noise`."""
    imitation: LessonConfig = field(
        default_factory=lambda: LessonConfig(steps=55, batch_size=64, learning_rate=5e-4)
    )

    @property
    def senses(self) -> Senses:
        tasks = make_tasks(self.task, self.variant).values()
        return senses_for(tasks, self.cameras, self.proprioception)


Measured = dict[str, dict[str, float]]
"""task -> thing -> median error of where it is told to be [mm]"""


def warm_start(config: WarmStartConfig) -> tuple[VlmPolicy, Measured]:
    """A policy after both stages, and how well it sees."""
    torch.manual_seed(config.seed)
    tasks = make_tasks(config.task, config.variant)
    given = _given_demonstrations(config, tasks)  # refused now, not after the seeing stage
    policy = load_policy(
        config.model,
        widest_task(tasks.values()),
        config.codec,
        config.senses.cameras,
        config.image_size,
        config.seed,
        proprioception=config.senses.proprioception,
        others=tasks.values(),
    )
    measured = _see(config, policy, tasks) if config.frames or config.watched else {}
    if given or config.demonstrations:
        _imitate(config, policy, tasks, given or _new_demonstrations(config, tasks))
    return policy, measured


def _simulate(config: WarmStartConfig, task: Task) -> closing[MujocoSimulator]:
    return closing(
        MujocoSimulator(
            task, num_worlds=64, image_size=config.image_size, cameras=config.senses.cameras
        )
    )


def _see(config: WarmStartConfig, policy: VlmPolicy, tasks: Mapping[str, Task]) -> Measured:
    started = time.monotonic()
    places, relations, held_out = [], [], {}
    for name, task in tasks.items():
        with _simulate(config, task) as simulator:
            frames = _frames(config, task, simulator)
            places.append(where_lesson(policy, frames))
            relations += relation_lessons(policy, frames)
            held_out[name] = random_frames(simulator, task, HELD_OUT_FRAMES, config.seed + 1)
    print(f"seeing: frames rendered in {time.monotonic() - started:.0f} s", flush=True)
    teach(policy.vlm, places, config.seeing, config.seed, Reporter("seeing"))
    teach(policy.vlm, places + relations, config.relating, config.seed, Reporter("relating"))
    measured = {name: place_errors_mm(policy, frames) for name, frames in held_out.items()}
    for name, errors in measured.items():
        for thing, error in errors.items():
            print(f"  {name}, where is the {thing}: median error {error:.1f} mm")
    return measured


def _frames(config: WarmStartConfig, task: Task, simulator: MujocoSimulator) -> SpatialFrames:
    parts = []
    if config.frames:
        parts.append(random_frames(simulator, task, config.frames, config.seed))
    if config.watched:
        noise = config.noise_of.get(task.name, config.noise)
        parts.append(expert_frames(simulator, task, config.watched, config.seed, noise))
    return join(parts)


def place_errors_mm(policy: VlmPolicy, frames: SpatialFrames) -> dict[str, float]:
    """Median distance between told and true place [mm], of the gripper and of each object."""
    lesson = where_lesson(policy, frames)
    half = (PLACE_HIGH - PLACE_LOW) / 2.0
    error_KS = np.linalg.norm((answer(policy.vlm, lesson) - lesson.answer_KSD) * half, axis=-1)
    medians = np.median(error_KS, axis=0) * 1e3
    return dict(zip(["gripper", *frames.name_N], medians.tolist(), strict=True))


def _given_demonstrations(
    config: WarmStartConfig, tasks: Mapping[str, Task]
) -> list[Demonstrations]:
    if config.demonstrations_from is None:
        return []
    if len(tasks) > 1:
        raise ValueError(
            f"a data set shows one task, and {config.task!r} is {len(tasks)}: name the one that "
            "it shows, or leave demonstrations_from out"
        )
    shown, origin = datasets.read(config.demonstrations_from)
    (task,) = tasks.values()
    return [datasets.fitting(shown, origin, task, config.senses.cameras, config.image_size)]


def _new_demonstrations(config: WarmStartConfig, tasks: Mapping[str, Task]) -> list[Demonstrations]:
    found = []
    for name, task in tasks.items():
        with _simulate(config, task) as simulator:
            noise = config.noise_of.get(name, config.noise)
            shown = collect(simulator, task, config.demonstrations, config.seed, noise)
        success = f"{shown.success_E.mean():.0%}"
        print(f"imitation: {name}, {len(shown)} frames, expert success {success}", flush=True)
        found.append(shown)
    return found


def _imitate(
    config: WarmStartConfig,
    policy: VlmPolicy,
    tasks: Mapping[str, Task],
    shown: list[Demonstrations],
) -> None:
    lessons = [
        imitation_lesson(policy, task, of_task)
        for task, of_task in zip(tasks.values(), shown, strict=True)
    ]
    teach(policy.vlm, lessons, config.imitation, config.seed, Reporter("imitation"))


class Reporter:
    """Prints the mean loss now and then."""

    def __init__(self, stage: str, every: int = 100):
        self.stage, self.every, self.losses = stage, every, []
        self.started = time.monotonic()

    def __call__(self, step: int, loss: float) -> None:
        self.losses.append(loss)
        if (step + 1) % self.every == 0:
            seconds = time.monotonic() - self.started
            mean = float(np.mean(self.losses[-self.every :]))
            print(f"{self.stage}: step {step + 1}, loss {mean:.3f}, {seconds:.0f} s", flush=True)


@dataclass(frozen=True)
class Arguments(WarmStartConfig):
    out: Path = Path("warm_start")
    """Directory of the checkpoint."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    with spoken():
        policy, measured = warm_start(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    policy.vlm.model.half()  # half the bytes to ship; `load_vlm` reads it as float32
    policy.save(arguments.out)
    text = json.dumps(recipe(arguments, measured), indent=2, default=lambda path: path.name)
    (arguments.out / RECIPE).write_text(text + "\n")
    print(f"wrote {arguments.out}")


def recipe(arguments: Arguments, measured: Measured) -> dict[str, Any]:
    """How the checkpoint was made, and `from` what where it went on from another one."""
    before = Path(arguments.model) / RECIPE
    config = asdict(arguments) | {"model": Path(arguments.model).name}
    origin = {"from": json.loads(before.read_text())} if before.is_file() else {}
    return {"config": config, "median_error_mm": measured} | origin


if __name__ == "__main__":
    main()
