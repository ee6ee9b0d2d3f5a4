"""Nodes that tell how they are: one that works in its callbacks, and one that receives in the
background and works in the main thread."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from rlrobo_core.from_messages import Record, from_msg
from rlrobo_core.gaps import GapCounter
from rlrobo_core.ros.channels import CHANNELS, QOS_HEARING, QOS_TRAINING
from rlrobo_core.ros.messages import to_msg
from rlrobo_core.types import ActionBatch, ObservationBatch, ScoreBatch


class Received(NamedTuple):
    """A record that arrived."""

    record: Record
    lost: int
    """Messages of its topic that were lost right before it."""


class PlainNode(Node):
    """A node that works in its callbacks, which its executor calls in a thread of its own
    (`spinning`). It notes in `facts` what its diagnostics shall tell; a subclass may override
    `close` if it holds anything."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, automatically_declare_parameters_from_overrides=True, **kwargs)
        self.done = False
        self.facts: dict[str, Any] = {}
        self.last_error = ""
        self._ended = threading.Event()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics)

    def run(self) -> None:
        """Wait until `done`."""
        self._ended.wait()

    def stop(self) -> None:
        """Let `run` return soon; from any thread."""
        self.done = True
        self._ended.set()

    def close(self) -> None:
        """Called once at the end, also after an interrupt in the middle of `run`."""

    def complain(self, sentence: str) -> None:
        """Something went wrong and the node goes on: in the log and in the diagnostics."""
        self.last_error = sentence
        self.get_logger().error(sentence)

    def ailment(self) -> str:
        """What is wrong at present, for the diagnostics; "" where nothing is."""
        return self.last_error

    def _publish_diagnostics(self) -> None:
        ailment = self.ailment()
        values = self.facts | {"last_error": self.last_error}
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if ailment else DiagnosticStatus.OK,
            name=self.get_fully_qualified_name(),
            message=ailment or "running",
            hardware_id="rlrobo",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


class RecordNode(PlainNode):
    """A node that works in the thread that calls `run` and receives in another, its executor's:
    while it computes for seconds nothing overflows, and its diagnostics go on.

    A subclass overrides `receive` (one record) and `work` (after all waiting records were
    received, at least every `PERIOD` seconds), and may publish in each.
    """

    PERIOD = 0.5
    """[s]"""

    def __init__(
        self, name: str, *, listens_to: tuple[type, ...], speaks: tuple[type, ...], **kwargs: Any
    ) -> None:
        super().__init__(name, **kwargs)
        self._session = secrets.randbits(64)
        self._inbox: SimpleQueue[Received | None] = SimpleQueue()
        self._sent: Counter[type] = Counter()
        self._heard: Counter[type] = Counter()
        self._gaps = {record: GapCounter() for record in listens_to}
        self._rated: tuple[float, Counter[type]] = (time.monotonic(), Counter())
        self._publisher_of = {
            record: self.create_publisher(channel.msg_type, channel.topic, channel.qos)
            for record, channel in CHANNELS.items()
            if record in speaks
        }
        for record in listens_to:
            topic, msg_type, qos = CHANNELS[record]
            heard = QOS_HEARING if qos is QOS_TRAINING else qos
            self.create_subscription(msg_type, topic, self._on_message, heard)

    def receive(self, received: Received) -> None:
        raise NotImplementedError

    def work(self) -> None:
        raise NotImplementedError

    def run(self) -> None:
        """Receive and work until `done`."""
        while not self.done:
            for received in self._take():
                self.receive(received)
            self.work()

    def stop(self) -> None:
        self.done = True
        self.wake()

    def wake(self) -> None:
        """Let `work` be called soon; from any thread."""
        self._inbox.put(None)

    def publish(self, record: Record) -> None:
        """As the next message of this session."""
        kind = type(record)
        if isinstance(record, ObservationBatch | ActionBatch | ScoreBatch):
            record = replace(record, sequence=self._sent[kind])
        stamp = self.get_clock().now().to_msg()
        self._publisher_of[kind].publish(to_msg(record, stamp, self._session))
        self._sent[kind] += 1

    def ailment(self) -> str:
        lost = any(gaps.lost for gaps in self._gaps.values())
        return self.last_error or ("messages were lost" if lost else "")

    def _take(self) -> list[Received]:
        """All records that wait; none where nothing came within `PERIOD`."""
        taken: list[Received | None] = []
        with suppress(Empty):
            taken.append(self._inbox.get(timeout=self.PERIOD))
            while True:
                taken.append(self._inbox.get_nowait())
        return [received for received in taken if received is not None]

    def _on_message(self, msg: Any) -> None:
        try:
            record = from_msg(msg)
        except ValueError as error:
            self.complain(f"dropped a malformed {type(msg).__name__}: {error}")
            return
        kind, lost = type(record), 0
        if isinstance(record, ObservationBatch | ActionBatch | ScoreBatch):
            lost = self._gaps[kind].see(msg.session, msg.sequence)
        self._heard[kind] += 1
        self._inbox.put(Received(record, lost))

    def _publish_diagnostics(self) -> None:
        then, sent_then = self._rated
        now, sent = time.monotonic(), self._sent.copy()
        self._rated = (now, sent)
        for kind, count in sent.items():
            self.facts[f"sent/{CHANNELS[kind].topic}"] = count
            self.facts[f"rate/{CHANNELS[kind].topic}"] = (
                f"{(count - sent_then[kind]) / (now - then):.2f}"
            )
        for kind, gaps in self._gaps.items():
            self.facts[f"heard/{CHANNELS[kind].topic}"] = self._heard[kind]
            self.facts[f"lost/{CHANNELS[kind].topic}"] = gaps.lost
        super()._publish_diagnostics()
