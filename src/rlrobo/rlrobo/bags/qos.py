"""QoS as bags hold it, and what hears or repeats all that was offered."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

DEPTH = 256
"""Messages of a topic that wait while the disk is slow."""
REPLAY_DEPTH = 16
"""Where the bag does not tell the publisher's."""
INFINITE = {"sec": 9223372036, "nsec": 854775807}
"""As rosbag2 writes it."""


def message_class(msgtype: str) -> Any:
    """Of a type as in std_msgs/msg/String. ValueError where its package is not there."""
    package, kind, name = msgtype.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except (ImportError, AttributeError):
        raise ValueError(f"its type {msgtype} is not installed: source its workspace") from None


def to_hear_all(profiles: Sequence[QoSProfile]) -> QoSProfile:
    """The most that all of these publishers offer, as `ros2 bag record` asks for."""
    reliable = all(it.reliability == ReliabilityPolicy.RELIABLE for it in profiles)
    latched = all(it.durability == DurabilityPolicy.TRANSIENT_LOCAL for it in profiles)
    return QoSProfile(
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def as_offered(profile: QoSProfile) -> dict[str, Any]:
    """In metadata version 9. DDS does not tell other processes history and depth."""
    return {
        "history": HistoryPolicy(profile.history).name.lower(),
        "depth": profile.depth,
        "reliability": ReliabilityPolicy(profile.reliability).name.lower(),
        "durability": DurabilityPolicy(profile.durability).name.lower(),
        "deadline": dict(INFINITE),
        "lifespan": dict(INFINITE),
        "liveliness": "automatic",
        "liveliness_lease_duration": dict(INFINITE),
        "avoid_ros_namespace_conventions": False,
    }


def to_repeat(recorded: Sequence[Mapping[str, Any]]) -> QoSProfile:
    """What a replay offers, so that whoever heard the publishers hears it: the least of them.
    Reliable where the bag tells nothing. Numbers in place of names are of older bags."""

    def all_are(name: str, policy: Any) -> bool:
        return all(it.get(name) in (policy.name.lower(), int(policy)) for it in recorded)

    reliable = all_are("reliability", ReliabilityPolicy.RELIABLE)
    latched = bool(recorded) and all_are("durability", DurabilityPolicy.TRANSIENT_LOCAL)
    depth = max((int(it.get("depth", 0)) for it in recorded), default=0)
    return QoSProfile(
        depth=depth or REPLAY_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )
