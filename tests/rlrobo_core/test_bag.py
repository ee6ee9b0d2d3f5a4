"""Bags: what was written is read, by rosbags itself and by us; a bad one is named."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import Reader

from rlrobo_core.bag import (
    BagWriter,
    bag_facts,
    bag_messages,
    make_message,
    message_types,
)

WORDS = {"/words": "std_msgs/msg/String"}


def words(text: str) -> object:
    return make_message("std_msgs/msg/String", data=text)


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    with BagWriter(tmp_path / "bag", {"who": "a test"}) as writer:
        for number in range(5):
            writer.write("/words", words(f"number {number}"), 10**9 + number)
            values = make_message(
                "sensor_msgs/msg/Image",
                header=make_message(
                    "std_msgs/msg/Header",
                    stamp=make_message("builtin_interfaces/msg/Time", sec=1, nanosec=number),
                    frame_id="camera",
                ),
                height=300,
                width=400,
                encoding="rgb8",
                is_bigendian=0,
                step=1200,
                data=np.full(360_000, number, np.uint8),
            )
            writer.write("/image", values, 10**9 + number)
    return tmp_path / "bag"


def test_messages_come_back_in_order_of_time(bag: Path) -> None:
    found = list(bag_messages(bag, {**WORDS, "/image": "sensor_msgs/msg/Image"}))
    assert [m.msg.data for m in found if m.topic == "/words"] == [f"number {n}" for n in range(5)]
    images = [m.msg for m in found if m.topic == "/image"]
    assert [np.unique(image.data).tolist() for image in images] == [[n] for n in range(5)]
    assert [m.stamp for m in found] == sorted(m.stamp for m in found)
    assert bag_facts(bag) == {"who": "a test"}


def test_rosbags_own_reader_finds_what_ros2_needs(bag: Path) -> None:
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert metadata["version"] == 9 and metadata["storage_identifier"] == "mcap"
    with Reader(bag) as reader:
        assert {c.topic: c.msgcount for c in reader.connections} == {"/words": 5, "/image": 5}
        for connection in reader.connections:
            assert "MSG: std_msgs/Header" in connection.msgdef.data or connection.topic == "/words"
            assert connection.digest == message_types().hash_rihs01(connection.msgtype)
        raw = [cdr for c, _, cdr in reader.messages() if c.topic == "/words"]
    again = [message_types().serialize_cdr(words(f"number {n}"), WORDS["/words"]) for n in range(5)]
    assert list(map(bytes, raw)) == list(map(bytes, again))


def test_serialized_messages_are_written_as_they_are(tmp_path: Path) -> None:
    cdr = bytes(message_types().serialize_cdr(words("hello"), WORDS["/words"]))
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_bytes("/words", WORDS["/words"], cdr, 7)
    (found,) = bag_messages(tmp_path / "bag", WORDS)
    assert (found.stamp, found.msg.data) == (7, "hello")


def test_a_missing_topic_and_a_wrong_type_are_named(bag: Path) -> None:
    with pytest.raises(ValueError, match=r"no topic /speech .*it has: /words, /image"):
        list(bag_messages(bag, {"/speech": "std_msgs/msg/String"}))
    with pytest.raises(ValueError, match=r"/words .* is of type std_msgs/msg/String, not .*Int8"):
        list(bag_messages(bag, {"/words": "std_msgs/msg/Int8"}))


def test_another_definition_of_a_type_is_refused(bag: Path) -> None:
    metadata = bag / "metadata.yaml"
    ours = message_types().hash_rihs01("std_msgs/msg/String")
    metadata.write_text(metadata.read_text().replace(ours, "RIHS01_" + 64 * "0"))
    with pytest.raises(ValueError, match="another definition of std_msgs/msg/String"):
        list(bag_messages(bag, WORDS))


@pytest.mark.parametrize("kept", [0, 100, 400_000, -1])
def test_a_truncated_bag_is_refused(bag: Path, kept: int) -> None:
    (storage,) = bag.glob("*.mcap")
    storage.write_bytes(storage.read_bytes()[:kept])
    with pytest.raises(ValueError, match=f"bag {bag} cannot be read"):
        list(bag_messages(bag, WORDS))


def test_messages_that_the_metadata_promises_are_missed(bag: Path) -> None:
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("message_count: 5", "message_count: 6"))
    with pytest.raises(ValueError, match="5 of the 6 messages of /words"):
        list(bag_messages(bag, WORDS))


def test_a_bag_is_not_overwritten(bag: Path) -> None:
    with pytest.raises(ValueError, match="exists already"):
        BagWriter(bag)


def test_a_bag_that_an_error_cut_off_is_no_bag(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), BagWriter(tmp_path / "bag") as writer:
        writer.write("/words", words("first"), 1)
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="cannot be read"):
        bag_facts(tmp_path / "bag")


def test_rclpy_reads_the_messages(bag: Path) -> None:
    serialization = pytest.importorskip("rclpy.serialization")
    from sensor_msgs.msg import Image

    with Reader(bag) as reader:
        images = [cdr for c, _, cdr in reader.messages() if c.topic == "/image"]
    for number, cdr in enumerate(images):
        msg = serialization.deserialize_message(bytes(cdr), Image)
        assert (msg.header.stamp.nanosec, msg.height, msg.width) == (number, 300, 400)
        assert bytes(msg.data) == bytes([number]) * 360_000
