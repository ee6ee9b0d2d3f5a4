"""The warm start: a tiny model learns to see, then imitates a scripted expert for a while.

    ./rlrobo run rlrobo_train warm_start --out DIRECTORY

makes the checkpoint that ships with rlrobo. It is deliberately stopped early: what is left to
learn is left to reinforcement learning.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import tyro

from rlrobo_core.prompt import location_question
from rlrobo_core.tasks import Task, make_task
from rlrobo_policy.policy import VlmPolicy, load_policy
from rlrobo_policy.vlm import Vlm
from rlrobo_sim import datasets
from rlrobo_sim.demonstrations import Demonstrations, SpatialFrames, collect, spatial_frames
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_train.supervised import (
    PLACE_HIGH,
    PLACE_LOW,
    Lesson,
    LessonConfig,
    answer,
    normalise_place,
    place_codec,
    place_tokens,
    teach,
)


@dataclass(frozen=True, slots=True)
class WarmStartConfig:
    task: str = "reach"
    variant: str = "default"
    """The task's numbers: our own (default), or panda_gym's."""
    model: str = "tiny"
    codec: str = "tokens"
    image_size: int = 112
    """[px]"""
    cameras: tuple[str, ...] = ("front",)
    proprioception: bool = False
    """Whether an instruction's prompt tells where the gripper is and how far it is open."""
    seed: int = 0
    frames: int = 16000
    """Images of the seeing stage; 0 leaves it out."""
    seeing: LessonConfig = field(default_factory=lambda: LessonConfig(steps=3000))
    demonstrations: int = 300
    """Episodes of the expert; 0 leaves imitation out."""
    noise: float = 0.5
    """Standard deviation of the noise on the expert's executed actions, in full steps."""
    demonstrations_from: Path | None = None
    """A data set (LeRobot or rosbag2, see `demonstrations.py`) to imitate, all of it, instead of
    `demonstrations` new episodes with `noise`."""
    imitation: LessonConfig = field(
        default_factory=lambda: LessonConfig(steps=55, batch_size=64, learning_rate=5e-4)
    )


def seeing_lesson(vlm: Vlm, frames: SpatialFrames) -> Lesson:
    """Where is each thing, where is the gripper: one question after the other about an image."""
    places = {"gripper": frames.ee_pose_N} | frames.object_pose
    n = len(frames)
    return Lesson(
        image_KC=frames.image_NC,
        image_of_N=np.tile(np.arange(n), len(places)),
        text_N=tuple(location_question(name) for name in places for _ in range(n)),
        answer_ND=normalise_place(np.concatenate([pose[:, :3] for pose in places.values()])),
        codec=place_codec(),
        token_V=place_tokens(vlm),
    )


def imitation_lesson(policy: VlmPolicy, shown: Demonstrations) -> Lesson:
    """What the expert would do, seen from where its noisy actions led."""
    return Lesson(
        image_KC=shown.image_NC,
        image_of_N=np.arange(len(shown)),
        text_N=policy.prompts(shown.instruction_N, shown.ee_pose_N, shown.gripper_width_N),
        answer_ND=shown.action_ND,
        codec=policy.codec,
        token_V=policy.token_V.cpu(),
    )


def place_error_mm(vlm: Vlm, lesson: Lesson) -> dict[str, float]:
    """Median distance between told and true place [mm], a question."""
    half = (PLACE_HIGH - PLACE_LOW) / 2.0
    error_N = np.linalg.norm((answer(vlm, lesson) - lesson.answer_ND) * half, axis=-1) * 1e3
    texts = np.asarray(lesson.text_N)
    return {text: float(np.median(error_N[texts == text])) for text in sorted(set(texts))}


def warm_start(config: WarmStartConfig) -> tuple[VlmPolicy, dict[str, float]]:
    """A policy after both stages, and what was measured on the way."""
    torch.manual_seed(config.seed)
    task = make_task(config.task, config.variant)
    given = _given_demonstrations(config, task)  # refused now, not after the seeing stage
    policy = load_policy(
        config.model,
        task,
        config.codec,
        config.cameras,
        config.image_size,
        config.seed,
        proprioception=config.proprioception,
    )
    simulator = MujocoSimulator(
        task, num_worlds=64, image_size=config.image_size, cameras=config.cameras
    )
    try:
        measured = _see(config, policy, task, simulator)
        _imitate(config, policy, given or _new_demonstrations(config, task, simulator))
    finally:
        simulator.close()
    return policy, measured


def _see(
    config: WarmStartConfig, policy: VlmPolicy, task: Task, simulator: MujocoSimulator
) -> dict[str, float]:
    if not config.frames:
        return {}
    started = time.monotonic()
    frames = spatial_frames(simulator, task, config.frames, config.seed)
    print(f"seeing: {config.frames} frames rendered in {time.monotonic() - started:.0f} s")
    teach(
        policy.vlm,
        [seeing_lesson(policy.vlm, frames)],
        config.seeing,
        config.seed,
        Reporter("seeing"),
    )
    held_out = spatial_frames(simulator, task, 500, config.seed + 1)
    errors = place_error_mm(policy.vlm, seeing_lesson(policy.vlm, held_out))
    for question, error in errors.items():
        print(f"  {question} median error {error:.1f} mm")
    return errors | {"seconds": time.monotonic() - started}


def _given_demonstrations(config: WarmStartConfig, task: Task) -> Demonstrations | None:
    if config.demonstrations_from is None:
        return None
    shown, origin = datasets.read(config.demonstrations_from)
    return datasets.fitting(shown, origin, task, config.cameras, config.image_size)


def _new_demonstrations(
    config: WarmStartConfig, task: Task, simulator: MujocoSimulator
) -> Demonstrations | None:
    if not config.demonstrations:
        return None
    return collect(simulator, task, config.demonstrations, config.seed, config.noise)


def _imitate(config: WarmStartConfig, policy: VlmPolicy, shown: Demonstrations | None) -> None:
    if shown is None:
        return
    print(f"imitation: {len(shown)} frames, expert success {shown.success_E.mean():.0%}")
    teach(
        policy.vlm,
        [imitation_lesson(policy, shown)],
        config.imitation,
        config.seed,
        Reporter("imitation"),
    )


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
    try:
        policy, measured = warm_start(arguments)
    except ValueError as error:
        sys.exit(f"warm_start: {error}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    policy.vlm.model.half()  # half the bytes to ship; `load_vlm` reads it as float32
    policy.save(arguments.out)
    recipe = {"config": asdict(arguments), "median_error_mm": measured}
    text = json.dumps(recipe, indent=2, default=lambda path: path.name)
    (arguments.out / "warm_start.json").write_text(text + "\n")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
