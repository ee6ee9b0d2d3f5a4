"""The simulation as a ROS node: serves rollout requests, one batched message a control step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from rlrobo_core.config import as_in_run
from rlrobo_core.ros.nodes import Received, RecordNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit
from rlrobo_core.task_set import AUTO, make_tasks, senses_for
from rlrobo_core.types import ActionBatch, ObservationBatch, RolloutRequest
from rlrobo_sim.workers import Recipe, Workers


@dataclass(frozen=True)
class SimConfig:
    """The node's parameters."""

    task: str = "reach"
    """Task to simulate; several with commas between them, rlrobo4, or all."""
    variant: Literal["default", "panda_gym"] = "default"
    """The tasks' numbers: our own, or panda_gym's."""
    reward: Literal["dense", "sparse"] = "dense"
    """dense: as each task weighs its reward terms; sparse: 1 for success, else nothing."""
    num_envs: int = field(default=16, metadata={"range": (1, 65536)})
    """Worlds that are simulated together; a multiple of group_size."""
    workers: int = field(default=0, metadata={"range": (0, 4096)})
    """Processes that each own an equal share of num_envs, watched and replaced; 0: none, this node
    simulates all of them."""
    worker_deadline_s: float = field(default=60.0, metadata={"range": (0.1, 3600.0)})
    """A worker that is silent for so long is taken for stalled [s]."""
    group_size: int = field(default=8, metadata={"range": (1, 65536)})
    """Rollouts of one group, which start identically."""
    image_size: int = field(default=112, metadata={"range": (16, 2048)})
    """Height and width of the camera images [px]."""
    cameras: tuple[str, ...] = AUTO
    """Cameras to render: front, wrist; auto: those that the task needs."""
    robot: str = "primitive"
    """Looks of the arm: primitive (shapes), menagerie (the official meshes, downloaded at first
    use), or menagerie:FOLDER (a local copy)."""
    randomize: bool = False
    """Randomize lights, colours, camera pose, friction and mass of every episode."""
    resume: str = ""
    """Run directory of a training that is resumed: task and scenes are as it says."""
    resend_s: float = field(default=3.0, metadata={"range": (0.1, 3600.0)})
    """Ask again when no action came for so long [s]."""


class SimNode(RecordNode):
    """`RolloutRequest` and `ActionBatch` in, `ObservationBatch` out.

    A newer request replaces the one in progress. Answers that do not match the pending batch
    (another request's, repeated, incomplete) are ignored. Where none comes, the batch is sent
    again under the same ids, so that a restarted policy, or one that lost it, can go on. A
    restarted simulation is told the latched request and begins it anew: same seeds, same ids.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            "sim",
            listens_to=(RolloutRequest, ActionBatch),
            speaks=(ObservationBatch,),
            **kwargs,
        )
        given = declare_parameters(self, SimConfig)
        self.config = config = as_in_run(given, given.resume)

        tasks = make_tasks(config.task, config.variant)
        recipe = Recipe(
            task=config.task,
            variant=config.variant,
            num_envs=config.num_envs,
            group_size=config.group_size,
            image_size=config.image_size,
            cameras=senses_for(tasks.values(), config.cameras, "auto").cameras,
            reward=config.reward,
            randomize=config.randomize,
            robot=config.robot,
        )
        workers, deadline_s = config.workers, config.worker_deadline_s
        self.engine = Workers(recipe, workers, deadline_s) if workers else recipe.engines()
        self._sent_at = 0.0
        self.facts |= {"request": 0, "batches": 0, "unmatched_actions": 0, "resent": 0}

    def receive(self, received: Received) -> None:
        match received.record:
            case RolloutRequest() as request:
                self._start(request)
            case ActionBatch() as actions:
                self._act(actions)

    def work(self) -> None:
        """Ask again where nobody answered."""
        pending = self.engine.pending
        overdue = time.monotonic() - self._sent_at > self.config.resend_s
        if pending and not pending.last and overdue:
            self.get_logger().warning(
                f"no action for request {pending.request.request_id} in "
                f"{self.config.resend_s:g} s: asking again"
            )
            self.facts["resent"] += 1
            self._send(pending)

    def close(self) -> None:
        self.engine.close()

    def _start(self, request: RolloutRequest) -> None:
        self.facts["request"] = request.request_id
        self._send(self.engine.start(request))
        self._tell_of_workers()

    def _act(self, actions: ActionBatch) -> None:
        batch = self.engine.act(actions)
        if batch is None:
            self.facts["unmatched_actions"] += 1
        else:
            self._send(batch)
        if self.engine.unstable_groups:
            self.complain(
                f"the physics of groups {self.engine.unstable_groups} became unstable: they are "
                "dropped; check masses, sizes and targets of the task"
            )
            self.engine.unstable_groups.clear()
        if self.engine.unanswered_groups:
            self.complain(
                f"the policy does not know how groups {self.engine.unanswered_groups} began, as "
                "where it was started anew: they are dropped"
            )
            self.engine.unanswered_groups.clear()
        self._tell_of_workers()

    def _tell_of_workers(self) -> None:
        if isinstance(self.engine, Workers):
            self.facts |= {key: f"{value:.3f}" for key, value in self.engine.metrics.items()}
            for sentence in self.engine.news:
                self.complain(sentence)
            self.engine.news.clear()

    def _send(self, batch: ObservationBatch) -> None:
        self.publish(batch)
        self.facts["batches"] += 1
        self._sent_at = time.monotonic()


def main() -> None:
    run_and_exit(SimNode)
