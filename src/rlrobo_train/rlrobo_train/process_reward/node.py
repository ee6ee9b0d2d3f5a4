"""The process reward model as a ROS node: scores observations as they come, at its own rate."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlrobo_core.config import as_in_run
from rlrobo_core.ros.nodes import Received, RecordNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit
from rlrobo_core.task_set import AUTO, Told, make_tasks, senses_for
from rlrobo_core.types import ObservationBatch, ScoreBatch
from rlrobo_policy.process_reward import ProcessReward, load_process_reward


@dataclass(frozen=True)
class ProcessConfig:
    """The node's parameters."""

    process_reward: str = ""
    """Directory of the process reward model."""
    task: str = "reach"
    """What is judged; several tasks with commas between them, rlrobo4, or all."""
    variant: Literal["default", "panda_gym"] = "default"
    """The tasks' numbers: our own, or panda_gym's."""
    codec: str = "tokens"
    """How the policy's actions are written: tokens, words."""
    cameras: tuple[str, ...] = AUTO
    """Cameras that the policy sees; auto: those that the task needs."""
    proprioception: Told = "auto"
    """Whether the prompt tells where the gripper is and how far it is open; auto: where the task
    needs it."""
    image_size: int = field(default=112, metadata={"range": (16, 2048)})
    """Height and width of the camera images [px]."""
    device: str = "cpu"
    """Where the model runs: cpu, cuda, cuda:1, …"""
    resume: str = ""
    """Run directory of a training that is resumed: model and spaces are as it says."""


class ProcessNode(RecordNode):
    """`ObservationBatch` in, `ScoreBatch` out: of every batch that is for training, in turn. One
    that comes again is scored again, which says the same. The trainer waits for what is late, so
    that a slow model slows the training and loses nothing."""

    def __init__(self, model: ProcessReward | None = None, **kwargs: Any) -> None:
        """`model` replaces the one that the parameters describe."""
        super().__init__("process", listens_to=(ObservationBatch,), speaks=(ScoreBatch,), **kwargs)
        given = declare_parameters(self, ProcessConfig)
        config = as_in_run(given, given.resume, but=["device"])
        self.model = model or make_model(config)
        self._waiting: deque[ObservationBatch] = deque()
        self.facts |= {"scored": 0, "waiting": 0}

    def receive(self, received: Received) -> None:
        match received.record:
            case ObservationBatch() as batch if batch.request.phase == "train":
                self._waiting.append(batch)

    def work(self) -> None:
        while self._waiting and not self.done:
            began, batch = time.monotonic(), self._waiting.popleft()
            if len(batch.observations):
                self.publish(self.model.score(batch))
                self.facts["score_s"] = f"{time.monotonic() - began:.3f}"
                self.facts["scored"] += len(batch.observations)
            self.facts["waiting"] = len(self._waiting)


def make_model(config: ProcessConfig) -> ProcessReward:
    tasks = make_tasks(config.task, config.variant)
    return load_process_reward(
        Path(config.process_reward),
        tasks,
        config.codec,
        senses_for(tasks.values(), config.cameras, config.proprioception),
        config.image_size,
        config.device,
    )


def main() -> None:
    run_and_exit(ProcessNode)
