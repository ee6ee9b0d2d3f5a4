"""Bags: what was written is read, by rosbags itself and by us; a bad one is named."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import Reader

from rlrobo_core.bag import BagWriter, make_message
from rlrobo_core.bag_decoding import Decoded, decoded
from rlrobo_core.bag_reader import open_bag
from rlrobo_core.definitions import message_types

WORDS = {"/words": "std_msgs/msg/String"}


def messages(bag: Path, wanted: dict[str, str]) -> list[Decoded]:
    """Of a bag in which nothing is wrong."""
    return list(decoded(open_bag(bag), wanted, pytest.fail))


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
    found = messages(bag, {**WORDS, "/image": "sensor_msgs/msg/Image"})
    assert [m.value.data for m in found if m.topic == "/words"] == [f"number {n}" for n in range(5)]
    images = [m.value for m in found if m.topic == "/image"]
    assert [np.unique(image.data).tolist() for image in images] == [[n] for n in range(5)]
    assert [m.stamp for m in found] == sorted(m.stamp for m in found)
    assert open_bag(bag).facts == {"who": "a test"}


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
    (found,) = messages(tmp_path / "bag", WORDS)
    assert (found.stamp, found.value.data) == (7, "hello")


def test_a_missing_topic_and_a_wrong_type_are_named(bag: Path) -> None:
    with pytest.raises(ValueError, match=r"no topic /speech \(std.*it has: /words \(std.*, /image"):
        messages(bag, {"/speech": "std_msgs/msg/String"})
    with pytest.raises(ValueError, match=r"/words .* is of type std_msgs/msg/String, not .*Int8"):
        messages(bag, {"/words": "std_msgs/msg/Int8"})


def test_another_definition_of_a_type_is_refused(bag: Path) -> None:
    (file,) = bag.glob("*.mcap")
    ours = message_types().hash_rihs01("std_msgs/msg/String").encode()
    file.write_bytes(file.read_bytes().replace(ours, b"RIHS01_" + 64 * b"0"))
    with pytest.raises(ValueError, match="/words .*another definition of std_msgs/msg/String"):
        messages(bag, WORDS)


def test_malformed_messages_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    whole = bytes(message_types().serialize_cdr(words("hello"), WORDS["/words"]))
    not_text = whole.replace(b"hello", b"\xff\xfe\xfd\xfc\xfb")
    with BagWriter(tmp_path / "bag") as writer:
        for stamp, cdr in enumerate([b"", whole[:6], whole, not_text, whole]):
            writer.write_bytes("/words", WORDS["/words"], cdr, stamp)
    sentences: list[str] = []
    found = list(decoded(open_bag(tmp_path / "bag"), WORDS, sentences.append))
    assert [m.stamp for m in found] == [2, 4]
    assert len(sentences) == 3
    assert all("/words (std_msgs/msg/String)" in it and "malformed" in it for it in sentences)


def test_a_bag_is_not_overwritten(bag: Path) -> None:
    with pytest.raises(ValueError, match="exists already"):
        BagWriter(bag)


def test_a_bag_that_an_error_cut_off_says_so(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), BagWriter(tmp_path / "bag") as writer:
        writer.write("/words", words("first"), 1)
        writer.flush()
        writer.write("/words", words("second"), 2)
        raise KeyboardInterrupt
    sentences: list[str] = []
    (found,) = decoded(open_bag(tmp_path / "bag"), WORDS, sentences.append)
    assert found.value.data == "first"
    assert len(sentences) == 1 and "cut off after 1 messages" in sentences[0]


def test_rclpy_reads_the_messages(bag: Path) -> None:
    serialization = pytest.importorskip("rclpy.serialization")
    from sensor_msgs.msg import Image

    with Reader(bag) as reader:
        images = [cdr for c, _, cdr in reader.messages() if c.topic == "/image"]
    for number, cdr in enumerate(images):
        msg = serialization.deserialize_message(bytes(cdr), Image)
        assert (msg.header.stamp.nanosec, msg.height, msg.width) == (number, 300, 400)
        assert bytes(msg.data) == bytes([number]) * 360_000
