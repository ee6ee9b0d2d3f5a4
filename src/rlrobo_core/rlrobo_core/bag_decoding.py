"""The messages of a bag as objects, read without ROS: the topics are looked at first, and what
cannot be read is named and left out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from rosbags.serde import SerdeError

from rlrobo_core.bag_reader import Bag, Damaged, RawMessage
from rlrobo_core.definitions import digest, digest_of, message_types
from rlrobo_core.mcap.format import Channel

Complain = Callable[[str], None]
"""Takes a sentence about something that is left out."""

MALFORMED = (SerdeError, ValueError, AssertionError, IndexError, struct.error)
"""What comes of bytes that are no such message."""


class Decoded(NamedTuple):
    """A message of a bag, or what was made of it."""

    topic: str
    stamp: int
    """When it was recorded [ns]."""
    value: Any


def decoded(
    bag: Bag,
    wanted: Mapping[str, str],
    complain: Complain,
    read: Callable[[str, Any], Any] = lambda _topic, msg: msg,
) -> Iterator[Decoded]:
    """What `read(topic, message)` makes of the messages of these topics (topic -> type), in order
    of time. ValueError as `check_topics`; a message that is malformed, or of which `read` raises
    ValueError, is left out."""
    check_topics(bag, wanted)
    for sentence in bag.damage:
        complain(sentence)
    for topic, stamp, cdr in _as_far_as_it_goes(bag, wanted, complain):
        try:
            value = read(topic, message_types().deserialize_cdr(cdr, wanted[topic]))
        except MALFORMED as error:
            complain(f"a message of {topic} ({wanted[topic]}) in {bag.path} is malformed: {error}")
            continue
        yield Decoded(topic, stamp, value)


def _as_far_as_it_goes(
    bag: Bag, wanted: Mapping[str, str], complain: Complain
) -> Iterator[RawMessage]:
    try:
        yield from bag.messages(wanted)
    except Damaged as error:
        complain(f"{error}; what came before is used")


def check_topics(bag: Bag, wanted: Mapping[str, str]) -> None:
    """ValueError where one of these topics (topic -> type) is missing, or of another type or
    definition."""
    for topic, msgtype in wanted.items():
        if topic not in bag.channels:
            raise ValueError(f"bag {bag.path} has no topic {topic} ({msgtype}); {contents(bag)}")
        if (found := bag.channels[topic].msgtype) != msgtype:
            raise ValueError(f"topic {topic} of bag {bag.path} is of type {found}, not {msgtype}")
        if problem := definition_problem(bag.channels[topic]):
            raise ValueError(f"bag {bag.path}: {problem}")


def contents(bag: Bag) -> str:
    """Which topics there are, for the end of a sentence."""
    there = ", ".join(f"{it.topic} ({it.msgtype})" for it in bag.channels.values())
    return f"it has: {there or 'none'}"


def definition_problem(channel: Channel) -> str:
    """Empty where the channel's messages are of the type that is known here."""
    recorded = channel.digest or digest_of(channel.msgtype, channel.definition)
    try:
        ours = digest(channel.msgtype)
    except ValueError as error:
        return f"topic {channel.topic}: {error}"
    if recorded and recorded != ours:
        return (
            f"topic {channel.topic} was recorded with another definition of {channel.msgtype} "
            "than the one here: use the version of rlrobo that recorded it"
        )
    return ""
