"""What metadata.yaml tells of a bag: rosbag2's version 9, that of ROS 2 Jazzy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlrobo_core.mcap.format import Channel

METADATA_FILE = "metadata.yaml"
METADATA_VERSION = 9


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file of a bag."""

    name: str
    first: int
    """Stamp of its first message [ns]."""
    last: int
    counts: Mapping[str, int]
    """topic -> messages"""

    @property
    def messages(self) -> int:
        return sum(self.counts.values())


def information(
    channels: Sequence[Channel], files: Sequence[FileFacts], facts: Mapping[str, str]
) -> dict[str, Any]:
    """What stands under `rosbag2_bagfile_information`."""
    counts: Counter[str] = Counter()
    for file in files:
        counts.update(file.counts)
    filled = [file for file in files if file.messages]
    first = min((file.first for file in filled), default=0)
    last = max((file.last for file in filled), default=0)
    return {
        "version": METADATA_VERSION,
        "storage_identifier": "mcap",
        "duration": {"nanoseconds": last - first},
        "starting_time": {"nanoseconds_since_epoch": first},
        "message_count": sum(counts.values()),
        "topics_with_message_count": [_topic(c, counts[c.topic]) for c in channels],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": [_file(file) for file in files],
        "custom_data": dict(facts) or None,
        "ros_distro": "jazzy",
    }


def write_metadata(path: Path, told: dict[str, Any]) -> None:
    """It is whole or not there."""
    temporary = path / f".{METADATA_FILE}"
    temporary.write_text(dump({"rosbag2_bagfile_information": told}))
    temporary.replace(path / METADATA_FILE)


def read_metadata(path: Path) -> dict[str, Any]:
    """What stands under `rosbag2_bagfile_information`; empty where there is no such file, or
    none that can be read."""
    try:
        told = yaml.safe_load((path / METADATA_FILE).read_text())
        return dict(told["rosbag2_bagfile_information"])
    except (OSError, yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, ValueError):
        return {}


def dump(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def _topic(channel: Channel, count: int) -> dict[str, Any]:
    return {
        "topic_metadata": {
            "name": channel.topic,
            "type": channel.msgtype,
            "serialization_format": "cdr",
            "offered_qos_profiles": yaml.safe_load(channel.qos) or [],
            "type_description_hash": channel.digest,
        },
        "message_count": count,
    }


def _file(file: FileFacts) -> dict[str, Any]:
    return {
        "path": file.name,
        "starting_time": {"nanoseconds_since_epoch": file.first},
        "duration": {"nanoseconds": file.last - file.first},
        "message_count": file.messages,
    }
