"""The policy as a ROS node: answers observation batches, takes up new weights as they come."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rlrobo_core.config import as_in_run
from rlrobo_core.ros.nodes import Received, RecordNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit
from rlrobo_core.task_set import AUTO, Told, make_tasks, senses_for, widest_task
from rlrobo_core.types import ActionBatch, ObservationBatch, PolicyUpdate
from rlrobo_policy.remote.client import RemoteConfig, RemotePolicy
from rlrobo_policy.remote.failures import NoAnswer
from rlrobo_policy.robot.node import RobotEdge
from rlrobo_policy.robot.readings import Readings
from rlrobo_policy.search.config import SearchConfig

if TYPE_CHECKING:  # it imports torch
    from rlrobo_policy.policy import Policy


@dataclass(frozen=True)
class PolicyConfig(RemoteConfig, SearchConfig):
    """The node's parameters."""

    policy_backend: Literal["local", "remote"] = "local"
    """Where the policy is: local, in this node; remote, on the machine of `server`, which has the
    checkpoint, the codec and the device."""

    task: str = "reach"
    """Task whose action dimensions the policy commands; several with commas between them,
    rlrobo4, or all."""
    variant: Literal["default", "panda_gym"] = "default"
    """The tasks' numbers: our own, or panda_gym's."""
    model: str = "tiny"
    """Model to start from: tiny, or a Hugging Face id or directory of a Qwen2.5-VL."""
    checkpoint: str = ""
    """Checkpoint directory to start from instead of tiny's warm start or the bare model; the
    trainer's weights replace any."""
    warm_start: Literal["shipped", "scratch"] = "shipped"
    """The trainer's: scratch, where it makes tiny's warm start anew from the bare model."""
    codec: str = "tokens"
    """How actions are written: tokens, words."""
    cameras: tuple[str, ...] = AUTO
    """Cameras that the policy sees; auto: those that the task needs."""
    proprioception: Told = "auto"
    """Whether the prompt tells where the gripper is and how far it is open; auto: where the task
    needs it."""
    history: int = field(default=0, metadata={"range": (0, 10000)})
    """Turns of the episode before the present one that the prompt tells again."""
    image_size: int = field(default=112, metadata={"range": (16, 2048)})
    """Height and width of the camera images [px]."""
    device: str = "cpu"
    """Where the model runs: cpu, cuda, cuda:1, …"""
    lora_rank: int = field(default=0, metadata={"range": (0, 4096)})
    """The trainer's: 0, or the rank of the adapter that it trains and publishes."""
    seed: int = field(default=0, metadata={"range": (0, 2**31 - 1)})
    """Seed of the sampled actions."""
    resume: str = ""
    """Run directory of a training that is resumed: model and spaces are as it says."""
    edge: Literal["rollouts", "robot"] = "rollouts"
    """Whom it acts for: the batched rollouts of a simulation, or one robot with its topics."""
    act_temperature: float = field(default=0.0, metadata={"range": (0.0, 10.0)})
    """Of a robot's actions; 0: the likeliest one. What was trained from success alone acts best at
    the temperature that it was trained at."""
    rate_hz: float = field(default=0.0, metadata={"range": (0.0, 100.0)})
    """Of a robot: targets a second [Hz]; 0: as the task was trained."""
    max_observation_age: float = field(default=0.3, metadata={"range": (0.01, 10.0)})
    """Of a robot: with an image or a state older than this it does not act [s]."""
    base_frame: str = "base"
    """Of a robot: frame of its base, in which poses are measured and targets given."""


class PolicyNode(RecordNode):
    """`ObservationBatch` and `PolicyUpdate` in, `ActionBatch` out; or a robot's topics in and
    targets out (`RobotEdge`). Both edges ask the same `Policy.act`.

    Only the newest observation batch matters: the simulation waits for nothing else. It is held
    until the policy is as new as its request asks: one that was just started is told the latched
    update first. A batch that comes again gets the very answer it got before, since the trainer
    may hold that one already.
    """

    def __init__(self, policy: Policy | None = None, **kwargs: Any) -> None:
        """`policy` replaces the one that the parameters describe."""
        super().__init__(
            "policy",
            listens_to=(ObservationBatch, PolicyUpdate),
            speaks=(ActionBatch,),
            **kwargs,
        )
        given = declare_parameters(self, PolicyConfig)
        config = as_in_run(given, given.resume, but=["device"])
        self.policy = policy or make_policy(config)
        self._robot = self._make_robot_edge(config) if config.edge == "robot" else None
        self._waiting: ObservationBatch | None = None
        self._update: PolicyUpdate | None = None
        self._answered: tuple[ObservationBatch, ActionBatch] | None = None
        self.facts |= {"version": self.policy.version, "answers": 0, "unanswered": 0}
        self.facts["refused_updates"] = 0

    def receive(self, received: Received) -> None:
        match received.record:
            case ObservationBatch() as batch:
                self._waiting = None if batch.last else batch
            case PolicyUpdate() as update:
                self._update = update

    def work(self) -> None:
        if self._update:
            self._take_up(self._update)
            self._update = None
        if self._robot:
            self._robot.work(self.policy)
        if self._waiting and self.policy.version >= self._waiting.request.min_policy_version:
            self._answer(self._waiting)
            self._waiting = None
        self.facts["holding"] = self._waiting is not None

    def _make_robot_edge(self, config: PolicyConfig) -> RobotEdge:
        tasks = make_tasks(config.task, config.variant).values()
        task = widest_task(tasks)
        cameras = senses_for(tasks, config.cameras, config.proprioception).cameras
        readings = Readings(
            cameras,
            config.image_size,
            config.max_observation_age,
            temperature=config.act_temperature,
        )
        return RobotEdge(
            self, readings, task.name, config.rate_hz or task.control_hz, config.base_frame
        )

    def _take_up(self, update: PolicyUpdate) -> None:
        try:
            self.policy.load_weights(update)
        except ValueError as error:
            self.facts["refused_updates"] += 1
            self.complain(str(error))
        self.facts["version"] = self.policy.version

    def _answer(self, batch: ObservationBatch) -> None:
        if not self._answered or not asks_the_same(batch, self._answered[0]):
            began = time.monotonic()
            try:
                self._answered = (batch, self.policy.act(batch))
            except NoAnswer as error:
                self.complain(str(error))
                return
            self.facts["act_s"] = f"{time.monotonic() - began:.3f}"
        actions = self._answered[1]
        self.publish(actions)
        self.facts["answers"] += 1
        self.facts["unanswered"] += int((~actions.said_M).sum())

    def close(self) -> None:
        if isinstance(self.policy, RemotePolicy):
            self.policy.close()


def asks_the_same(one: ObservationBatch, other: ObservationBatch) -> bool:
    """Whether both ask for the same actions, by their ids."""
    a, b = one.observations, other.observations
    return (
        one.request == other.request
        and np.array_equal(a.group_N, b.group_N)
        and np.array_equal(a.rollout_N, b.rollout_N)
        and np.array_equal(a.samples_N, b.samples_N)
        and np.array_equal(a.step_N, b.step_N)
    )


def make_policy(config: PolicyConfig) -> Policy:
    tasks = make_tasks(config.task, config.variant).values()
    senses = senses_for(tasks, config.cameras, config.proprioception)
    _check_where(config)
    if config.policy_backend == "remote":
        return RemotePolicy(config, widest_task(tasks), senses.cameras, config.image_size)
    # Only here: a machine at an arm needs no torch to ask another one.
    from rlrobo_policy.policy import default_start, load_policy
    from rlrobo_policy.search.policies import searching

    bare = config.warm_start == "scratch"
    start = config.model if bare else default_start(config.model, [it.name for it in tasks])
    policy = load_policy(
        config.checkpoint or start,
        widest_task(tasks),
        config.codec,
        senses.cameras,
        config.image_size,
        config.seed,
        config.device,
        config.lora_rank,
        proprioception=senses.proprioception,
        others=tasks,
        history=config.history,
        to_train=config.edge == "rollouts",
    )
    return searching(policy, config, config.checkpoint)


def _check_where(config: PolicyConfig) -> None:
    """ValueError where a search is asked for that cannot be made there."""
    config.check_temperature("act_temperature", config.act_temperature)
    if config.act_temperature and config.policy_backend == "remote" and config.openpi:
        raise ValueError(
            f"act_temperature:={config.act_temperature} is for a policy of rlrobo's, and openpi's "
            "server draws its actions by itself: leave one of the two out"
        )
    if config.best_of > 1 and config.policy_backend == "remote":
        raise ValueError(
            f"best_of:={config.best_of} is for a policy of this node; leave it out with "
            "policy_backend:=remote"
        )
    if config.looks and config.edge == "robot":
        raise ValueError(
            f"best_of:={config.best_of} with scorer:={config.scorer} tries every action in a "
            "simulation, and a robot can try one: set scorer:=likelihood, or leave best_of out"
        )


def main() -> None:
    run_and_exit(PolicyNode)
