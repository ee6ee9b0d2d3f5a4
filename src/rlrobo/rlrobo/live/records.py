"""What was found of a live graph."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A publisher or a subscriber. Of its QoS, what DDS tells other processes."""

    node: str
    reliability: str
    """reliable or best_effort"""
    durability: str
    """volatile or transient_local"""


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    types: tuple[str, ...]
    """One, as in std_msgs/msg/String; more where its nodes do not agree."""
    publishers: tuple[Endpoint, ...]
    subscribers: tuple[Endpoint, ...]
    messages: int | None
    """Heard here; None where the type is not installed."""
    bytes: int
    seconds: float
    """How long it was listened to."""
    lost: dict[str, int] = field(default_factory=dict)
    """By the node that missed them, since it started, as its diagnostics tell."""
    problems: tuple[str, ...] = ()
    """Why some of its nodes do not hear each other, a sentence each."""

    @property
    def rate_hz(self) -> float | None:
        return None if self.messages is None else self.messages / self.seconds

    @property
    def megabytes_per_s(self) -> float:
        return self.bytes / self.seconds / 1e6


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    message: str = ""
    """What its diagnostics say; "" where it sends none."""
    ill: bool = False
    facts: dict[str, str] = field(default_factory=dict)
    """The values of its diagnostics."""


@dataclass(frozen=True, slots=True)
class LiveGraph:
    domain: int
    nodes: tuple[Node, ...]
    topics: tuple[Topic, ...]

    def to_json(self) -> dict[str, Any]:
        rates = {it.name: it.rate_hz for it in self.topics}
        told = asdict(self)
        told["topics"] = [it | {"rate_hz": rates[it["name"]]} for it in told["topics"]]
        return told
