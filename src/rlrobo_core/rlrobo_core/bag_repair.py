"""Makes a bag whole that was not closed, or whose end is missing: keeps what can be read."""

from __future__ import annotations

from pathlib import Path

from rlrobo_core.bag_metadata import (
    METADATA_FILE,
    FileFacts,
    dump,
    information,
    read_metadata,
    write_metadata,
)
from rlrobo_core.bag_reader import storage_files
from rlrobo_core.mcap.format import Channel, Contents
from rlrobo_core.mcap.scan import NotReadable, scan
from rlrobo_core.mcap.writer import McapWriter


def repair(path: Path) -> list[str]:
    """Closes the bag's files behind their last whole message and writes its metadata anew. What
    was done, a sentence each. ValueError where nothing can be read, or it is still recorded."""
    files = storage_files(path) if path.is_dir() else []
    if not files:
        raise ValueError(f"{path} is no bag: name a directory with .mcap files")
    facts = read_metadata(path).get("custom_data") or {}
    kept: list[tuple[Path, Contents]] = []
    done: list[str] = []
    for file in files:
        try:
            contents = scan(file)
        except NotReadable as error:
            done.append(f"{error}: left out of {METADATA_FILE}")
            continue
        kept.append((file, contents))
        if not contents.closed:
            size = file.stat().st_size
            told = information(list(contents.channels.values()), [_file(file, contents)], facts)
            McapWriter.resume(file, contents).close(dump(told))
            done.append(
                f"{file.name}: kept {len(contents.places())} messages, {size - contents.end:,} "
                "bytes behind them were no whole message"
            )
    if not kept:
        raise ValueError(f"nothing in {path} can be read: {'; '.join(done)}")
    channels: dict[str, Channel] = {}
    for _file_path, contents in kept:
        channels |= {channel.topic: channel for channel in contents.channels.values()}
    files_facts = [_file(file, contents) for file, contents in kept]
    write_metadata(path, information(list(channels.values()), files_facts, facts))
    messages = sum(file.messages for file in files_facts)
    return [*done, f"{METADATA_FILE}: {messages} messages on {len(channels)} topics"]


def _file(path: Path, contents: Contents) -> FileFacts:
    places = contents.places()
    first, last = (places[0].stamp, places[-1].stamp) if places else (0, 0)
    return FileFacts(path.name, first, last, contents.counts())
