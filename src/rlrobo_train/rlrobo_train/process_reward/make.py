"""Makes a process reward model: trajectories, pseudo labels, fine-tuning, and how well it tells.

    ./rlrobo run rlrobo_train process_reward --task pick_and_place --out DIRECTORY

watches the policy's own rollouts and a scripted expert's, and fine-tunes a copy of the policy to
say how far each of their images has come. It is judged on the policy's rollouts of held-out seeds
that neither it nor the policy has learned from.

Shape legend: K steps of all trajectories.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

import numpy as np
import tyro

from rlrobo_core.codec import Bins
from rlrobo_core.errors import spoken
from rlrobo_core.task_set import AUTO, Senses, Told, make_tasks, senses_for, widest_task
from rlrobo_core.tasks import Task
from rlrobo_core.types import HELD_OUT
from rlrobo_policy.policy import VlmPolicy, default_start, load_policy
from rlrobo_policy.process_reward import DIGITS, Card, ProcessReward, backbone_of
from rlrobo_sim.experts import EXPERTS
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_train.process_reward.labels import LabelConfig
from rlrobo_train.process_reward.measure import HeldOut, branches, labelled, measure
from rlrobo_train.process_reward.watched import (
    Watched,
    of_bags,
    of_dataset,
    of_expert,
    of_policy,
)
from rlrobo_train.supervised import Lesson, LessonConfig, teach
from rlrobo_train.warm_start import Reporter

HELD_OUT_SEED = HELD_OUT + 2**20
"""Of the trajectories that the model is judged by; evaluations' are below."""


@dataclass(frozen=True, slots=True)
class ProcessRewardConfig:
    task: str = "pick_and_place"
    """One task, several with commas between them, or all."""
    variant: Literal["default", "panda_gym"] = "default"
    """`panda_gym`: with panda_gym's numbers."""
    model: str = ""
    """Checkpoint of the policy whose rollouts are watched, and that is fine-tuned; empty: the
    shipped warm start."""
    codec: str = "tokens"
    image_size: int = 112
    """[px]"""
    cameras: tuple[str, ...] = AUTO
    """auto: those that the task needs."""
    proprioception: Told = "auto"
    """Whether a prompt tells where the gripper is and how far it is open."""
    seed: int = 0
    rollouts: int = 400
    """Episodes of the policy, of each task."""
    temperature: float = 1.0
    """That its actions are sampled at."""
    experts: int = 1600
    """Episodes of the scripted expert, of each task; 0 for a task that has none. The model has to
    see where things are in scenes that it does not know, so it needs many."""
    noise: float = 0.3
    """Standard deviation of the noise on the expert's actions, in full steps."""
    rollouts_from: Path | None = None
    """A bag of a training (record:=true), or a directory of bags, to learn from besides."""
    demonstrations_from: Path | None = None
    """A data set (LeRobot, or an arm's rosbag2) of the one task, to learn from besides."""
    held_out: int = 100
    """Episodes of the policy that the model is judged by, of each task."""
    labels: LabelConfig = field(default_factory=LabelConfig)
    learning: LessonConfig = field(
        default_factory=lambda: LessonConfig(
            steps=1200, batch_size=48, learning_rate=1e-3, sigma=0.6
        )
    )
    lora_rank: int = 0
    """Fine-tune an adapter of this rank on a frozen model; 0: the whole model."""

    @property
    def senses(self) -> Senses:
        tasks = make_tasks(self.task, self.variant).values()
        return senses_for(tasks, self.cameras, self.proprioception)


def make(config: ProcessRewardConfig) -> tuple[ProcessReward, Card]:
    """A model that has learned and its card. ValueError where there is nothing to learn from."""
    tasks = make_tasks(config.task, config.variant)
    check(config)
    model = ProcessReward(_load(config, tasks))
    lessons, held_out = [], {}
    for name, task in tasks.items():
        watched, held_out[name] = collect(config, model.policy, task)
        lessons.append(lesson(model, task, watched, config.labels))
    learn(model, lessons, config)
    measured = {
        name: measure(model, task, held_out[name], config.labels) for name, task in tasks.items()
    }
    return model, Card(tuple(tasks), backbone_of(model.policy), measured, asdict(config))


def check(config: ProcessRewardConfig) -> None:
    """ValueError where the configuration cannot work."""
    tasks = make_tasks(config.task, config.variant)
    if config.demonstrations_from and len(tasks) > 1:
        raise ValueError(
            f"a data set shows one task, and {config.task!r} is {len(tasks)}: name the one that "
            "it shows, or leave demonstrations_from out"
        )
    recorded = {
        "rollouts-from": config.rollouts_from,
        "demonstrations-from": config.demonstrations_from,
    }
    for name, path in recorded.items():
        if path and not path.exists():
            raise ValueError(f"--{name} {path} is not there: name a folder, or leave it out")
    lacking = [name for name in tasks if name not in EXPERTS]
    if config.experts and lacking:
        raise ValueError(
            f"task {', '.join(lacking)} has no scripted expert; those that have: "
            f"{', '.join(EXPERTS)}. Leave the expert out with --experts 0"
        )
    if config.held_out < 1:
        raise ValueError(
            f"--held-out {config.held_out} leaves nothing to judge the model by: take 1 or more"
        )
    if not (config.rollouts or config.experts or any(recorded.values())):
        raise ValueError(
            "nothing to learn from: set --rollouts or --experts, or name recordings with "
            "--rollouts-from or --demonstrations-from"
        )


def learn(model: ProcessReward, lessons: Sequence[Lesson], config: ProcessRewardConfig) -> None:
    teach(model.policy.vlm, lessons, config.learning, config.seed, Reporter("learning"))


def _load(config: ProcessRewardConfig, tasks: Mapping[str, Task]) -> VlmPolicy:
    policy = load_policy(
        config.model or default_start("tiny", list(tasks)),
        widest_task(tasks.values()),
        config.codec,
        config.senses.cameras,
        config.image_size,
        config.seed,
        lora_rank=config.lora_rank,
        proprioception=config.senses.proprioception,
        others=tasks.values(),
    )
    policy.version = 0
    return policy


def collect(
    config: ProcessRewardConfig, policy: VlmPolicy, task: Task
) -> tuple[list[Watched], HeldOut]:
    """Trajectories to learn from, and what the model is judged by."""
    began, cameras = time.monotonic(), config.senses.cameras
    simulator = MujocoSimulator(task, num_worlds=64, image_size=config.image_size, cameras=cameras)
    with closing(simulator):
        whole = of_policy(
            simulator, task, policy, config.held_out, HELD_OUT_SEED, config.temperature
        )
        held_out = HeldOut(whole, branches(simulator, task, policy, HELD_OUT_SEED))
        watched = of_policy(
            simulator, task, policy, config.rollouts, config.seed, config.temperature
        )
        watched += of_expert(simulator, task, config.experts, config.seed + 1, config.noise)
    if config.rollouts_from:
        watched += of_bags(config.rollouts_from, task, len(cameras), config.image_size)
    if config.demonstrations_from:
        watched += of_dataset(config.demonstrations_from, task, cameras, config.image_size)
    print(
        f"{task.name}: {len(watched)} trajectories, {_succeeded(watched)} of them successful; held "
        f"out {len(whole)}, {_succeeded(whole)}; {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return watched, held_out


def lesson(
    model: ProcessReward, task: Task, watched: Sequence[Watched], config: LabelConfig
) -> Lesson:
    """How far it is, of every step of those that succeeded. ValueError where none did."""
    if not _succeeded(watched):
        raise ValueError(
            f"none of the {len(watched)} trajectories of {task.name} succeeded, so there is "
            "nothing to extract labels from: start from a better checkpoint (--model), or add the "
            "expert's (--experts 50) or recorded ones (--demonstrations-from)"
        )
    good = [it for it in watched if it.success]
    progress_K = np.concatenate([labelled(task, it, config) for it in good])
    texts = (
        model.questions([it.instruction] * len(it), it.ee_pose_L, it.gripper_width_L) for it in good
    )
    return Lesson(
        image_KC=[image_C for it in good for image_C in it.image_LC],
        text_KS=[(text,) for of_one in texts for text in of_one],
        answer_KSD=progress_K[:, None, None].astype(np.float32),
        codec=Bins(1, len(DIGITS), low=0.0, high=1.0),
        token_V=model.digit_V.cpu(),
    )


def _succeeded(trajectories: Sequence[Watched]) -> int:
    return sum(it.success for it in trajectories)


@dataclass(frozen=True)
class Arguments(ProcessRewardConfig):
    out: Path = Path("process_reward")
    """Directory of the model."""


def writable(directory: Path) -> None:
    """ValueError where the model could not be kept."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ValueError(f"--out {directory} cannot be written ({error}): name another") from error


def main() -> None:
    arguments, began = tyro.cli(Arguments), time.monotonic()
    with spoken():
        check(arguments)
        writable(arguments.out)
        model, card = make(arguments)
        model.save(arguments.out, card)
    print(f"wrote {arguments.out}, {time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
