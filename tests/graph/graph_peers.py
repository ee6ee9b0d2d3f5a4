"""Small real peers for graph tests: a listener, a policy at random, a lossy wire, a conductor that
only collects."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import pytest
from rclpy.node import Node

from rlrobo_core.ros.channels import CHANNELS
from rlrobo_core.ros.nodes import Received, RecordNode
from rlrobo_core.types import (
    ActionBatch,
    ObservationBatch,
    PolicyUpdate,
    RolloutRequest,
    ScoreBatch,
)
from rlrobo_train.buffer import RolloutBuffer

PATIENCE = 120.0
"""[s]; only a failing test waits so long."""


class Ear(RecordNode):
    """Hears everything on some channels, speaks on others, does nothing by itself."""

    def __init__(self, *hears: type, says: tuple[type, ...] = (), **kwargs: Any) -> None:
        super().__init__("ear", listens_to=hears, speaks=says, **kwargs)
        self.heard: SimpleQueue[Received] = SimpleQueue()

    def receive(self, received: Received) -> None:
        self.heard.put(received)

    def work(self) -> None:
        pass

    def next(self) -> Received:
        try:
            return self.heard.get(timeout=PATIENCE)
        except Empty:
            pytest.fail(f"nothing was heard for {PATIENCE:g} s")

    def hear_batch(self) -> ObservationBatch:
        record = self.next().record
        assert isinstance(record, ObservationBatch)
        return record


class RandomPolicy:
    """A policy that steps at random; what it does depends on the observations alone."""

    def __init__(self, version: int = 0, stride: float = 0.05) -> None:
        self.version, self.stride = version, stride
        self.calls = 0
        self.offered: SimpleQueue[PolicyUpdate] = SimpleQueue()

    def act(self, batch: ObservationBatch) -> ActionBatch:
        self.calls += 1
        obs = batch.observations
        row_M, rollout_M = obs.row_M, obs.rollout_M
        ids_M = np.stack([obs.group_N[row_M], rollout_M, obs.step_N[row_M]], axis=-1)
        stride_M = np.array([np.random.default_rng(ids).uniform(-1, 1, 3) for ids in ids_M])
        target_M = np.concatenate(
            [obs.ee_pose_N[row_M], obs.gripper_width_N[row_M, None]], axis=-1
        ).astype(np.float32)
        target_M[:, :3] += self.stride * stride_M
        return ActionBatch(
            sequence=0,
            request_id=batch.request.request_id,
            policy_version=self.version,
            group_M=obs.group_N[row_M],
            rollout_M=rollout_M,
            step_M=obs.step_N[row_M],
            token_MT=np.zeros((len(row_M), 3), np.int32),
            logprob_MT=np.zeros((len(row_M), 3), np.float32),
            target_M=target_M,
        )

    def load_weights(self, update: PolicyUpdate) -> None:
        self.offered.put(update)
        if "corrupt" in update.path:
            raise ValueError(f"{update.path} is not whole; version {self.version} stays")
        self.version = update.version


class LossyWire(Node):
    """Carries serialized messages of a channel from topic to topic, but for the `drop`th ones."""

    def __init__(self, record: type, source: str, target: str, drop: set[int], **kwargs: Any):
        super().__init__("lossy_wire", **kwargs)
        _topic, msg_type, qos = CHANNELS[record]
        self._drop, self._count = drop, 0
        self._publisher = self.create_publisher(msg_type, target, qos)
        self.create_subscription(msg_type, source, self._carry, qos, raw=True)

    def _carry(self, data: bytes) -> None:
        if self._count not in self._drop:
            self._publisher.publish(data)
        self._count += 1


class Collector:
    """Conducts one request and keeps what came of it."""

    def __init__(self, asked: RolloutRequest, scored: bool = False) -> None:
        self.buffer = RolloutBuffer(asked, scored=scored)
        self.unscored_messages = 0
        self.messages_lost = 0
        self.ticks_after_the_end = 0
        self.closed = False
        self.metrics: dict[str, float] = {}

    @property
    def done(self) -> bool:
        """Whole, or with nothing more to come."""
        if self.buffer.scored and self.unscored_messages > self.messages_lost:
            return False
        return self.buffer.complete or self.ticks_after_the_end > 1

    def start(self) -> list[RolloutRequest | PolicyUpdate]:
        return [self.buffer.request]

    def observe(self, batch: ObservationBatch) -> list[RolloutRequest | PolicyUpdate]:
        self.buffer.add_observations(batch)
        self.unscored_messages += len(batch.observations) > 0
        return []

    def score(self, batch: ScoreBatch) -> list[RolloutRequest | PolicyUpdate]:
        self.buffer.add_scores(batch)
        self.unscored_messages -= 1
        return []

    def act(self, batch: ActionBatch) -> list[RolloutRequest | PolicyUpdate]:
        self.buffer.add_actions(batch)
        return []

    def lost(self, count: int) -> None:
        self.messages_lost += count

    def tick(self, now: float) -> list[RolloutRequest | PolicyUpdate]:
        self.ticks_after_the_end += self.buffer.closed
        return []

    def close(self) -> None:
        self.closed = True


def request(request_id: int = 1, **changes: Any) -> RolloutRequest:
    values: dict[str, Any] = {
        "request_id": request_id,
        "iteration": 0,
        "phase": "train",
        "form": "trajectory",
        "task": "reach",
        "seed": 5,
        "group_ids": (0, 1, 2),
        "group_size": 2,
        "min_policy_version": 0,
        "temperature": 1.0,
    }
    return RolloutRequest(**values | changes)
