"""The records of a file, and how their parts are written.

    magic, Header, { Chunk, a MessageIndex for each of its channels } …, Metadata, DataEnd,
    summary (Schema, Channel, ChunkIndex, MetadataIndex, Statistics), SummaryOffset …, Footer, magic

A chunk holds schemas, channels and messages. Stamps are [ns], sizes and offsets [bytes].
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from struct import Struct, pack
from typing import NamedTuple

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
MESSAGE_INDEX, CHUNK_INDEX, STATISTICS, METADATA = 0x07, 0x08, 0x0B, 0x0C
METADATA_INDEX, SUMMARY_OFFSET, DATA_END = 0x0D, 0x0E, 0x0F
RECORD = Struct("<BQ")
"""Opcode and length, in front of every record."""
MESSAGE_HEAD = Struct("<HIQQ")
"""Channel, sequence, time of recording, time of publishing."""
MESSAGE_START = RECORD.size + MESSAGE_HEAD.size
"""From a message's record to its bytes."""
CHUNK_HEAD = Struct("<QQQI")
"""First and last time, size of the records, their CRC (0: not computed)."""
CHUNK_START = RECORD.size + CHUNK_HEAD.size + 4 + 8
"""From a chunk's own start to that of its records: a compression without a name, and a size."""
CHUNK_SIZE = 2**20
"""A chunk is written once it holds so much."""

Data = bytes | memoryview


class Channel(NamedTuple):
    """A topic of a file."""

    topic: str
    msgtype: str
    definition: str
    """In the format ros2msg, with the definitions of the types inside."""
    digest: str
    """RIHS01 hash of the definition; empty where the file does not tell it."""
    qos: str
    """What its publishers offered, as YAML."""


class Place(NamedTuple):
    """Where a message is."""

    channel: int
    stamp: int
    offset: int
    """Of its record; its bytes lie `MESSAGE_START` further."""
    size: int
    """Of its bytes."""


class ChunkPlace(NamedTuple):
    """Where a chunk and its messages are."""

    offset: int
    end: int
    places: tuple[Place, ...]
    indexes: dict[int, int]
    """channel -> where its message index begins, behind the chunk."""
    indexes_end: int

    @property
    def records_start(self) -> int:
        return self.offset + CHUNK_START

    @property
    def span(self) -> tuple[int, int]:
        """First and last stamp; zeros where the chunk holds no message."""
        stamps = [place.stamp for place in self.places] or [0]
        return min(stamps), max(stamps)


@dataclass
class Contents:
    """What a file holds, up to where it is whole."""

    channels: dict[int, Channel] = field(default_factory=dict)
    schema_records: dict[int, bytes] = field(default_factory=dict)
    channel_records: dict[int, bytes] = field(default_factory=dict)
    chunks: list[ChunkPlace] = field(default_factory=list)
    closed: bool = False
    """The file ends as it should."""
    torn: int = 0
    """Chunks whose end does not make sense."""

    start: int = len(MAGIC)
    """Where the chunks begin."""

    @property
    def end(self) -> int:
        """Where the last whole chunk ends, without its indexes."""
        return self.chunks[-1].end if self.chunks else self.start

    def places(self) -> list[Place]:
        """The messages in order of time; at the same time, in order of writing. Those of channels
        that were never described are left out: nobody knows what they are."""
        places = [it for chunk in self.chunks for it in chunk.places if it.channel in self.channels]
        return sorted(places, key=lambda place: place.stamp)

    def counts(self) -> Counter[str]:
        """Messages of each topic."""
        return Counter(self.channels[place.channel].topic for place in self.places())


def sized(content: bytes) -> bytes:
    return pack("<I", len(content)) + content


def text(words: str) -> bytes:
    return sized(words.encode())


def text_map(values: dict[str, str]) -> bytes:
    return sized(b"".join(text(key) + text(value) for key, value in values.items()))


def record(opcode: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return RECORD.pack(opcode, len(body)) + body


def channel_records(number: int, channel: Channel) -> tuple[bytes, bytes]:
    """Schema and channel; each channel has a schema of its own, under the same number."""
    schema = (text(channel.msgtype), text("ros2msg"), text(channel.definition))
    about = {"offered_qos_profiles": channel.qos, "topic_type_hash": channel.digest}
    return (
        record(SCHEMA, pack("<H", number), *schema),
        record(
            CHANNEL, pack("<HH", number, number), text(channel.topic), text("cdr"), text_map(about)
        ),
    )


def chunk_index(chunk: ChunkPlace) -> bytes:
    size, records_size = chunk.end - chunk.offset, chunk.end - chunk.records_start
    offsets = b"".join(pack("<HQ", *item) for item in chunk.indexes.items())
    return record(
        CHUNK_INDEX,
        pack("<QQQQ", *chunk.span, chunk.offset, size),
        sized(offsets),
        pack("<Q", chunk.indexes_end - chunk.end),
        text(""),
        pack("<QQ", records_size, records_size),
    )
