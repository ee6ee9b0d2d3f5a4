"""Records every topic of the graph as rosbag2, without rosbag2.

Messages are written as they arrive, serialized, by a process of its own. It subscribes reliably
and deeply: while the disk is slow, DDS holds what comes. What DDS lost all the same is counted.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile

from rlrobo.bags.qos import as_offered, message_class, to_hear_all
from rlrobo.bags.standing import run_until_told
from rlrobo_core.bag import BagWriter
from rlrobo_core.ros.channels import CHANNELS
from rlrobo_core.ros.parameters import declare_parameters

GB = 10**9
SHARED = ("/diagnostics", "/rosout", "/parameter_events", "/clock", "/tf", "/tf_static")
"""Topics at the root that graphs of all namespaces share."""
LOOK_S = 0.2
"""How often new topics are looked for [s]."""
FLUSH_S = 1.0
"""What came until so long ago survives a crash [s]."""
QUIET_S, PATIENCE_S = 0.3, 2.0
"""At the end what is under way is still written, until nothing comes for the first, at most for
the second [s]."""


@dataclass(frozen=True)
class RecordConfig:
    """The node's parameters."""

    bag: str = ""
    """Directory to write; empty: a new one in bags/."""
    split_gb: float = field(default=1.0, metadata={"range": (0.001, 1e6)})
    """A new file is begun after so much, at the latest after a quarter of keep_gb [GB]."""
    keep_gb: float = field(default=50.0, metadata={"range": (0.0, 1e6)})
    """So much is kept, then the oldest files are deleted [GB]; 0: no limit."""


class Recorder(Node):
    """Subscribes to the training's topics at once, to others as they appear."""

    def __init__(self, stop: threading.Event, **kwargs: Any) -> None:
        super().__init__("record", automatically_declare_parameters_from_overrides=True, **kwargs)
        config = declare_parameters(self, RecordConfig)
        path = Path(config.bag or f"bags/{time.strftime('%Y%m%d-%H%M%S')}")
        split_gb = min(config.split_gb, config.keep_gb / 4 or config.split_gb)
        self.writer = BagWriter(
            path, split_bytes=int(split_gb * GB), keep_bytes=int(config.keep_gb * GB)
        )
        self.lost: Counter[str] = Counter()
        self._stop = stop
        self._known: set[str] = set()
        self._heard = self._flushed = self._looked = time.monotonic()

    def run(self) -> None:
        """Until told to stop; then what is under way is still written."""
        try:
            self._record()
        except OSError as error:
            raise ValueError(
                f"{self.writer.path} cannot be written any more: {error.strerror}; what was "
                f"written is kept by: rlrobo bag repair {self.writer.path}"
            ) from error
        print(self.summary(), flush=True)

    def _record(self) -> None:
        executor = SingleThreadedExecutor(context=self.context)
        executor.add_node(self)
        with self.writer:
            for topic, msg_class, qos in CHANNELS.values():
                self._subscribe(self.resolve_topic_name(topic), msg_class, qos)
            while not self._stop.is_set():
                executor.spin_once(timeout_sec=LOOK_S)
                self._now_and_then()
            self._heard = time.monotonic()
            end = self._heard + PATIENCE_S
            while time.monotonic() < min(end, self._heard + QUIET_S):
                executor.spin_once(timeout_sec=QUIET_S)
        executor.shutdown()

    def summary(self) -> str:
        counts = self.writer.counts
        lost = ", ".join(f"{count} of {topic}" for topic, count in self.lost.items())
        told = f"{counts.total()} messages of {len(counts)} topics, lost: {lost or 'none'}"
        return f"{self.writer.path}: {told}"

    def _now_and_then(self) -> None:
        now = time.monotonic()
        if now > self._looked + LOOK_S:
            self._looked = now
            self._look()
        if now > self._flushed + FLUSH_S:
            self._flushed = now
            self.writer.flush()

    def _look(self) -> None:
        """Subscribe to what has appeared."""
        for topic, types in self.get_topic_names_and_types():
            if topic in self._known or not self._is_ours(topic):
                continue
            publishers = self.get_publishers_info_by_topic(topic)
            if not publishers:
                continue
            try:
                msg_class = message_class(types[0])
                self._subscribe(topic, msg_class, *(it.qos_profile for it in publishers))
            except ValueError as error:
                self._known.add(topic)
                self.get_logger().error(f"topic {topic} is not recorded: {error}")

    def _is_ours(self, topic: str) -> bool:
        """All but hidden ones; of a namespace, its own and the shared ones."""
        hidden = any(part.startswith("_") for part in topic.split("/"))
        own = topic.startswith(self.get_namespace().rstrip("/") + "/")
        return not hidden and (own or topic in SHARED)

    def _subscribe(self, topic: str, msg_class: Any, *profiles: QoSProfile) -> None:
        msgtype = message_type(msg_class)
        self.writer.add_topic(topic, msgtype, [*map(as_offered, profiles)])
        self.create_subscription(
            msg_class,
            topic,
            partial(self._write, topic, msgtype),  # pyright: ignore[reportArgumentType]
            to_hear_all(profiles),
            raw=True,
            event_callbacks=SubscriptionEventCallbacks(message_lost=partial(self._miss, topic)),
        )
        self._known.add(topic)

    def _write(self, topic: str, msgtype: str, cdr: bytes, info: dict[str, int]) -> None:
        self._heard = time.monotonic()
        stamp = info["received_timestamp"] or time.time_ns()
        self.writer.write_bytes(topic, msgtype, cdr, stamp, info["source_timestamp"] or stamp)

    def _miss(self, topic: str, event: Any) -> None:
        self.lost[topic] += event.total_count_change
        self.get_logger().warning(f"{event.total_count_change} messages of {topic} were lost")


def message_type(msg_class: Any) -> str:
    """As in rlrobo_msgs/msg/ActionBatch."""
    package, kind, *_ = msg_class.__module__.split(".")
    return f"{package}/{kind}/{msg_class.__name__}"


def main() -> None:
    run_until_told(Recorder)


if __name__ == "__main__":
    main()
