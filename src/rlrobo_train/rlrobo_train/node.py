"""The trainer as a ROS node: listens to observations, actions and scores, asks for rollouts,
publishes policies. What to do is the conductor's; here its words are put on the wire."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from rlrobo_core.ros.nodes import Received, RecordNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit
from rlrobo_core.types import (
    ActionBatch,
    ObservationBatch,
    PolicyUpdate,
    RolloutRequest,
    ScoreBatch,
)
from rlrobo_train.assemble import make_conductor
from rlrobo_train.conductor import Conductor
from rlrobo_train.config import TrainConfig


class TrainNode(RecordNode):
    """`ObservationBatch`, `ActionBatch` and, where there is a process reward, `ScoreBatch` in,
    `RolloutRequest` and `PolicyUpdate` out.

    An update takes seconds inside `Conductor.observe`, in the thread that calls `run`;
    meanwhile messages are received in the background and SIGINT interrupts it. What the
    conductor says is published word by word: the next request goes out before an update begins.
    """

    def __init__(self, conductor: Conductor | None = None, **kwargs: Any) -> None:
        """`conductor` replaces the one that the parameters describe."""
        super().__init__(
            "train",
            listens_to=(ActionBatch, ObservationBatch, ScoreBatch),
            speaks=(RolloutRequest, PolicyUpdate),
            **kwargs,
        )
        self.conductor = conductor or make_conductor(declare_parameters(self, TrainConfig))
        self.facts["messages_lost"] = 0
        self.create_subscription(DiagnosticArray, "/diagnostics", self._hear_of_workers, 10)

    def run(self) -> None:
        self._say(self.conductor.start())
        super().run()

    def receive(self, received: Received) -> None:
        if received.lost:
            self.facts["messages_lost"] += received.lost
            kind = type(received.record).__name__
            self.get_logger().warning(f"{received.lost} messages {kind} were lost")
            self.conductor.lost(received.lost)
        match received.record:
            case ObservationBatch() as batch:
                self._say(self.conductor.observe(batch))
            case ActionBatch() as actions:
                self._say(self.conductor.act(actions))
            case ScoreBatch() as scores:
                self._say(self.conductor.score(scores))

    def work(self) -> None:
        self._say(self.conductor.tick(time.monotonic()))
        self.done = self.done or self.conductor.done

    def ailment(self) -> str:
        """Its diagnostics tell the metrics too, for viewers and bags."""
        metrics = dict(self.conductor.metrics)  # a copy: an update may be adding to them
        self.facts |= {f"metrics/{key}": f"{value:.6g}" for key, value in metrics.items()}
        return super().ailment()

    def _hear_of_workers(self, array: DiagnosticArray) -> None:
        """How the simulation's processes fare (`workers:=N`) is logged with the rollouts: the
        newest that it told, once a second. From the executor's thread."""
        simulation = f"{self.get_namespace().rstrip('/')}/sim"
        for status in array.status:
            if status.name == simulation:
                self.conductor.serving = {
                    pair.key: float(pair.value)
                    for pair in status.values
                    if pair.key.startswith("workers/")
                }

    def close(self) -> None:
        self.conductor.close()

    def _say(self, words: Iterable[RolloutRequest | PolicyUpdate]) -> None:
        for word in words:
            self.publish(word)
            match word:
                case RolloutRequest():
                    self.facts |= {"request": word.request_id, "iteration": word.iteration}
                case PolicyUpdate():
                    self.facts["version"] = word.version


def main() -> None:
    run_and_exit(TrainNode)
