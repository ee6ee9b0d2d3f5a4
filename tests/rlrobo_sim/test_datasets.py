"""Data sets: both formats keep every bit and say where it comes from; bad ones are refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rosbags.highlevel import AnyReader

from rlrobo_core.bag import BagWriter, make_message
from rlrobo_core.bag_decoding import decoded
from rlrobo_core.bag_reader import open_bag
from rlrobo_core.from_messages import gripper_from_msg, nanoseconds
from rlrobo_core.tasks import Reach
from rlrobo_sim import datasets
from rlrobo_sim.datasets import Origin, fitting
from rlrobo_sim.demonstrations import Demonstrations, collect
from rlrobo_sim.mujoco import MujocoSimulator

TASK = Reach(instructions=("reach the green ball", "go to the ball", "touch the green thing"))
CAMERAS, SIZE, EPISODES = ("front", "wrist"), 28, 9
ORIGIN = Origin.of(TASK, "default", CAMERAS, SIZE, noise=1.5, seed=4)


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(
        TASK, 4, image_size=SIZE, cameras=CAMERAS, num_threads=1, num_render_workers=0
    )
    yield simulator
    simulator.close()


@pytest.fixture(scope="module")
def shown(simulator: MujocoSimulator) -> Demonstrations:
    """So much noise that some episodes fail, and not in the order of a data set."""
    shown = collect(simulator, TASK, EPISODES, ORIGIN.seed, ORIGIN.noise)
    assert 0 < shown.success_E.sum() < EPISODES and (np.diff(shown.episode_N) < 0).any()
    assert len(set(shown.instruction_N)) > 1
    return shown


@pytest.fixture(params=["lerobot", "rosbag2"])
def form(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def lerobot(shown: Demonstrations, tmp_path: Path) -> Path:
    datasets.write(shown, ORIGIN, tmp_path / "lerobot", "lerobot")
    return tmp_path / "lerobot"


@pytest.fixture
def rosbag(shown: Demonstrations, tmp_path: Path) -> Path:
    datasets.write(shown, ORIGIN, tmp_path / "rosbag2", "rosbag2")
    return tmp_path / "rosbag2"


def assert_equal(one: Demonstrations, two: Demonstrations) -> None:
    """But for what would be right under other words, which a data set does not hold."""
    for field in (field for field in fields(Demonstrations) if field.name != "otherwise"):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if isinstance(a, tuple):
            assert a == b
        else:
            assert a.dtype == b.dtype and np.array_equal(a, b), field.name


def keys_of(shown: Demonstrations) -> list[tuple[int, int]]:
    return list(zip(shown.episode_N.tolist(), shown.step_N.tolist(), strict=True))


def test_the_round_trip_is_exact(shown: Demonstrations, form: str, tmp_path: Path) -> None:
    datasets.write(shown, ORIGIN, tmp_path / "set", form)
    again, origin = datasets.read(tmp_path / "set")
    assert_equal(shown.in_order(), again)
    assert origin == ORIGIN


def test_order_is_all_that_in_order_changes(shown: Demonstrations) -> None:
    ordered = shown.in_order()
    rows = {key: row for row, key in enumerate(keys_of(shown))}
    keys = keys_of(ordered)
    assert keys == sorted(rows)
    for row, key in enumerate(keys):
        assert np.array_equal(ordered.image_NC[row], shown.image_NC[rows[key]])
        assert ordered.instruction_N[row] == shown.instruction_N[rows[key]]


def test_a_data_set_is_not_overwritten(form: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(ValueError, match="set exists already"):
        datasets.places(tmp_path / "set", form)


def test_an_unknown_format_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'hdf5'; choose one of: lerobot, rosbag2, both"):
        datasets.places(tmp_path, "hdf5")


def test_a_directory_of_both_is_told_from_a_data_set(lerobot: Path) -> None:
    with pytest.raises(ValueError, match=f"is no data set.*there is: {lerobot}"):
        datasets.read(lerobot.parent)


def test_cameras_are_chosen_by_name(shown: Demonstrations) -> None:
    wrist = fitting(shown, ORIGIN, TASK, ("wrist",), SIZE)
    assert np.array_equal(wrist.image_NC, shown.image_NC[:, 1:])
    swapped = fitting(shown, ORIGIN, TASK, ("wrist", "front"), SIZE)
    assert np.array_equal(swapped.image_NC, shown.image_NC[:, ::-1])
    with pytest.raises(ValueError, match=r"no camera 'side'; choose from: front, wrist"):
        fitting(shown, ORIGIN, TASK, ("front", "side"), SIZE)


@pytest.mark.parametrize(
    ("changed", "size", "message"),
    [
        ({"action_dims": ("x", "y", "z", "gripper")}, SIZE, "action_dims x, y, z, not x, y, z, g"),
        ({"max_step": 0.02}, SIZE, "max_step 0.05, not 0.02"),
        ({"control_hz": 25.0}, SIZE, "control_hz 10.0, not 25.0"),
        ({"name": "push"}, SIZE, "task reach, not push"),
        ({}, 56, "image_size 28, not 56"),
    ],
)
def test_another_action_space_or_image_is_refused(
    shown: Demonstrations, changed: dict[str, object], size: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        fitting(shown, ORIGIN, replace(TASK, **changed), CAMERAS, size)
    assert "train on task 'reach' (default) with image_size 28" in str(caught.value)


# LeRobot ---------------------------------------------------------------------------------


def test_lerobot_opens_it(
    shown: Demonstrations, lerobot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    library = pytest.importorskip("lerobot.datasets.lerobot_dataset", exc_type=ImportError)
    torch = pytest.importorskip("torch")
    opened = library.LeRobotDataset("rlrobo/reach", root=lerobot)
    ordered = shown.in_order()
    assert (len(opened), opened.num_episodes, opened.fps) == (len(shown), EPISODES, 10)
    assert opened.meta.camera_keys == [f"observation.images.{camera}" for camera in CAMERAS]
    assert opened.meta.names["action"] == ["x", "y", "z"]
    for row in range(0, len(shown), 5):
        frame = opened[row]
        assert frame["task"] == ordered.instruction_N[row]
        assert torch.equal(frame["action"], torch.from_numpy(ordered.action_ND[row]))
        assert frame["observation.state"][7] == ordered.gripper_width_N[row]
        pixels = (frame["observation.images.wrist"] * 255.0).round().to(torch.uint8)
        assert np.array_equal(pixels.permute(1, 2, 0).numpy(), ordered.image_NC[row, 1])


def test_lerobot_takes_one_episode_and_several_actions(
    shown: Demonstrations, lerobot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    library = pytest.importorskip("lerobot.datasets.lerobot_dataset", exc_type=ImportError)
    ahead = {"action": [0.0, 0.1, 0.2]}
    opened = library.LeRobotDataset("a/b", root=lerobot, episodes=[2], delta_timestamps=ahead)
    action_ND = shown.in_order().action_ND[shown.in_order().episode_N == 2]
    assert len(opened) == len(action_ND)
    assert np.array_equal(opened[0]["action"].numpy(), action_ND[:3])


def test_success_stands_in_the_metadata(shown: Demonstrations, lerobot: Path) -> None:
    episodes = pq.read_table(lerobot / "meta/episodes/chunk-000/file-000.parquet")
    assert episodes["success"].to_pylist() == shown.success_E.tolist()
    frames = pq.read_table(lerobot / "data/chunk-000/file-000.parquet")
    done = np.array(frames["next.done"].to_pylist())
    assert done.sum() == EPISODES
    assert np.array(frames["next.success"].to_pylist())[done].tolist() == shown.success_E.tolist()
    said = json.loads((lerobot / "meta/rlrobo.json").read_text())
    assert (said["noise"], said["seed"], said["cameras"]) == (1.5, 4, ["front", "wrist"])
    assert (said["task"], said["action_dims"], said["control_hz"]) == ("reach", ["x", "y", "z"], 10)


def test_statistics_are_those_of_the_values(shown: Demonstrations, lerobot: Path) -> None:
    stats = json.loads((lerobot / "meta/stats.json").read_text())
    pixels = shown.image_NC[:, 1].reshape(-1, 3) / 255.0
    wrist = {k: np.array(v).ravel() for k, v in stats["observation.images.wrist"].items()}
    np.testing.assert_allclose(wrist["mean"], pixels.mean(0))
    np.testing.assert_allclose(wrist["std"], pixels.std(0))
    np.testing.assert_allclose([wrist["min"], wrist["max"]], [pixels.min(0), pixels.max(0)])
    np.testing.assert_allclose(wrist["q50"], np.median(pixels, axis=0), atol=1 / 255)
    np.testing.assert_allclose(stats["action"]["std"], shown.action_ND.std(0), rtol=1e-5)
    assert np.shape(stats["observation.images.wrist"]["q99"]) == (3, 1, 1)
    assert stats["action"]["count"] == [len(shown)]


def test_large_sets_are_split(
    shown: Demonstrations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.lerobot.writer, "MEGABYTES_PER_FILE", 0.02)
    monkeypatch.setattr(datasets.lerobot.writer, "FILES_PER_CHUNK", 2)
    datasets.write(shown, ORIGIN, tmp_path / "set", "lerobot")
    files = [str(f.relative_to(tmp_path / "set")) for f in (tmp_path / "set/data").rglob("*.p*")]
    assert {"data/chunk-000/file-001.parquet", "data/chunk-001/file-000.parquet"} <= set(files)
    assert_equal(shown.in_order(), datasets.read(tmp_path / "set")[0])


def test_a_single_action_is_a_plain_number(shown: Demonstrations, tmp_path: Path) -> None:
    narrow = replace(shown, action_ND=shown.action_ND[:, :1].copy())
    datasets.write(narrow, replace(ORIGIN, action_dims=("x",)), tmp_path / "set", "lerobot")
    assert_equal(narrow.in_order(), datasets.read(tmp_path / "set")[0])


@pytest.mark.parametrize("name", ["data/chunk-000/file-000", "meta/tasks"])
def test_a_truncated_file_is_named(lerobot: Path, name: str) -> None:
    (file,) = lerobot.glob(f"{name}.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f"{file} is missing or cut off"):
        datasets.read(lerobot)


@pytest.mark.parametrize(
    ("changed", "feature"),
    [
        ({"cameras": ["front", "overview"]}, r"observation.images.overview \(image of shape"),
        ({"action_dims": ["x", "y"]}, r"action \(float32 of shape \[2\]"),
        ({"image_size": 56}, r"observation.images.front \(image of shape \[56, 56, 3\]"),
    ],
)
def test_metadata_that_contradict_are_refused(
    lerobot: Path, changed: dict[str, object], feature: str
) -> None:
    file = lerobot / "meta/rlrobo.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    with pytest.raises(ValueError, match=f"contradict each other in {feature}"):
        datasets.read(lerobot)


def test_missing_frames_are_counted(lerobot: Path, shown: Demonstrations) -> None:
    (file,) = lerobot.glob("data/*/*.parquet")
    pq.write_table(pq.read_table(file)[:-3], file)
    with pytest.raises(ValueError, match=f"{len(shown) - 3} of the {len(shown)} frames"):
        datasets.read(lerobot)


def test_a_broken_image_is_named(lerobot: Path) -> None:
    (file,) = lerobot.glob("data/*/*.parquet")
    table = pq.read_table(file)
    images = table["observation.images.front"].to_pylist()
    images[3]["bytes"] = images[3]["bytes"][: len(images[3]["bytes"]) // 2]
    column = pa.array(images, table.schema.field("observation.images.front").type)
    pq.write_table(table.set_column(0, "observation.images.front", column), file)
    with pytest.raises(ValueError, match="frame 3 of camera front"):
        datasets.read(lerobot)


def test_foreign_and_old_lerobot_sets_are_refused(lerobot: Path) -> None:
    info = json.loads((lerobot / "meta/info.json").read_text())
    (lerobot / "meta/info.json").write_text(json.dumps(info | {"codebase_version": "v2.1"}))
    with pytest.raises(ValueError, match=r"format v2.1, not v3.0"):
        datasets.read(lerobot)
    (lerobot / "meta/info.json").write_text(json.dumps(info))
    (lerobot / "meta/rlrobo.json").unlink()
    with pytest.raises(ValueError, match=r"no meta/rlrobo.json: it was not written by rlrobo"):
        datasets.read(lerobot)


def test_an_interrupted_lerobot_set_is_none(
    shown: Demonstrations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.lerobot.writer, "image_stats", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        datasets.write(shown, ORIGIN, tmp_path / "set", "lerobot")
    with pytest.raises(ValueError, match="is no data set"):
        datasets.read(tmp_path / "set")


# rosbag2 ---------------------------------------------------------------------------------


POSE = "geometry_msgs/msg/PoseStamped"


def messages(bag: Path, topic: str, msgtype: str) -> list[tuple[int, Any]]:
    """(stamp [ns], message) of a bag in which nothing is wrong."""
    return [(it.stamp, it.value) for it in decoded(open_bag(bag), {topic: msgtype}, pytest.fail)]


def test_rosbags_counts_and_pixels(shown: Demonstrations, rosbag: Path) -> None:
    ordered, n = shown.in_order(), len(shown)
    with AnyReader([rosbag]) as reader:  # which takes its types from the bag alone
        counts = {c.topic: c.msgcount for c in reader.connections}
        front = [c for c in reader.connections if c.topic == "/camera/image_raw"]
        images = [reader.deserialize(d, c.msgtype) for c, _, d in reader.messages(front)]
    framed = ["/camera/image_raw", "/wrist_camera/image_raw", "/current_pose", "/action"]
    framed += ["/gripper/joint_states", "/target_pose", "/gripper_command"]
    ends = dict.fromkeys(["/episode", "/instruction"], EPISODES)
    assert counts == dict.fromkeys(framed, n) | ends
    assert [bytes(m.data) for m in images] == [image.tobytes() for image in ordered.image_NC[:, 0]]
    assert {(m.encoding, m.height, m.width, m.step) for m in images} == {("rgb8", 28, 28, 84)}


def test_stamps_are_of_the_control_rate(shown: Demonstrations, rosbag: Path) -> None:
    poses = messages(rosbag, "/current_pose", POSE)
    stamp_N = np.array([stamp for stamp, _ in poses])
    ordered = shown.in_order()
    same = np.diff(ordered.episode_N) == 0
    assert set(np.diff(stamp_N)[same].tolist()) == {10**8}
    assert (np.diff(stamp_N)[~same] > 10**9).all()
    assert np.array_equal([nanoseconds(msg.header.stamp) for _, msg in poses], stamp_N)


def test_target_pose_is_the_action(shown: Demonstrations, rosbag: Path) -> None:
    points = [msg.pose.position for _, msg in messages(rosbag, "/target_pose", POSE)]
    ordered = shown.in_order()
    wanted = ordered.ee_pose_N[:, :3] + ordered.action_ND * TASK.max_step
    np.testing.assert_allclose([(p.x, p.y, p.z) for p in points], wanted, atol=1e-6)
    commands = messages(rosbag, "/gripper_command", "sensor_msgs/msg/JointState")
    widths = [gripper_from_msg(msg) for _, msg in commands]
    np.testing.assert_allclose(widths, TASK.hold_width)


def test_a_written_bag_is_read_like_a_recorded_one(shown: Demonstrations, rosbag: Path) -> None:
    """From the targets instead of the actions: the same but for rounding."""
    recorded = replace(open_bag(rosbag), facts={})
    again = datasets.rosbag.read_recorded(recorded, ORIGIN, complain=pytest.fail)
    ordered = shown.in_order()
    assert np.array_equal(again.image_NC, ordered.image_NC)
    clipped_ND = np.clip(ordered.action_ND, -1, 1)
    np.testing.assert_allclose(again.action_ND, clipped_ND, atol=1e-5)


def test_episodes_end_as_they_went(shown: Demonstrations, rosbag: Path) -> None:
    ends = [msg for _, msg in messages(rosbag, "/episode", "rlrobo_msgs/msg/Episode")]
    ordered = shown.in_order()
    assert [msg.success for msg in ends] == shown.success_E.tolist()
    assert [msg.steps for msg in ends] == np.bincount(ordered.episode_N).tolist()
    starts = np.flatnonzero(ordered.step_N == 0)
    assert [msg.instruction for msg in ends] == [ordered.instruction_N[row] for row in starts]


def test_a_bag_without_an_origin_is_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "foreign") as writer:
        writer.write("/instruction", make_message("std_msgs/msg/String", data="hello"), 1)
    with pytest.raises(ValueError, match="foreign does not say of which task it is"):
        datasets.read(tmp_path / "foreign")


def test_of_a_bag_that_is_cut_off_the_whole_episodes_are_kept(
    shown: Demonstrations, rosbag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = open_bag(rosbag)
    with BagWriter(rosbag.parent / "cut", bag.facts) as writer:
        for topic, stamp, cdr in bag.messages():
            writer.write_bytes(topic, bag.channels[topic].msgtype, cdr, stamp)
            writer.flush()
    (storage,) = (rosbag.parent / "cut").glob("*.mcap")
    storage.write_bytes(storage.read_bytes()[: storage.stat().st_size // 2])
    left, _ = datasets.read(rosbag.parent / "cut")
    count = len(left.success_E)
    assert 0 < count < EPISODES
    kept = shown.in_order().episode_N < count
    assert np.array_equal(left.action_ND, shown.in_order().action_ND[kept])
    assert "cut off after" in capsys.readouterr().err


def test_frames_that_lost_a_message_are_left_out_and_named(
    shown: Demonstrations, rosbag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag, count = open_bag(rosbag), Counter()
    with BagWriter(rosbag.parent / "lossy", bag.facts) as writer:
        for topic, stamp, cdr in bag.messages():
            count[topic] += 1
            if topic != "/wrist_camera/image_raw" or count[topic] not in (2, 5):
                writer.write_bytes(topic, bag.channels[topic].msgtype, cdr, stamp)
    left, _ = datasets.read(rosbag.parent / "lossy")
    assert len(left) == len(shown) - 2
    assert "no /wrist_camera/image_raw within 50 ms" in capsys.readouterr().err
