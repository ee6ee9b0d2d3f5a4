"""The records that a bag of a training holds: read without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rlrobo_core.bag_decoding import Complain, check_topics, contents, decoded
from rlrobo_core.bag_metadata import METADATA_FILE
from rlrobo_core.bag_reader import Bag
from rlrobo_core.from_messages import from_msg
from rlrobo_core.gaps import GapCounter
from rlrobo_core.types import ActionBatch, ObservationBatch

ROLLOUTS = tuple(f"rlrobo_msgs/msg/{it.__name__}" for it in (ObservationBatch, ActionBatch))
"""The types that rollouts are made of."""


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
            raise ValueError(f"bag {bag.path} has no topic of type {msgtype}; {contents(bag)}")
    found = {it.topic: msgtype for msgtype in ROLLOUTS for it in bag.of_type(msgtype)}
    check_topics(bag, found)
    return found


def rollouts(bag: Bag, complain: Complain) -> Iterator[Recorded]:
    """Observations and actions as they were recorded. What cannot be read is left out, a
    sentence to `complain` each. ValueError as in `rollout_topics`."""
    types = rollout_topics(bag)
    gaps = {topic: GapCounter() for topic in types}

    def read(topic: str, msg: Any) -> Recorded:
        record = from_msg(msg)
        assert isinstance(record, ObservationBatch | ActionBatch)
        return Recorded(record, gaps[topic].see(msg.session, msg.sequence))

    for message in decoded(bag, types, complain, read):
        yield message.value


def _is_bag(path: Path) -> bool:
    return (path / METADATA_FILE).is_file() or any(path.glob("*.mcap"))
