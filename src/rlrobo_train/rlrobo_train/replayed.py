"""Learning from rollouts that others asked for: from bags, or from a graph where one is replayed.

    for each request of a training in what is heard, once all that answers it has been heard:
        advantages anew, importance ratio to the recorded log-probabilities, update

There is no simulation, so nothing is evaluated: `sim_eval.launch.py` does that with a checkpoint.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rlrobo_core.bag_reader import open_bag
from rlrobo_core.bag_records import Recorded, bags_in, rollouts
from rlrobo_core.codec import end_effector_target
from rlrobo_core.shifts import parse_task
from rlrobo_core.types import ActionBatch, ObservationBatch, RolloutRequest
from rlrobo_policy.policy import VlmPolicy
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.conductor import Conductor, Messages
from rlrobo_train.groups import RolloutGroup

TARGET_TOLERANCE = 1e-4
"""How far a recorded target may lie from what the codec says here [m]: float32, no more."""

STALENESS = ("staleness/versions", "policy/approx_kl", "policy/clip_fraction")
"""How far from the policy that acted the one that learned was, told at the end."""


class Listener(Conductor):
    """Learns from every training request that it hears answered; asks for nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: dict[int, RolloutBuffer] = {}
        self._early: dict[int, list[ActionBatch]] = defaultdict(list)
        """Answers that came before the question: topics are not ordered among each other."""
        self._past: set[int] = set()
        """Requests that are done with, or never were for us."""
        self._learned: list[dict[str, float]] = []
        self._dropped = 0

    def start(self) -> Messages:
        self._began = time.monotonic()
        yield self._publish_policy()

    def observe(self, batch: ObservationBatch) -> Messages:
        request = batch.request
        self._hear()
        if request.request_id in self._past:
            return
        if problem := self._problem(request):
            self._forget(request.request_id)
            if request.phase == "train":
                self.progress.note(problem)
            return
        self._check_images(batch)
        history = self.trainer.policy.spec.history
        buffer = self._open.setdefault(request.request_id, RolloutBuffer(request, history=history))
        buffer.add_observations(batch)
        for actions in self._early.pop(request.request_id, []):
            buffer.add_actions(actions)
        yield from self._learn_if_whole(buffer)

    def act(self, batch: ActionBatch) -> Messages:
        self._hear()
        if batch.request_id in self._past:
            return
        buffer = self._open.get(batch.request_id)
        if buffer is None:
            self._early[batch.request_id].append(batch)
            return
        check_tokens(batch, self.trainer.policy)
        buffer.add_actions(batch)
        yield from self._learn_if_whole(buffer)

    def tick(self, now: float) -> Messages:
        """After a long silence the replay is over."""
        if not self.done and now - self._heard > self.config.stall_s:
            yield from self._end()

    def _problem(self, request: RolloutRequest) -> str:
        task, _ = parse_task(request.task)
        if task not in self.config.tasks:
            return (
                f"request {request.request_id} is of task {task}, this run of "
                f"{', '.join(self.config.tasks)}: left out; set task:={task}"
            )
        if request.phase != "train":
            return "an evaluation"
        if self.config.algorithm == "ppo" and request.form != "episode":
            return (
                f"request {request.request_id} is of form {request.form}, which does not show what "
                "a rollout saw where it was cut off: left out; set algorithm:=grpo, or record a "
                "run with algorithm:=ppo"
            )
        return ""

    def _learn_if_whole(self, buffer: RolloutBuffer) -> Messages:
        """Requests are learned from in the order in which they were asked: an older one that is
        not whole yet will not become so any more."""
        if buffer.complete:
            for number in sorted(self._open):
                if number <= buffer.request.request_id and not self.done:
                    yield from self._learn_from(self._open[number])

    def _learn_from(self, buffer: RolloutBuffer) -> Messages:
        self._forget(buffer.request.request_id)
        for group, problem in buffer.dropped().items():
            self._dropped += 1
            self.progress.note(
                f"group {group} of iteration {buffer.request.iteration} dropped: {problem}"
            )
        if buffer.groups():
            seconds, self._began = time.monotonic() - self._began, time.monotonic()
            yield from self._learn(buffer, seconds)
            self._began = time.monotonic()
            self._hear()  # an update is not silence

    def _next(self) -> Messages:
        if self._spent(self.iteration):
            self._finish_replay()
        yield from ()

    def _forget(self, request_id: int) -> None:
        self._open.pop(request_id, None)
        self._early.pop(request_id, None)
        self._past.add(request_id)

    def _end(self) -> Messages:
        """What is left is learned from as far as it is whole."""
        for number in sorted(self._open):
            if not self.done:
                yield from self._learn_from(self._open[number])
        if not self.done:
            self._finish_replay()

    def _finish_replay(self) -> None:
        self.done = True
        if not self._learned:
            raise ValueError(
                f"nothing that came could train: no whole group of {', '.join(self.config.tasks)} "
                "with phase train; the lines above say what was left out"
            )
        self._save_checkpoint()
        told = {name: self._mean(name) for name in STALENESS}
        self.run.finish({"iterations": self.iteration, "groups_dropped": self._dropped} | told)
        self.progress.close()
        print(
            f"{self.run.path}: {len(self._learned)} updates from recorded rollouts, "
            f"{self._dropped} groups dropped; stale by {told['staleness/versions']:.1f} versions, "
            f"KL {told['policy/approx_kl']:.4f}, {told['policy/clip_fraction']:.1%} clipped",
            flush=True,
        )

    def _mean(self, name: str) -> float:
        """Of the updates that say it: in a critic's warm-up the policy stands still."""
        return float(np.mean([row[name] for row in self._learned if name in row] or [0.0]))

    def _rollout_metrics(
        self, buffer: RolloutBuffer, groups: list[RolloutGroup]
    ) -> dict[str, float]:
        """With how many updates lie between the policy that acted and the one that learned."""
        learning = self.iteration - 1  # it has been counted already
        stale = {"staleness/versions": float(learning - min(buffer.versions, default=learning))}
        return super()._rollout_metrics(buffer, groups) | stale

    def _log(self, metrics: dict[str, float]) -> None:
        super()._log(metrics)
        self._learned.append(metrics)


class BagReading(Listener):
    """Reads bags, one after the other, instead of listening."""

    def start(self) -> Messages:
        yield from super().start()
        for path in bags_in(Path(self.config.train_from)):
            yield from self._read(path)
        if not self.done:
            yield from self._end()

    def _read(self, path: Path) -> Messages:
        """A bag that does not fit is named and left out."""
        try:
            bag = open_bag(path)
            check_codec(rollouts(bag, lambda _sentence: None), self.trainer.policy, path)
            recorded = rollouts(bag, self.progress.note)
            first = next(recorded, None)
        except ValueError as error:
            self.progress.note(f"left out: {error}")
            return
        while first is not None and not self.done:
            self.lost(first.lost)
            match first.record:
                case ObservationBatch() as batch:
                    yield from self.observe(batch)
                case ActionBatch() as actions:
                    yield from self.act(actions)
            first = next(recorded, None)


def check_tokens(batch: ActionBatch, policy: VlmPolicy) -> None:
    """ValueError where these are not action tokens of the policy's codec."""
    known = np.isin(batch.token_MT, policy.token_V.cpu().numpy()) | ~batch.said_M[:, None]
    if not known.all() or (len(batch) and batch.token_MT.shape[1] > policy.codec.num_tokens):
        odd = batch.token_MT[~known][:1].tolist() or batch.token_MT[0].tolist()
        raise ValueError(
            f"the actions (rlrobo_msgs/msg/ActionBatch) say {odd}, which codec:="
            f"{policy.spec.codec} does not: set the codec, task and model that were recorded"
        )


def check_codec(recorded: Iterator[Recorded], policy: VlmPolicy, path: Path) -> None:
    """ValueError where the first answer of the bag, read by the policy's codec, is another target
    than the one that the robot was given then."""
    asked: dict[int, ObservationBatch] = {}
    for record, _lost in recorded:
        if isinstance(record, ObservationBatch):
            asked[record.request.request_id] = record
        elif question := asked.get(record.request_id):
            task = policy.tasks.get(parse_task(question.request.task)[0])
            if task is None or not len(record) or not record.answers(question):
                continue
            if not record.said_M.all():
                continue
            check_tokens(record, policy)
            obs, action_M = question.observations, policy.actions(record.token_MT, task)
            said_M = end_effector_target(task, obs.ee_pose_N[obs.row_M], action_M)
            if np.abs(said_M - record.target_M).max(initial=0.0) > TARGET_TOLERANCE:
                raise ValueError(
                    f"bag {path}: the targets on its actions (rlrobo_msgs/msg/ActionBatch) are not "
                    f"what codec:={policy.spec.codec} says to task {task.name} here: it is of "
                    "another codec or variant"
                )
            return
