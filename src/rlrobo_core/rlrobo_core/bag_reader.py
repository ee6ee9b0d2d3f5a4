"""Reads of a bag what can be read: whole ones, and those that were cut off or never closed.

Messages come as the bytes they were recorded as. What is missing is named in `damage`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from rosbags.rosbag2 import Reader
from rosbags.rosbag2.metadata import dump_qos_v9

from rlrobo_core.bag_metadata import METADATA_FILE, dump, read_metadata
from rlrobo_core.mcap.format import MESSAGE_START, Channel, Contents
from rlrobo_core.mcap.scan import NotReadable, scan


class RawMessage(NamedTuple):
    topic: str
    stamp: int
    """When it was recorded [ns]."""
    cdr: bytes


class Source(Protocol):
    """Where the messages come from."""

    def channels(self) -> list[Channel]: ...
    def counts(self) -> Counter[str]: ...
    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]: ...


@dataclass(frozen=True)
class Bag:
    path: Path
    channels: dict[str, Channel]
    """By topic."""
    counts: Counter[str]
    """Messages of each topic."""
    damage: tuple[str, ...]
    """What cannot be read, a sentence each."""
    facts: Mapping[str, str]
    """What was told about the whole bag when it was written."""
    source: Source

    def messages(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Of these topics (None: of all), in order of time within each file of the bag. Damaged
        where a compressed or SQLite bag cannot be read any further."""
        return self.source.messages(self.channels if topics is None else topics)

    def of_type(self, msgtype: str) -> list[Channel]:
        return [channel for channel in self.channels.values() if channel.msgtype == msgtype]


def open_bag(path: Path) -> Bag:
    """A bag's directory, or one file of it. ValueError where nothing can be read."""
    files = storage_files(path)
    damage = [f"{name} is missing" for name in _listed(path) if not (path / name).is_file()]
    scanned: dict[Path, Contents] = {}
    for file in files:
        try:
            scanned[file] = scan(file)
        except NotReadable as error:
            damage.append(str(error))
            continue
        if not scanned[file].closed:
            count = len(scanned[file].places())
            damage.append(f"{file} is cut off after {count} messages")
        if torn := scanned[file].torn:
            damage.append(f"{file} is damaged in {torn} places: messages are missing there")
    if len(scanned) < len(files) and (foreign := _foreign(path)):
        return _bag(path, foreign, ())
    if not scanned:
        raise ValueError(f"{path} cannot be read as a bag: {'; '.join(damage) or _nothing(path)}")
    return _bag(path, _Scanned(scanned), tuple(damage))


def storage_files(path: Path) -> list[Path]:
    """The files of a bag as its metadata lists them, then those that it does not know yet."""
    if path.is_file():
        return [path]
    listed = [path / name for name in _listed(path) if (path / name).is_file()]
    others = [file for file in path.glob("*.mcap") if file not in listed]
    return listed + sorted(others, key=_number)


def _bag(path: Path, source: Source, damage: tuple[str, ...]) -> Bag:
    channels = {channel.topic: channel for channel in source.channels()}
    facts = read_metadata(path).get("custom_data") or {}
    return Bag(path, channels, source.counts(), damage, facts, source)


def _listed(path: Path) -> list[str]:
    names = read_metadata(path).get("relative_file_paths") or []
    return [Path(str(name)).name for name in names]


def _number(file: Path) -> tuple[int, str]:
    found = re.search(r"_(\d+)$", file.stem)
    return (int(found[1]) if found else -1, file.name)


def _nothing(path: Path) -> str:
    if not path.exists():
        return "there is nothing"
    return f"there is no .mcap file and no {METADATA_FILE} in it"


@dataclass(frozen=True)
class _Scanned:
    files: dict[Path, Contents]

    def channels(self) -> list[Channel]:
        return [channel for file in self.files.values() for channel in file.channels.values()]

    def counts(self) -> Counter[str]:
        return sum((contents.counts() for contents in self.files.values()), Counter())

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        for path, contents in self.files.items():
            wanted = {n: c.topic for n, c in contents.channels.items() if c.topic in topics}
            with path.open("rb") as file:
                for place in contents.places():
                    if place.channel in wanted:
                        file.seek(place.offset + MESSAGE_START)
                        yield RawMessage(wanted[place.channel], place.stamp, file.read(place.size))


class Damaged(ValueError):
    """A bag that only `rosbags` reads ends before its end."""


@contextmanager
def _reading(path: Path) -> Iterator[Reader]:
    try:
        with Reader(path) as reader:
            yield reader
    except Damaged:
        raise
    except Exception as error:  # whatever SQLite, zstd or yaml make of damaged bytes
        raise Damaged(f"{path} is damaged, {type(error).__name__}: {error}") from error


def _foreign(path: Path) -> Source | None:
    """What only `rosbags` reads: compressed files, SQLite; None where it cannot either."""
    try:
        with _reading(path):
            return _Foreign(path)
    except Damaged:
        return None


@dataclass(frozen=True)
class _Foreign:
    path: Path

    def channels(self) -> list[Channel]:
        with _reading(self.path) as reader:
            return [
                Channel(c.topic, c.msgtype, str(c.msgdef.data), c.digest, dump(_qos(c)))
                for c in reader.connections
            ]

    def counts(self) -> Counter[str]:
        with _reading(self.path) as reader:
            return Counter({c.topic: c.msgcount for c in reader.connections})

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        with _reading(self.path) as reader:
            wanted = [c for c in reader.connections if c.topic in topics]
            left = sum(connection.msgcount for connection in wanted)
            for connection, stamp, cdr in reader.messages(wanted) if wanted else ():
                yield RawMessage(connection.topic, stamp, bytes(cdr))
                left -= 1
            if left > 0:
                raise Damaged(f"{self.path} lacks {left} of the messages that it promises")


def _qos(connection: object) -> list[object]:
    return list(dump_qos_v9(connection.ext.offered_qos_profiles))  # pyright: ignore
