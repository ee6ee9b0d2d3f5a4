"""rosbag2 recordings without ROS: MCAP, metadata version 9, message definitions embedded.

`rosbags` (pure Python) writes and reads them and brings the message types of ROS 2 Jazzy with
it, so this needs neither rclpy nor a built workspace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from rosbags.rosbag2 import Reader, ReaderError, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

METADATA_VERSION = 9
"""Of ROS 2 Jazzy."""


class Stamped(NamedTuple):
    """A message of a bag."""

    topic: str
    stamp: int
    """When it was recorded [ns]."""
    msg: Any


@cache
def message_types() -> Any:
    """The type store of ROS 2 Jazzy; other types are made known by its `register`."""
    return get_typestore(Stores.ROS2_JAZZY)


def make_message(msgtype: str, **fields: Any) -> Any:
    """A message of that type, such as `std_msgs/msg/String`; array fields are ndarrays."""
    return message_types().types[msgtype](**fields)


class BagWriter:
    """Writes one bag, the directory `path`; a context manager. A bag that was left by an
    error has no metadata.yaml and is not readable."""

    def __init__(self, path: Path, facts: Mapping[str, str] | None = None) -> None:
        """`facts` go into the metadata (rosbag2's `custom_data`)."""
        if path.exists():
            raise ValueError(f"{path} exists already and is not overwritten: name another")
        self._writer = Writer(path, version=METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
        for name, fact in (facts or {}).items():
            self._writer.set_custom_data(name, fact)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._writer.open()
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)

    def write(self, topic: str, msg: Any, stamp: int) -> None:
        """`stamp` [ns]."""
        msgtype = msg.__msgtype__
        self.write_bytes(topic, msgtype, message_types().serialize_cdr(msg, msgtype), stamp)

    def write_bytes(self, topic: str, msgtype: str, cdr: bytes | memoryview, stamp: int) -> None:
        """A message that is serialized already, as a subscription can hand it over."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, msgtype, typestore=message_types()
            )
        self._writer.write(self._connections[topic], stamp, cdr)


def bag_facts(path: Path) -> dict[str, str]:
    """What was told about the whole bag when it was written."""
    with _opened(path) as reader:
        return reader.storage.metadata.custom or {}


def bag_messages(path: Path, topics: Mapping[str, str]) -> Iterator[Stamped]:
    """The messages of these topics (topic -> type) in order of time. ValueError where a topic
    is missing or of another type or definition, and where the bag ends too early."""
    with _opened(path) as reader:
        connections = [_connection(reader, path, *wanted) for wanted in topics.items()]
        found = Counter()
        for connection, stamp, cdr in reader.messages(connections):
            found[connection.topic] += 1
            msg = message_types().deserialize_cdr(cdr, connection.msgtype)
            yield Stamped(connection.topic, stamp, msg)
        for connection in connections:
            if found[connection.topic] != connection.msgcount:
                raise ValueError(
                    f"bag {path} holds {found[connection.topic]} of the {connection.msgcount} "
                    f"messages of {connection.topic} that its metadata promises: it is cut off"
                )


def _connection(reader: Any, path: Path, topic: str, msgtype: str) -> Any:
    connections = {connection.topic: connection for connection in reader.connections}
    if topic not in connections:
        raise ValueError(
            f"bag {path} has no topic {topic} ({msgtype}); it has: {', '.join(connections)}"
        )
    found = connections[topic]
    if found.msgtype != msgtype:
        raise ValueError(f"topic {topic} of bag {path} is of type {found.msgtype}, not {msgtype}")
    if found.digest and found.digest != message_types().hash_rihs01(msgtype):
        raise ValueError(
            f"topic {topic} of bag {path} was recorded with another definition of {msgtype} than "
            "that of ROS 2 Jazzy: record it again"
        )
    return found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with Reader(path) as reader:
            yield reader
    except (ReaderError, FileNotFoundError, EOFError) as error:
        raise ValueError(f"bag {path} cannot be read, it may be cut off: {error}") from None
