"""Makes a process reward model: trajectories, pseudo labels, a head, and how well it tells.

    ./rlrobo run rlrobo_train process_reward --task pick_and_place --out DIRECTORY

watches the policy's own rollouts, which give both kinds, and learns a head on its weights, which
can see. It is judged on rollouts of held-out seeds that neither it nor the policy has learned from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from rlrobo_core.errors import spoken
from rlrobo_core.task_set import AUTO, Senses, Told, make_tasks, senses_for, widest_task
from rlrobo_core.tasks import Task
from rlrobo_core.types import HELD_OUT
from rlrobo_policy.policy import VlmPolicy, default_start, load_policy
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_train.process_reward.auc import auc, auc_within, redrawn
from rlrobo_train.process_reward.labels import NO, UNKNOWN, YES, LabelConfig, label
from rlrobo_train.process_reward.model import Card, ProcessReward, backbone_of, earlier, numbers
from rlrobo_train.process_reward.watched import (
    Watched,
    of_bags,
    of_dataset,
    of_expert,
    of_policy,
)

HELD_OUT_SEED = HELD_OUT + 2**20
"""Of the trajectories that the model is judged by; evaluations' are below."""


@dataclass(frozen=True, slots=True)
class ProcessRewardConfig:
    task: str = "pick_and_place"
    """One task, several with commas between them, or all."""
    variant: Literal["default", "panda_gym"] = "default"
    """`panda_gym`: with panda_gym's numbers."""
    model: str = ""
    """Checkpoint of the policy whose rollouts are watched and whose weights the model sees with;
    empty: the shipped warm start."""
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
    experts: int = 0
    """Episodes of the scripted expert, of each task."""
    noise: float = 0.3
    """Standard deviation of the noise on the expert's actions, in full steps."""
    rollouts_from: Path | None = None
    """A bag of a training (record:=true), or a directory of bags, to learn from besides."""
    demonstrations_from: Path | None = None
    """A data set (LeRobot, or an arm's rosbag2) of the one task, to learn from besides."""
    held_out: int = 100
    """Episodes of the policy that the model is judged by, of each task."""
    labels: LabelConfig = field(default_factory=LabelConfig)
    weight_decay: float = 0.03
    """Of the head; chosen by five-fold cross-validation on 200 trajectories of Pick and Place, and
    hardly matters from 0.01 to 0.1."""

    @property
    def senses(self) -> Senses:
        tasks = make_tasks(self.task, self.variant).values()
        return senses_for(tasks, self.cameras, self.proprioception)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A trajectory as the model sees it, and what it teaches."""

    moment_LP: NDArray[np.float32]
    label_L: NDArray[np.int8]
    success: bool


def make(config: ProcessRewardConfig) -> tuple[ProcessReward, Card]:
    """A model that has learned and its card. ValueError where there is nothing to learn from."""
    tasks = make_tasks(config.task, config.variant)
    if config.demonstrations_from and len(tasks) > 1:
        raise ValueError(
            f"a data set shows one task, and {config.task!r} is {len(tasks)}: name the one that "
            "it shows, or leave demonstrations_from out"
        )
    model = ProcessReward(_load(config, tasks))
    watched, held_out = {}, {}
    for name, task in tasks.items():
        for kept, trajectories in zip(
            (watched, held_out), collect(config, model.policy, task), strict=True
        ):
            kept[name] = shown(model, task, trajectories, config.labels)
    learn(model, watched, config.weight_decay)
    measured = {name: measure(model, name, it) for name, it in held_out.items()}
    return model, Card(tuple(tasks), backbone_of(model.policy), measured, asdict(config))


def shown(
    model: ProcessReward, task: Task, watched: Sequence[Watched], config: LabelConfig
) -> list[Shown]:
    return [
        Shown(
            model.moments(
                it.image_LC, [it.instruction] * len(it), it.ee_pose_L, it.gripper_width_L
            ),
            label(it.ee_pose_L[:, :3], it.gripper_width_L, it.success, task.control_hz, config),
            it.success,
        )
        for it in watched
    ]


def learn(
    model: ProcessReward, shown_of: Mapping[str, Sequence[Shown]], weight_decay: float
) -> None:
    """Trains the head, from the trajectories of each task. What sees stays as it is: it has learned
    from far more images than a few hundred trajectories hold, which it would learn by heart."""
    began = time.monotonic()
    model.head.learn([lesson(task, it) for task, it in shown_of.items()], weight_decay)
    print(f"learned in {time.monotonic() - began:.1f} s", flush=True)


def _load(config: ProcessRewardConfig, tasks: Mapping[str, Task]) -> VlmPolicy:
    policy = load_policy(
        config.model or default_start("tiny", list(tasks)),
        widest_task(tasks.values()),
        config.codec,
        config.senses.cameras,
        config.image_size,
        config.seed,
        proprioception=config.senses.proprioception,
        others=tasks.values(),
    )
    policy.version = 0
    return policy


def collect(
    config: ProcessRewardConfig, policy: VlmPolicy, task: Task
) -> tuple[list[Watched], list[Watched]]:
    """Trajectories to learn from, and others to be judged by."""
    began, cameras = time.monotonic(), config.senses.cameras
    simulator = MujocoSimulator(task, num_worlds=64, image_size=config.image_size, cameras=cameras)
    with closing(simulator):
        held_out = of_policy(
            simulator, task, policy, config.held_out, HELD_OUT_SEED, config.temperature
        )
        watched = of_policy(
            simulator, task, policy, config.rollouts, config.seed, config.temperature
        )
        watched += of_expert(simulator, task, config.experts, config.seed, config.noise)
    if config.rollouts_from:
        watched += of_bags(config.rollouts_from, task, len(cameras), config.image_size)
    if config.demonstrations_from:
        watched += of_dataset(config.demonstrations_from, task, cameras, config.image_size)
    print(
        f"{task.name}: {len(watched)} trajectories, {_succeeded(watched)} of them successful; held "
        f"out {len(held_out)}, {_succeeded(held_out)}; {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return watched, held_out


def lesson(task: str, shown: Sequence[Shown]) -> tuple[torch.Tensor, torch.Tensor]:
    """What the head reads of the steps with a label, and 1 for yes or 0 for no. ValueError where
    there are no labels of one kind."""
    succeeded = _succeeded(shown)
    if not succeeded:
        raise ValueError(
            f"none of the {len(shown)} trajectories of {task} succeeded, so there is nothing to "
            "extract positive labels from: start from a better checkpoint (--model), or add the "
            "expert's (--experts 50) or recorded ones (--demonstrations-from)"
        )
    if succeeded == len(shown):
        raise ValueError(
            f"all of the {len(shown)} trajectories of {task} succeeded, so nothing shows what "
            "failing looks like: watch more (--rollouts), at a higher --temperature"
        )
    label_M = np.concatenate([it.label_L for it in shown])
    number_MF = torch.cat([numbers(it.moment_LP, earlier(it.moment_LP)) for it in shown])
    known_M, yes_M = torch.from_numpy(label_M != UNKNOWN), torch.from_numpy(label_M == YES)
    print(
        f"{task}: {(label_M == YES).sum()} steps labelled positive, {(label_M == NO).sum()} "
        f"negative, of {len(label_M)}",
        flush=True,
    )
    return number_MF[known_M], yes_M[known_M].float()


def measure(model: ProcessReward, task: str, shown: Sequence[Shown]) -> dict[str, Any]:
    """How well it tells, with the 95% of a bootstrap that draws trajectories."""
    score = [judged(model, it) for it in shown]
    success_E = np.array([it.success for it in shown])
    drawn = [
        areas([score[e] for e in rows], [shown[e] for e in rows]) for rows in redrawn(success_E)
    ]
    measured: dict[str, Any] = {
        "trajectories": len(shown),
        "successful": int(success_E.sum()),
        "steps": sum(int((it.label_L != UNKNOWN).sum()) for it in shown),
    }
    said = []
    for name, area in areas(score, shown).items():
        low, high = np.quantile([it[name] for it in drawn], [0.025, 0.975]).tolist()
        measured |= {f"auc_{name}": area, f"auc_{name}_ci95": [low, high]}
        said.append(f"{name.replace('_', ' ')} {area:.3f} [{low:.3f}, {high:.3f}]")
    print(
        f"{task}: AUC of {', '.join(said)}, on {len(shown)} held-out trajectories, "
        f"{measured['successful']} of them successful",
        flush=True,
    )
    return measured


def areas(score: Sequence[NDArray[np.float32]], shown: Sequence[Shown]) -> dict[str, float]:
    """AUC of trajectories that succeed over those that fail, by the mean score of their steps; of
    steps with a positive label over those with a negative; and, of steps that are equally old, of
    those whose trajectory will succeed over the others: what it knows that no clock does."""
    success_E = np.array([it.success for it in shown])
    score_M, label_M = np.concatenate(score), np.concatenate([it.label_L for it in shown])
    known_M, length_E = label_M != UNKNOWN, [len(score_L) for score_L in score]
    return {
        "trajectories": auc(np.array([score_L.mean() for score_L in score]), success_E),
        "steps": auc(score_M[known_M], label_M[known_M] == YES),
        "equally_old_steps": auc_within(
            score_M,
            np.repeat(success_E, length_E),
            np.concatenate([np.arange(length) for length in length_E]),
        ),
    }


def judged(model: ProcessReward, it: Shown) -> NDArray[np.float32]:
    """f32[L], the scores of a trajectory's steps."""
    return model.judge(it.moment_LP, earlier(it.moment_LP))


def _succeeded(trajectories: Sequence[Watched] | Sequence[Shown]) -> int:
    return sum(it.success for it in trajectories)


@dataclass(frozen=True)
class Arguments(ProcessRewardConfig):
    out: Path = Path("process_reward")
    """Directory of the model."""


def main() -> None:
    arguments, began = tyro.cli(Arguments), time.monotonic()
    with spoken():
        model, card = make(arguments)
        model.save(arguments.out, card)
    print(f"wrote {arguments.out}, {time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
