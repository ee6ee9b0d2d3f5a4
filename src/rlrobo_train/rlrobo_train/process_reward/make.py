"""Makes a process reward model: trajectories, pseudo labels, fine-tuning, and how well it tells.

    ./rlrobo run rlrobo_train process_reward --task pick_and_place --out DIRECTORY

watches the policy's own rollouts, which give both kinds, and goes on from its weights, which can
see. It is judged on rollouts of held-out seeds that neither it nor the policy has learned from.
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

from rlrobo_core.codec import Choices
from rlrobo_core.errors import spoken
from rlrobo_core.prompt import YES_NO
from rlrobo_core.task_set import AUTO, Senses, Told, make_tasks, senses_for, widest_task
from rlrobo_core.tasks import Task
from rlrobo_core.types import HELD_OUT
from rlrobo_policy.policy import VlmPolicy, default_start, load_policy
from rlrobo_policy.vocabulary import word_token_ids
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_train.process_reward.auc import auc, auc_interval
from rlrobo_train.process_reward.labels import NO, UNKNOWN, YES, LabelConfig, label
from rlrobo_train.process_reward.model import Card, ProcessReward, backbone_of, questions, ways
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
    """Checkpoint of the policy whose rollouts are watched and whose weights the model goes on
    from; empty: the shipped warm start."""
    codec: str = "tokens"
    image_size: int = 112
    """[px]"""
    cameras: tuple[str, ...] = AUTO
    """auto: those that the task needs."""
    proprioception: Told = "auto"
    """Whether a prompt tells where the gripper is and how far it is open."""
    seed: int = 0
    rollouts: int = 200
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
    learning: LessonConfig = field(
        default_factory=lambda: LessonConfig(steps=60, batch_size=40, learning_rate=4e-4)
    )

    @property
    def senses(self) -> Senses:
        tasks = make_tasks(self.task, self.variant).values()
        return senses_for(tasks, self.cameras, self.proprioception)


def make(config: ProcessRewardConfig) -> tuple[ProcessReward, Card]:
    """A fine-tuned model and its card. ValueError where there is nothing to learn from."""
    torch.manual_seed(config.seed)
    tasks = make_tasks(config.task, config.variant)
    if config.demonstrations_from and len(tasks) > 1:
        raise ValueError(
            f"a data set shows one task, and {config.task!r} is {len(tasks)}: name the one that "
            "it shows, or leave demonstrations_from out"
        )
    policy = _load(config, tasks)
    lessons, held_out = [], {}
    for name, task in tasks.items():
        watched, held_out[name] = collect(config, policy, task)
        lessons += progress_lessons(policy, task, watched, config.labels)
    model = learn(policy, lessons, config.learning, config.seed)
    measured: dict[str, Any] = {
        name: measure(model, tasks[name], watched, config.labels)
        for name, watched in held_out.items()
    }
    return model, Card(tuple(tasks), backbone_of(policy), measured, asdict(config))


def learn(
    policy: VlmPolicy, lessons: Sequence[Lesson], config: LessonConfig, seed: int
) -> ProcessReward:
    """Fine-tunes the policy's model; changes it in place. What sees stays as it is: it has learned
    from far more images than a few hundred trajectories hold, which it would learn by heart."""
    began = time.monotonic()
    policy.vlm.model.model.visual.requires_grad_(False)
    teach(policy.vlm, lessons, config, seed, Reporter("learning", every=20))
    print(f"learned in {time.monotonic() - began:.0f} s", flush=True)
    return ProcessReward(policy)


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


def progress_lessons(
    policy: VlmPolicy, task: Task, watched: Sequence[Watched], config: LabelConfig
) -> list[Lesson]:
    """Is the robot on its way ? Yes and no are a lesson each, and so have equal shares. ValueError
    where there are no labels of one kind."""
    succeeded = _succeeded(watched)
    if not succeeded:
        raise ValueError(
            f"none of the {len(watched)} trajectories of {task.name} succeeded, so there is "
            "nothing to extract positive labels from: start from a better checkpoint (--model), or "
            "add the expert's (--experts 50) or recorded ones (--demonstrations-from)"
        )
    if succeeded == len(watched):
        raise ValueError(
            f"all of the {len(watched)} trajectories of {task.name} succeeded, so nothing shows "
            "what failing looks like: watch more (--rollouts), at a higher --temperature"
        )
    labelled = [(it, _label(it, task, config)) for it in watched]
    lessons = [_lesson(policy, labelled, kind) for kind in (YES, NO)]
    print(
        f"{task.name}: {len(lessons[0])} steps labelled positive, {len(lessons[1])} negative, of "
        f"{sum(map(len, watched))}",
        flush=True,
    )
    return lessons


def _lesson(
    policy: VlmPolicy, labelled: Sequence[tuple[Watched, NDArray[np.int8]]], kind: int
) -> Lesson:
    """The steps with that label."""
    answer = "yes" if kind == YES else "no"
    text_K = [
        text
        for it, label_L in labelled
        for text, is_kind in zip(_asked(policy, it), label_L == kind, strict=True)
        if is_kind
    ]
    return Lesson(
        image_KC=np.concatenate([it.image_LC[label_L == kind] for it, label_L in labelled]),
        text_KS=[(text,) for text in text_K],
        answer_KSD=np.full((len(text_K), 1, 1), YES_NO.index(answer)),
        codec=Choices(YES_NO),
        token_V=word_token_ids(policy.vlm, YES_NO),
    )


def measure(
    model: ProcessReward, task: Task, watched: Sequence[Watched], config: LabelConfig
) -> dict[str, Any]:
    """How well it tells steps with a positive from those with a negative label, and trajectories
    that succeed from those that fail, by the mean score of their steps."""
    score = [judged(model, it) for it in watched]
    label_M = np.concatenate([_label(it, task, config) for it in watched])
    known_M, score_M = label_M != UNKNOWN, np.concatenate(score)
    mean_E = np.array([of_one.mean() for of_one in score])
    success_E = np.array([it.success for it in watched])
    measured: dict[str, Any] = {
        "trajectories": len(watched),
        "successful": int(success_E.sum()),
        "auc_trajectories": auc(mean_E, success_E),
        "auc_trajectories_ci95": list(auc_interval(mean_E, success_E)),
        "steps": int(known_M.sum()),
        "auc_steps": auc(score_M[known_M], label_M[known_M] == YES),
    }
    low, high = measured["auc_trajectories_ci95"]
    print(
        f"{task.name}: AUC of trajectories {measured['auc_trajectories']:.3f} "
        f"[{low:.3f}, {high:.3f}], of steps {measured['auc_steps']:.3f}, on {len(watched)} "
        f"held-out trajectories, {measured['successful']} of them successful",
        flush=True,
    )
    return measured


def judged(model: ProcessReward, it: Watched) -> NDArray[np.float32]:
    """f32[L], the scores of a trajectory's steps."""
    way_L = ways(it.ee_pose_L[:, :3])
    instruction_L = [it.instruction] * len(it)
    return model.judge(it.image_LC, instruction_L, it.ee_pose_L, it.gripper_width_L, way_L)


def _label(watched: Watched, task: Task, config: LabelConfig) -> NDArray[np.int8]:
    return label(
        watched.ee_pose_L[:, :3],
        watched.gripper_width_L,
        watched.success,
        task.control_hz,
        config,
    )


def _asked(policy: VlmPolicy, it: Watched) -> tuple[str, ...]:
    way_L = ways(it.ee_pose_L[:, :3])
    instruction_L = [it.instruction] * len(it)
    return questions(policy, instruction_L, it.ee_pose_L, it.gripper_width_L, way_L)


def _succeeded(watched: Sequence[Watched]) -> int:
    return sum(it.success for it in watched)


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
