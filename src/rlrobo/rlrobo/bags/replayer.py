"""Publishes a bag on its topics, byte by byte, in its own time or another."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher

from rlrobo.bags.qos import message_class, to_repeat
from rlrobo.bags.standing import run_until_told
from rlrobo_core.bag_decoding import definition_problem
from rlrobo_core.bag_reader import open_bag
from rlrobo_core.bag_records import ROLLOUTS
from rlrobo_core.mcap.format import Channel
from rlrobo_core.ros.parameters import declare_parameters

PATIENCE_S = 10.0
"""How long a listener may take for what it was sent [s]."""
DISCOVERY_S = 3.0
"""For listeners that run already to be found [s]."""
POLL_S = 0.05
"""[s]; rclpy has no event for a listener that appears."""


@dataclass(frozen=True)
class ReplayConfig:
    """The node's parameters."""

    bag: str
    """Directory of a bag, or one file of it."""
    rate: float = field(default=1.0, metadata={"range": (0.0, 1e6)})
    """1: as it was recorded, 2: twice as fast; 0: as fast as the listeners take it."""
    topics: str = ""
    """Only these, with commas between them; empty: all."""
    train: bool = False
    """Wait until a trainer listens."""


class Replayer(Node):
    """Topics of types that are not known here, or otherwise, are named and left out."""

    def __init__(self, stop: threading.Event, **kwargs: Any) -> None:
        super().__init__("replay", automatically_declare_parameters_from_overrides=True, **kwargs)
        self.config = config = declare_parameters(self, ReplayConfig)
        if not config.bag:
            raise ValueError("name the bag that is to be replayed: bag:=bags/…")
        self.bag = open_bag(Path(config.bag))
        for sentence in self.bag.damage:
            self.get_logger().warning(f"{sentence}; the rest is replayed")
        wanted = config.topics.replace(" ", "").split(",") if config.topics else self.bag.channels
        if absent := [topic for topic in wanted if topic not in self.bag.channels]:
            raise ValueError(
                f"bag {config.bag} has no topic {absent[0]}; it has: {', '.join(self.bag.channels)}"
            )
        self.sent: Counter[str] = Counter()
        self._stop = stop
        self._publisher_of: dict[str, Publisher] = {}
        for topic in wanted:
            self._offer(self.bag.channels[topic])
        if not self._publisher_of:
            raise ValueError(f"bag {config.bag} has no topic that can be published here")

    def run(self) -> None:
        """Until the bag ends, or told to stop."""
        if self.config.train:
            self._wait_for_trainer()
        else:
            self._wait_for_listeners()
        first, began = None, time.monotonic()
        for topic, stamp, cdr in self.bag.messages(self._publisher_of):
            first = stamp if first is None else first
            if self.config.rate:
                due = began + (stamp - first) * 1e-9 / self.config.rate
                self._stop.wait(max(0.0, due - time.monotonic()))
            if self._stop.is_set():
                break
            self._publish(topic, cdr)
        for topic in self._publisher_of:
            self._wait_until_taken(topic)
        print(f"{self.config.bag}: {self.sent.total()} messages replayed", flush=True)

    def _offer(self, channel: Channel) -> None:
        try:
            msg_class = message_class(channel.msgtype)
        except ValueError as error:
            self.get_logger().error(f"topic {channel.topic} is left out: {error}")
            return
        if problem := definition_problem(channel):
            self.get_logger().error(f"left out: {problem}")
            return
        qos = to_repeat(yaml.safe_load(channel.qos) or [])
        self._publisher_of[channel.topic] = self.create_publisher(msg_class, channel.topic, qos)

    def _wait_for_trainer(self) -> None:
        awaited = [c.topic for msgtype in ROLLOUTS for c in self.bag.of_type(msgtype)]
        for topic in awaited:
            publisher = self._publisher_of.get(topic)
            while publisher and not publisher.get_subscription_count():
                if self._stop.wait(POLL_S):
                    return

    def _wait_for_listeners(self) -> None:
        """Until each topic has one; who is found later than `DISCOVERY_S` misses what was said."""
        until = time.monotonic() + DISCOVERY_S
        while not all(it.get_subscription_count() for it in self._publisher_of.values()):
            if time.monotonic() > until or self._stop.wait(POLL_S):
                return

    def _publish(self, topic: str, cdr: bytes) -> None:
        """Before the history is full it must have been taken: what is pushed out is lost."""
        publisher = self._publisher_of[topic]
        if self.sent[topic] % max(1, publisher.qos_profile.depth // 2) == 0:
            self._wait_until_taken(topic)
        publisher.publish(cdr)
        self.sent[topic] += 1

    def _wait_until_taken(self, topic: str) -> None:
        if not self._publisher_of[topic].wait_for_all_acked(Duration(seconds=PATIENCE_S)):
            self.get_logger().warning(f"a listener of {topic} took nothing for {PATIENCE_S:g} s")


def main() -> None:
    run_until_told(Replayer)


if __name__ == "__main__":
    main()
