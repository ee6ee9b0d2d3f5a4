"""The records that a bag of a training holds: read without ROS."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from rlrobo_core.bag_metadata import METADATA_FILE
from rlrobo_core.bag_reader import Bag, definition_problem
from rlrobo_core.definitions import message_types
from rlrobo_core.from_messages import from_msg
from rlrobo_core.gaps import GapCounter
from rlrobo_core.types import ActionBatch, ObservationBatch

ROLLOUTS = tuple(f"rlrobo_msgs/msg/{it.__name__}" for it in (ObservationBatch, ActionBatch))
"""The types that rollouts are made of."""
MALFORMED = (ValueError, AssertionError, IndexError, struct.error)
"""What comes of bytes that are no such message."""


class Recorded(NamedTuple):
    """A record of a bag."""

    record: ObservationBatch | ActionBatch
    lost: int
    """Messages of its topic that are missing right before it."""


def bags_in(path: Path) -> list[Path]:
    """The bag, or the bags in the directory, by name. ValueError where there is none."""
    if path.is_file() or _is_bag(path):
        return [path]
    bags = sorted(folder for folder in path.glob("*") if _is_bag(folder))
    if not bags:
        raise ValueError(f"{path} is no bag and holds none: name what record:=true wrote")
    return bags


def rollout_topics(bag: Bag) -> dict[str, str]:
    """topic -> type. ValueError where observations or actions are missing, or otherwise defined."""
    for msgtype in ROLLOUTS:
        if not bag.of_type(msgtype):
            there = ", ".join(f"{it.topic} ({it.msgtype})" for it in bag.channels.values())
            raise ValueError(
                f"bag {bag.path} has no topic of type {msgtype}; it has: {there or 'none'}"
            )
    channels = [channel for msgtype in ROLLOUTS for channel in bag.of_type(msgtype)]
    for channel in channels:
        if problem := definition_problem(channel):
            raise ValueError(f"bag {bag.path}: {problem}")
    return {channel.topic: channel.msgtype for channel in channels}


def rollouts(bag: Bag, complain: Callable[[str], None]) -> Iterator[Recorded]:
    """Observations and actions as they were recorded. What cannot be read is left out, a
    sentence to `complain` each. ValueError as in `rollout_topics`."""
    types = rollout_topics(bag)
    gaps = {topic: GapCounter() for topic in types}
    for sentence in bag.damage:
        complain(sentence)
    for topic, _stamp, cdr in bag.messages(types):
        try:
            msg = message_types().deserialize_cdr(cdr, types[topic])
            record = from_msg(msg)
        except MALFORMED as error:
            complain(f"a message of {topic} ({types[topic]}) in {bag.path} is malformed: {error}")
            continue
        assert isinstance(record, ObservationBatch | ActionBatch)
        yield Recorded(record, gaps[topic].see(msg.session, msg.sequence))


def _is_bag(path: Path) -> bool:
    return (path / METADATA_FILE).is_file() or any(path.glob("*.mcap"))
