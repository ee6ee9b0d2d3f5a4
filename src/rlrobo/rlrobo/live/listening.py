"""Asks DDS what there is, and hears every topic for a while: best effort and undecoded, so that
no publisher waits for it."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.serialization import deserialize_message

from rlrobo.bags.qos import message_class
from rlrobo.live.records import Endpoint, LiveGraph, Node, Topic

OWN_NAME = "_rlrobo_graph"
"""Hidden: names that begin with _ are left out of what is told."""
CHATTER = ("/parameter_events", "/rosout")
"""Every node has them; told only on demand."""
LOOK_S = 0.2
"""How often new topics are looked for [s]."""
QOS_LOOKING_ON = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(slots=True)
class _Heard:
    """What came on one topic."""

    since: float
    messages: int = 0
    bytes: int = 0


def look(seconds: float, chatter: bool = False) -> LiveGraph:
    """What is heard within that time; with `chatter`, of every node's own topics too."""
    context = rclpy.Context()
    context.init()
    onlooker = rclpy.create_node(OWN_NAME, context=context, enable_rosout=False)
    try:
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(onlooker)
        ears = _Ears(onlooker, () if chatter else CHATTER)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ears.open()
            wait = time.monotonic() + min(left, LOOK_S)
            while (now := time.monotonic()) < wait:
                executor.spin_once(timeout_sec=wait - now)
        return ears.told()
    finally:
        onlooker.destroy_node()
        context.try_shutdown()


class _Ears:
    def __init__(self, onlooker: Any, ignored: tuple[str, ...]) -> None:
        self._onlooker, self._ignored = onlooker, ignored
        self._heard: dict[str, _Heard] = {}
        self._status: dict[str, DiagnosticStatus] = {}

    def open(self) -> None:
        """Listen to what has appeared."""
        for topic, types in self._onlooker.get_topic_names_and_types():
            if topic in self._heard or topic in self._ignored:
                continue
            try:
                msg_class = message_class(types[0])
            except ValueError:  # its type is not installed: told without a rate
                continue
            self._heard[topic] = _Heard(time.monotonic())
            note = partial(self._note, topic, types[0])
            self._onlooker.create_subscription(msg_class, topic, note, QOS_LOOKING_ON, raw=True)

    def _note(self, topic: str, msgtype: str, cdr: bytes, _info: Any) -> None:
        heard = self._heard[topic]
        heard.messages += 1
        heard.bytes += len(cdr)
        if msgtype == "diagnostic_msgs/msg/DiagnosticArray":
            for status in deserialize_message(cdr, DiagnosticArray).status:
                self._status[status.name] = status

    def told(self) -> LiveGraph:
        topics = [
            self._topic(name, tuple(types))
            for name, types in sorted(self._onlooker.get_topic_names_and_types())
            if name not in self._ignored
        ]
        names = sorted(
            f"{namespace.rstrip('/')}/{name}"
            for name, namespace in self._onlooker.get_node_names_and_namespaces()
            if not name.startswith("_")
        )
        return LiveGraph(
            domain=int(os.environ.get("ROS_DOMAIN_ID") or 0),
            nodes=tuple(map(self._node, names)),
            topics=tuple(it for it in topics if it.publishers or it.subscribers),
        )

    def _node(self, name: str) -> Node:
        status = self._status.get(name)
        if status is None:
            return Node(name)
        facts = {it.key: it.value for it in status.values}
        return Node(name, status.message, status.level != DiagnosticStatus.OK, facts)

    def _topic(self, name: str, types: tuple[str, ...]) -> Topic:
        publishers = _others(self._onlooker.get_publishers_info_by_topic(name))
        subscribers = _others(self._onlooker.get_subscriptions_info_by_topic(name))
        heard = self._heard.get(name)
        return Topic(
            name=name,
            types=types,
            publishers=tuple(map(_endpoint, publishers)),
            subscribers=tuple(map(_endpoint, subscribers)),
            messages=heard.messages if heard else None,
            bytes=heard.bytes if heard else 0,
            seconds=time.monotonic() - heard.since if heard else 0.0,
            lost=self._lost(name),
            problems=tuple(_problems(types, publishers, subscribers)),
        )

    def _lost(self, topic: str) -> dict[str, int]:
        """As the nodes count it (`RecordNode`): `lost/TOPIC`, relative to their namespace."""
        lost: dict[str, int] = defaultdict(int)
        for name, status in self._status.items():
            namespace = name.rpartition("/")[0]
            for it in status.values:
                kind, _, relative = it.key.partition("/")
                if kind == "lost" and f"{namespace}/{relative}" == topic and it.value != "0":
                    lost[name] = int(it.value)
        return dict(lost)


def _others(endpoints: list[Any]) -> list[Any]:
    return [it for it in endpoints if not it.node_name.startswith("_")]


def _name(info: Any) -> str:
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"


def _endpoint(info: Any) -> Endpoint:
    qos = info.qos_profile
    return Endpoint(
        node=_name(info),
        reliability=ReliabilityPolicy(qos.reliability).name.lower(),
        durability=DurabilityPolicy(qos.durability).name.lower(),
    )


def _problems(types: tuple[str, ...], publishers: list[Any], subscribers: list[Any]) -> list[str]:
    if len(types) > 1:
        return [f"its nodes do not agree on its type: {', '.join(types)}"]
    problems = []
    for speaker, listener in product(publishers, subscribers):
        verdict, why = qos_check_compatible(speaker.qos_profile, listener.qos_profile)
        if verdict == QoSCompatibility.ERROR:
            reason = why.strip().removeprefix("ERROR: ").rstrip(";")
            problems.append(f"{_name(listener)} does not hear {_name(speaker)}: {reason}")
    return problems
