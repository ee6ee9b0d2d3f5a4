"""Reads an MCAP file from its start, as far as it is whole; its summary is not needed."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import calcsize, unpack_from
from struct import error as struct_error

from rlrobo_core.mcap.format import (
    CHANNEL,
    CHUNK,
    CHUNK_HEAD,
    DATA_END,
    HEADER,
    MAGIC,
    MESSAGE,
    MESSAGE_HEAD,
    MESSAGE_INDEX,
    RECORD,
    SCHEMA,
    Channel,
    ChunkPlace,
    Contents,
    Place,
)


class NotReadable(ValueError):
    """Not an MCAP file, or one that is compressed, or without chunks."""


@contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """The file's bytes; pages are read as they are looked at."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise NotReadable(f"{path} is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
            view = memoryview(mapping)
            try:
                yield view
            finally:
                view.release()


def records(view: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(opcode, where its content begins, where it ends) of every whole record."""
    while start + RECORD.size <= end:
        opcode, length = RECORD.unpack_from(view, start)
        begin, start = start + RECORD.size, start + RECORD.size + length
        if start > end:
            return
        yield opcode, begin, start


def scan(path: Path) -> Contents:
    """NotReadable where it is no MCAP file of chunks that are not compressed."""
    with mapped(path) as view:
        if view[: len(MAGIC)] != MAGIC:
            raise NotReadable(f"{path} is not an MCAP file")
        contents = Contents()
        schemas: dict[int, tuple[str, str]] = {}
        with suppress(struct_error):  # what follows is no record
            for opcode, begin, end in records(view, len(MAGIC), len(view)):
                if opcode == CHUNK:
                    _open_chunk(view, begin, end, contents, schemas, path)
                elif opcode == MESSAGE_INDEX and contents.chunks:
                    (channel,) = unpack_from("<H", view, begin)
                    last = contents.chunks[-1]
                    indexes = last.indexes | {channel: begin - RECORD.size}
                    contents.chunks[-1] = last._replace(indexes=indexes, indexes_end=end)
                elif opcode == MESSAGE:
                    raise NotReadable(f"{path} has messages outside of chunks")
                elif opcode == HEADER:
                    contents.start = end
                elif opcode == DATA_END:
                    contents.closed = view[-len(MAGIC) :] == MAGIC
                    break
        return contents


def _open_chunk(
    view: memoryview,
    begin: int,
    end: int,
    contents: Contents,
    schemas: dict[int, tuple[str, str]],
    path: Path,
) -> None:
    """Notes what is in a chunk, without looking at the messages themselves."""
    compression, start = _text(view, begin + CHUNK_HEAD.size)
    if compression:
        raise NotReadable(f"{path} is compressed ({compression})")
    places, stop = [], end
    for opcode, at, stop in records(view, start + calcsize("<Q"), end):
        if opcode == MESSAGE:
            channel, _sequence, stamp, _published = MESSAGE_HEAD.unpack_from(view, at)
            if stop - at < MESSAGE_HEAD.size:
                raise struct_error("a message that is shorter than its head")
            size = stop - at - MESSAGE_HEAD.size
            places.append(Place(channel, stamp, at - RECORD.size, size))
        elif opcode == SCHEMA:
            (number,) = unpack_from("<H", view, at)
            name, at_encoding = _text(view, at + 2)
            _encoding, at_data = _text(view, at_encoding)
            schemas[number] = (name, _text(view, at_data)[0])
            contents.schema_records[number] = bytes(view[at - RECORD.size : stop])
        elif opcode == CHANNEL:
            number, schema = unpack_from("<HH", view, at)
            topic, at_encoding = _text(view, at + 4)
            about = _text_map(view, _text(view, at_encoding)[1])
            msgtype, definition = schemas.get(schema, ("", ""))
            contents.channels[number] = Channel(
                topic,
                msgtype,
                definition,
                about.get("topic_type_hash", ""),
                about.get("offered_qos_profiles", ""),
            )
            contents.channel_records[number] = bytes(view[at - RECORD.size : stop])
    contents.torn += stop != end
    contents.chunks.append(ChunkPlace(begin - RECORD.size, end, tuple(places), {}, end))


def _text(view: memoryview, at: int) -> tuple[str, int]:
    """Some text, and where it ends."""
    (length,) = unpack_from("<I", view, at)
    begin = at + 4
    return str(view[begin : begin + length], "utf-8", "replace"), begin + length


def _text_map(view: memoryview, at: int) -> dict[str, str]:
    (length,) = unpack_from("<I", view, at)
    at, end = at + 4, at + 4 + length
    found = {}
    while at < end:
        key, at = _text(view, at)
        found[key], at = _text(view, at)
    return found
