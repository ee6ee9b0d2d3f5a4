"""Bags in several files, bags that were cut off anywhere, and what is made of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mcap.reader import make_reader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from rlrobo_core.bag import BagWriter, make_message
from rlrobo_core.bag_decoding import decoded, definition_problem
from rlrobo_core.bag_reader import open_bag
from rlrobo_core.bag_repair import repair
from rlrobo_core.definitions import definition, digest, digest_of, message_types

STRING = "std_msgs/msg/String"
COUNT = 40
LARGE = 300_000
"""Of every fourth message, so that files have several chunks [bytes]."""


def cdr(number: int) -> bytes:
    words = f"{number}" + "x" * (LARGE if number % 4 == 0 else 0)
    return bytes(message_types().serialize_cdr(make_message(STRING, data=words), STRING))


def record(path: Path, **options: int) -> Path:
    with BagWriter(path, {"who": "a test"}, **options) as writer:
        for number in range(COUNT):
            writer.write_bytes("/even" if number % 2 == 0 else "/odd", STRING, cdr(number), number)
    return path


def stamps(path: Path) -> list[int]:
    return [message.stamp for message in open_bag(path).messages()]


def assert_whole(path: Path, count: int) -> None:
    """rosbags reads it, MCAP's own library checks it, and both find the first messages."""
    with Reader(path) as reader:
        found = [(stamp, bytes(data)) for _, stamp, data in reader.messages()]
    assert found == [(number, cdr(number)) for number in range(count)]
    listed = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (
        listed["message_count"] == sum(file["message_count"] for file in listed["files"]) == count
    )
    checked = []
    for file in listed["relative_file_paths"]:
        with (path / file).open("rb") as stream:
            reader = make_reader(stream, validate_crcs=True)
            checked += [message.log_time for _, _, message in reader.iter_messages()]
            statistics = reader.get_summary().statistics
            assert statistics.message_count == sum(statistics.channel_message_counts.values())
    assert checked == list(range(count))


def test_a_bag_is_split_by_size_and_comes_back_in_order(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", split_bytes=2**20)
    assert len(list(bag.glob("bag_*.mcap"))) > 1
    assert_whole(bag, COUNT)
    assert stamps(bag) == list(range(COUNT))
    assert open_bag(bag).counts == {"/even": COUNT // 2, "/odd": COUNT // 2}


def test_the_oldest_files_are_deleted_and_the_metadata_knows(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag", split_bytes=2**20, keep_bytes=3 * 2**20) as writer:
        for number in range(200):
            writer.write_bytes("/even", STRING, cdr(4 * number), number)
    sizes = [file.stat().st_size for file in (tmp_path / "bag").glob("*.mcap")]
    assert sum(sizes) <= 3 * 2**20 and len(sizes) > 1
    kept = stamps(tmp_path / "bag")
    assert kept == list(range(200 - len(kept), 200))
    with Reader(tmp_path / "bag") as reader:
        assert reader.message_count == len(kept)


@pytest.mark.parametrize("kept", [1, 40, 50_000, 1_300_000, 2_500_000, -20, -1, None])
def test_what_is_left_is_read_and_repaired_wherever_it_was_cut(
    tmp_path: Path, kept: int | None
) -> None:
    bag = record(tmp_path / "bag")
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[:kept])
    (bag / "metadata.yaml").unlink()
    if kept == 1:
        with pytest.raises(ValueError, match=f"{bag} cannot be read as a bag.*not an MCAP file"):
            open_bag(bag)
        with pytest.raises(ValueError, match="nothing in .* can be read"):
            repair(bag)
        return
    left = open_bag(bag)
    read = [(message.stamp, message.cdr) for message in left.messages()]
    assert read == [(number, cdr(number)) for number in range(len(read))]
    assert (not read, len(read) == COUNT) == (kept in (40, 50_000), kept in (-20, -1, None))
    assert bool(left.damage) == (kept is not None)
    done = repair(bag)
    assert f"{len(read)} messages" in done[-1]
    assert_whole(bag, len(read))
    assert not open_bag(bag).damage
    assert repair(bag) == done[-1:]


RECORDING = """
import sys, time
from pathlib import Path
from rlrobo_core.bag import BagWriter
with BagWriter(Path(sys.argv[1]), {"who": "killed"}, split_bytes=2**20) as writer:
    for number in range(1000):
        writer.write_bytes("/even", "std_msgs/msg/String", eval(sys.argv[2]) , number)
        if number == 25:
            writer.flush()
            print("flushed", flush=True)
            time.sleep(3600)
"""


def test_what_a_killed_recorder_flushed_is_kept_and_a_live_one_is_left_alone(
    tmp_path: Path,
) -> None:
    bag = tmp_path / "bag"
    command = [sys.executable, "-c", RECORDING, str(bag), "bytes(100_000)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "flushed\n"
        with pytest.raises(ValueError, match="still being written"):
            repair(bag)
        os.kill(process.pid, signal.SIGKILL)
    assert stamps(bag) == list(range(26))
    assert open_bag(bag).damage
    repair(bag)
    with Reader(bag) as reader:
        assert [stamp for _, stamp, _ in reader.messages()] == list(range(26))
    assert open_bag(bag).facts == {"who": "killed"}


def test_a_missing_file_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", split_bytes=1)
    (bag / "bag_0.mcap").unlink()
    left = open_bag(bag)
    assert left.damage == ("bag_0.mcap is missing",)
    assert stamps(bag) == list(range(COUNT - len(stamps(bag)), COUNT))


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_bags_of_others_are_read(tmp_path: Path, storage: StoragePlugin) -> None:
    with Writer(tmp_path / "bag", version=9, storage_plugin=storage) as writer:
        connection = writer.add_connection("/even", STRING, typestore=message_types())
        for number in range(3):
            writer.write(connection, number, cdr(number))
    bag = open_bag(tmp_path / "bag")
    assert [m.cdr for m in bag.messages()] == [cdr(number) for number in range(3)]
    assert bag.channels["/even"].msgtype == STRING and not bag.damage
    assert definition_problem(bag.channels["/even"]) == ""


def test_compressed_bags_are_read(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/even", STRING, typestore=message_types())
        writer.write(connection, 5, cdr(0))
    assert [m.cdr for m in open_bag(tmp_path / "bag").messages()] == [cdr(0)]


@pytest.mark.parametrize(
    ("storage", "compression"),
    [
        (StoragePlugin.SQLITE3, None),
        (StoragePlugin.MCAP, None),
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
    ],
)
def test_damaged_bags_of_others_are_read_as_far_as_they_go(
    tmp_path: Path, storage: StoragePlugin, compression: CompressionMode | None
) -> None:
    """Wherever the damage is: a prefix and a sentence, or one sentence."""
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=storage)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/odd", STRING, typestore=message_types())
        for number in range(1, 400, 2):
            writer.write(connection, number, cdr(number))
    (file,) = (it for it in (tmp_path / "bag").iterdir() if it.suffix != ".yaml")
    whole = file.read_bytes()
    for part in (0.0, 0.3, 0.6, 0.9):
        at = int(part * len(whole))
        for damaged in (whole[:at], whole[:at] + bytes(50) + whole[at + 50 :]):
            file.write_bytes(damaged)
            found, sentences = read_all(tmp_path / "bag")
            assert sentences or len(found) == 200
            assert set(found) <= set(range(1, 400, 2))


def read_all(path: Path) -> tuple[list[int], list[str]]:
    """Stamps, and what was complained about, or the one sentence of a refusal."""
    sentences: list[str] = []
    try:
        bag = open_bag(path)
        return [it.stamp for it in decoded(bag, {"/odd": STRING}, sentences.append)], sentences
    except ValueError as error:
        return [], [str(error)]


@pytest.mark.parametrize("content", [b"", b"#ROSBAG V2.0\n", b"\x89MCAP0\r\n"])
def test_what_is_no_bag_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(ValueError, match=f"{path} cannot be read as a bag"):
            open_bag(path)
    if content != b"\x89MCAP0\r\n":
        (tmp_path / "a.mcap").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.mcap is (empty|not an MCAP file)"):
            open_bag(tmp_path)


def test_our_own_messages_are_known_and_another_definition_is_named(tmp_path: Path) -> None:
    ours = "rlrobo_msgs/msg/ObservationBatch"
    assert "MSG: sensor_msgs/Image" in definition(ours)
    assert digest_of(ours, definition(ours)) == digest(ours)
    changed = definition(ours).replace("float64 render_s", "float32 render_s")
    assert digest_of(ours, changed) not in ("", digest(ours))
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_bytes("/observations", ours, b"\0\1\0\0", 1)
    (channel,) = open_bag(tmp_path / "bag").of_type(ours)
    assert definition_problem(channel) == ""
    problem = definition_problem(channel._replace(definition=changed, digest=""))
    assert "/observations" in problem and ours in problem and "another definition" in problem
    with pytest.raises(ValueError, match="my_msgs/msg/New is not found"):
        definition("my_msgs/msg/New")
