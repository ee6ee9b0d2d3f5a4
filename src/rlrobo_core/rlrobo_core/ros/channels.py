"""Where each record travels, and the quality of service of every topic."""

from __future__ import annotations

from typing import Any, NamedTuple

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)

from rlrobo_core.types import (
    ActionBatch,
    ObservationBatch,
    PolicyUpdate,
    RolloutRequest,
    ScoreBatch,
)
from rlrobo_msgs import msg as ros  # pyright: ignore[reportAttributeAccessIssue]

QOS_TRAINING = QoSProfile(
    depth=16,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""For what trains. Nodes drain their subscriptions in the background, and a rollout is a
dialogue, so 16 covers a hiccup, not a backlog. The durability is for nodes that (re)start in a
running graph: A may hear B's first request, and C answer it, before C and A have found each
other; what C said in the meantime is told to A then."""

QOS_HEARING = QoSProfile(
    history=HistoryPolicy.KEEP_ALL,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""How it is listened to: what was received and not yet taken is never overwritten, so that a
replay as fast as it goes loses nothing while an update keeps the processor busy."""

QOS_LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""A node that (re)starts is told the newest one."""

QOS_CAMERA = qos_profile_sensor_data
"""Best effort, as cameras publish, and as franka_ros2's state broadcaster does: a reliable
subscriber would hear neither."""

QOS_COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
"""For what an arm is told: only the newest counts."""


class Channel(NamedTuple):
    topic: str
    msg_type: Any
    qos: QoSProfile


CHANNELS: dict[type, Channel] = {
    RolloutRequest: Channel("rollout_request", ros.RolloutRequest, QOS_LATCHED),
    ObservationBatch: Channel("observations", ros.ObservationBatch, QOS_TRAINING),
    ActionBatch: Channel("actions", ros.ActionBatch, QOS_TRAINING),
    ScoreBatch: Channel("scores", ros.ScoreBatch, QOS_TRAINING),
    PolicyUpdate: Channel("policy_update", ros.PolicyUpdate, QOS_LATCHED),
}
"""Where each record travels."""
