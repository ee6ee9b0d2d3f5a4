"""Writes an MCAP file, or goes on with one that was cut off."""

from __future__ import annotations

import fcntl
from collections import Counter, defaultdict
from io import BufferedRandom, BufferedWriter
from pathlib import Path
from struct import pack
from typing import Self

from rlrobo_core.mcap.format import (
    CHANNEL,
    CHUNK,
    CHUNK_HEAD,
    CHUNK_INDEX,
    CHUNK_SIZE,
    CHUNK_START,
    DATA_END,
    FOOTER,
    HEADER,
    MAGIC,
    MESSAGE,
    MESSAGE_HEAD,
    MESSAGE_INDEX,
    METADATA,
    METADATA_INDEX,
    RECORD,
    SCHEMA,
    STATISTICS,
    SUMMARY_OFFSET,
    Channel,
    ChunkPlace,
    Contents,
    Data,
    Place,
    channel_records,
    chunk_index,
    record,
    sized,
    text,
    text_map,
)


class McapWriter:
    """What was flushed can be read whatever happens to this process."""

    def __init__(self, path: Path) -> None:
        self._begin(path.open("xb"))
        self._put(MAGIC + record(HEADER, text("ros2"), text("rlrobo")))

    @classmethod
    def resume(cls, path: Path, contents: Contents) -> Self:
        """Takes up a file that was cut off behind the last whole chunk."""
        writer = cls.__new__(cls)
        writer._begin(path.open("r+b"))
        writer._schemas |= contents.schema_records
        writer._channels |= contents.channel_records
        for chunk in contents.chunks[:-1]:
            writer._chunk_indexes.append(chunk_index(chunk))
        for place in contents.places():
            writer._count(place.channel, place.stamp)
        writer.size = contents.end
        writer._file.seek(contents.end)
        writer._file.truncate()
        if contents.chunks:
            writer._put_indexes(contents.chunks[-1])
        return writer

    def _begin(self, file: BufferedWriter | BufferedRandom) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process
        except BlockingIOError:
            raise ValueError(f"{file.name} is still being written: end that first") from None
        self.size = 0
        """Written so far, without the chunk in progress."""
        self.counts: Counter[int] = Counter()
        """Messages of each channel, the chunk in progress included."""
        self.first_stamp, self.last_stamp = 2**63 - 1, 0
        self._file = file
        self._schemas: dict[int, bytes] = {}
        self._channels: dict[int, bytes] = {}
        self._chunk_indexes: list[bytes] = []
        self._pieces: list[Data] = []
        self._pieces_size = 0
        self._places: list[Place] = []
        """Of the chunk in progress; where it begins is known."""

    def add_channel(self, channel: Channel) -> int:
        """The number under which its messages are written."""
        number = len(self._channels) + 1
        self._schemas[number], self._channels[number] = channel_records(number, channel)
        self._add(self._schemas[number], self._channels[number])
        return number

    def write(self, channel: int, stamp: int, data: Data, published: int | None = None) -> None:
        """`data` is held until its chunk is written, not copied."""
        head = MESSAGE_HEAD.pack(channel, 0, stamp, stamp if published is None else published)
        offset = self.size + CHUNK_START + self._pieces_size
        self._places.append(Place(channel, stamp, offset, len(data)))
        self._count(channel, stamp)
        self._add(RECORD.pack(MESSAGE, len(head) + len(data)) + head, data)
        if self._pieces_size >= CHUNK_SIZE:
            self._write_chunk()

    def flush(self) -> None:
        """From here on, what was written outlives this process."""
        self._write_chunk()
        self._file.flush()

    def close(self, metadata: str = "") -> None:
        """`metadata` is for rosbag2 where it finds the file alone."""
        self._write_chunk()
        start = self.size
        self._put(record(METADATA, text("rosbag2"), text_map({"serialized_metadata": metadata})))
        index = record(METADATA_INDEX, pack("<QQ", start, self.size - start), text("rosbag2"))
        self._put(record(DATA_END, pack("<I", 0)))
        self._put_summary(index)
        self._put(MAGIC)
        self._file.close()

    def abandon(self) -> None:
        """Close the file without an end."""
        self._file.close()

    def _count(self, channel: int, stamp: int) -> None:
        self.counts[channel] += 1
        self.first_stamp = min(self.first_stamp, stamp)
        self.last_stamp = max(self.last_stamp, stamp)

    def _add(self, *pieces: Data) -> None:
        self._pieces += pieces
        self._pieces_size += sum(map(len, pieces))

    def _put(self, *pieces: Data) -> None:
        self._file.writelines(pieces)
        self.size += sum(map(len, pieces))

    def _write_chunk(self) -> None:
        if not self._pieces:
            return
        stamps = [place.stamp for place in self._places] or [0]
        head = CHUNK_HEAD.pack(min(stamps), max(stamps), self._pieces_size, 0)
        head += text("") + pack("<Q", self._pieces_size)
        offset = self.size
        self._put(RECORD.pack(CHUNK, len(head) + self._pieces_size), head, *self._pieces)
        self._put_indexes(ChunkPlace(offset, self.size, tuple(self._places), {}, self.size))
        self._pieces, self._places, self._pieces_size = [], [], 0

    def _put_indexes(self, chunk: ChunkPlace) -> None:
        """Behind the chunk where each channel's messages are; and its own for the summary."""
        entries, indexes = defaultdict(bytes), {}
        for place in chunk.places:
            entries[place.channel] += pack("<QQ", place.stamp, place.offset - chunk.records_start)
        for channel, entry in entries.items():
            indexes[channel] = self.size
            self._put(record(MESSAGE_INDEX, pack("<H", channel), sized(entry)))
        self._chunk_indexes.append(
            chunk_index(chunk._replace(indexes=indexes, indexes_end=self.size))
        )

    def _put_summary(self, metadata_index: bytes) -> None:
        groups = {
            SCHEMA: list(self._schemas.values()),
            CHANNEL: list(self._channels.values()),
            CHUNK_INDEX: self._chunk_indexes,
            METADATA_INDEX: [metadata_index],
            STATISTICS: [self._statistics()],
        }
        summary_start, offsets = self.size, []
        for opcode, records in groups.items():
            if records:
                start = self.size
                self._put(*records)
                offsets.append(
                    record(SUMMARY_OFFSET, pack("<BQQ", opcode, start, self.size - start))
                )
        offsets_start = self.size
        self._put(*offsets, record(FOOTER, pack("<QQI", summary_start, offsets_start, 0)))

    def _statistics(self) -> bytes:
        total = sum(self.counts.values())
        numbers = (total, len(self._schemas), len(self._channels), 0, 1, len(self._chunk_indexes))
        first, last = (self.first_stamp, self.last_stamp) if total else (0, 0)
        counts = b"".join(pack("<HQ", *item) for item in self.counts.items())
        return record(STATISTICS, pack("<QHIIIIQQ", *numbers, first, last), sized(counts))
