"""rosbag2 recordings without ROS: MCAP, metadata version 9, message definitions embedded.

`rosbags` (pure Python) brings the message types of ROS 2 Jazzy with it, so this needs neither
rclpy nor a built workspace. Here bags are written; `bag_reader.py` reads what is left of one,
`bag_decoding.py` as messages, and `bag_repair.py` makes it whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from rlrobo_core.bag_metadata import FileFacts, dump, information, write_metadata
from rlrobo_core.definitions import definition, digest, know, message_types
from rlrobo_core.mcap.format import Channel, Data
from rlrobo_core.mcap.writer import McapWriter


def make_message(msgtype: str, **fields: Any) -> Any:
    """A message of that type, such as `std_msgs/msg/String`; array fields are ndarrays."""
    know(msgtype)
    return message_types().types[msgtype](**fields)


class BagWriter:
    """Writes one bag, the directory `path`; a context manager. What an error ends has no
    metadata of its last file: `repair` makes it readable up to where it was flushed."""

    def __init__(
        self,
        path: Path,
        facts: Mapping[str, str] | None = None,
        split_bytes: int = 0,
        keep_bytes: int = 0,
    ) -> None:
        """`facts` go into the metadata (rosbag2's `custom_data`). A new file is begun after
        `split_bytes`, and the oldest are deleted when all are more than `keep_bytes`; 0: never.
        """
        if path.exists():
            raise ValueError(f"{path} exists already and is not overwritten: name another")
        self.path = path
        self.counts: Counter[str] = Counter()
        """Messages of each topic that were written, those of deleted files included."""
        self._facts = dict(facts or {})
        self._split_bytes, self._keep_bytes = split_bytes, keep_bytes
        self._channels: dict[str, Channel] = {}
        self._files: list[FileFacts] = []
        """Closed ones that are kept."""
        self._begun = 0
        self._numbers: dict[str, int] = {}
        """topic -> its channel in the file in progress"""

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True)
        self._begin_file()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None:
            self._end_file()
        else:
            self._file.abandon()

    def add_topic(self, topic: str, msgtype: str, qos: Sequence[Mapping[str, Any]] = ()) -> None:
        """`qos`: what its publishers offer, as rosbag2 writes it. ValueError where the definition
        of the type is not found."""
        self._channels[topic] = Channel(
            topic, msgtype, definition(msgtype), digest(msgtype), dump(list(qos)) if qos else ""
        )

    def write(self, topic: str, msg: Any, stamp: int) -> None:
        """`stamp` [ns]."""
        msgtype = msg.__msgtype__
        self.write_bytes(topic, msgtype, message_types().serialize_cdr(msg, msgtype), stamp)

    def write_bytes(
        self, topic: str, msgtype: str, cdr: Data, stamp: int, published: int | None = None
    ) -> None:
        """A message that is serialized already, as a subscription can hand it over."""
        if self._split_bytes and self._file.size >= self._split_bytes:
            self._end_file()
            self._delete_oldest()
            self._begin_file()
        if topic not in self._numbers:
            if topic not in self._channels:
                self.add_topic(topic, msgtype)
            self._numbers[topic] = self._file.add_channel(self._channels[topic])
        self._file.write(self._numbers[topic], stamp, cdr, published)
        self.counts[topic] += 1

    def flush(self) -> None:
        """From here on, what was written outlives this process."""
        self._file.flush()

    def _begin_file(self) -> None:
        self._name = f"{self.path.name}_{self._begun}.mcap"
        self._file, self._numbers = McapWriter(self.path / self._name), {}
        self._begun += 1

    def _end_file(self) -> None:
        counts = {topic: self._file.counts[number] for topic, number in self._numbers.items()}
        stamps = self._file.first_stamp, self._file.last_stamp
        first, last = stamps if counts else (0, 0)
        this = FileFacts(self._name, first, last, counts)
        self._file.close(dump(information(list(self._channels.values()), [this], self._facts)))
        self._files.append(this)
        self._write_metadata()

    def _delete_oldest(self) -> None:
        sizes = [(self.path / file.name).stat().st_size for file in self._files]
        room = self._keep_bytes - self._split_bytes
        while self._keep_bytes and len(sizes) > 1 and sum(sizes) > room:
            sizes.pop(0)
            oldest = self._files.pop(0)
            self._write_metadata()
            (self.path / oldest.name).unlink()

    def _write_metadata(self) -> None:
        told = information(list(self._channels.values()), self._files, self._facts)
        write_metadata(self.path, told)
