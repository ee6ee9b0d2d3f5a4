"""Episodes out of an arm's recording: what was seen goes with what was commanded, and what is not
there is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import MS, TASK, Take, commanded, pose, record

from rlrobo_core.bag import BagWriter
from rlrobo_core.bag_reader import open_bag
from rlrobo_sim.datasets import Origin, rosbag
from rlrobo_sim.datasets.rosbag.trajectory import Track
from rlrobo_sim.demonstrations import Demonstrations

ORIGIN = Origin.of(TASK, "default", ("front", "wrist"), 24, noise=0.0, seed=0)


def read(path: Path, **options: Any) -> tuple[Demonstrations, list[str]]:
    """With what was complained about."""
    sentences: list[str] = []
    origin = options.pop("origin", ORIGIN)
    shown = rosbag.read_recorded(open_bag(path), origin, complain=sentences.append, **options)
    return shown, sentences


def test_each_command_goes_with_the_image_that_it_answers(tmp_path: Path) -> None:
    takes = (Take(), Take("put the cube down", success=False), Take(judged=False, success=False))
    shown, sentences = read(record(tmp_path / "bag", *takes))
    assert not sentences
    steps = takes[0].steps
    assert len(shown) == 3 * steps
    assert shown.image_NC.shape == (3 * steps, 2, 24, 24, 3)
    numbers = [3 * step for _ in takes for step in range(steps)]
    assert shown.image_NC[:, 0, 0, 0, 0].tolist() == numbers
    assert (shown.image_NC[:, 1] == 100).all()
    assert shown.step_N.tolist() == 3 * list(range(steps))
    assert shown.episode_N.tolist() == [e for e in range(3) for _ in range(steps)]
    assert shown.success_E.tolist() == [True, False, False]
    assert shown.instruction_N[steps] == "put the cube down"
    # The pose of the image's time, to within a period of the arm; the action leads from there.
    seen = np.array([pose(number * 1000 * MS // 30) for number in numbers])
    assert np.abs(shown.ee_pose_N - seen).max() <= 0.1 * 0.01 + 1e-6
    wanted = np.array([commanded(step) for _ in takes for step in range(steps)])
    assert np.abs(shown.action_ND - wanted).max() <= 0.1 * 0.01 / TASK.max_step + 1e-5
    np.testing.assert_allclose(shown.gripper_width_N, 0.04)


@pytest.mark.parametrize(("keep", "kept"), [("all", 3), ("judged", 2), ("succeeded", 1)])
def test_episodes_are_kept_by_how_they_were_judged(tmp_path: Path, keep: str, kept: int) -> None:
    takes = (Take(), Take(success=False), Take(judged=False, success=False))
    shown, _ = read(record(tmp_path / "bag", *takes), keep=keep)
    assert len(shown.success_E) == kept and shown.success_E[0]


def test_an_episode_without_an_end_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    lost = Take("the one that was lost", ended=False)
    bag = record(tmp_path / "bag", Take(), lost, Take(success=False), lost)
    shown, sentences = read(bag)
    assert shown.success_E.tolist() == [True, False]
    assert "the one that was lost" not in shown.instruction_N
    assert len(sentences) == 2
    assert all("8 commands for 'the one that was lost' are left out" in it for it in sentences)


def test_an_episode_without_its_beginning_is_named(tmp_path: Path) -> None:
    """As where the oldest files of a long recording were deleted."""
    bag = record(tmp_path / "bag", Take(without=("/instruction",), heard_ms=-1), Take("later"))
    shown, (sentence,) = read(bag)
    assert set(shown.instruction_N) == {"later"}
    assert f"episode 1 ({Take.instruction!r}) is left out: its instruction is not" in sentence


def test_an_episode_of_which_nothing_pairs_is_named(tmp_path: Path) -> None:
    blind = Take(without=("/current_pose",), heard_ms=-1)
    shown, (sentence,) = read(record(tmp_path / "bag", Take(success=False), blind))
    assert shown.success_E.tolist() == [False]
    assert "8 of the 8 commands of episode 2" in sentence


def test_commands_come_at_the_control_rate_at_most(tmp_path: Path) -> None:
    """A person who drives the arm commands with every image."""
    shown, _ = read(record(tmp_path / "bag", Take(every=1, steps=24)))
    assert shown.image_NC[:, 0, 0, 0, 0].tolist() == list(range(0, 24, 3))


def test_a_pause_and_what_was_not_heard_are_told(tmp_path: Path) -> None:
    paused = record(tmp_path / "paused", Take(silent=range(2, 6)))
    shown, (sentence,) = read(paused)
    assert len(shown) == 4 and "up to 0.50 s apart, and a control step is 0.10 s" in sentence
    deaf = record(tmp_path / "deaf", Take(without=("/gripper/joint_states",)))
    shown, sentences = read(deaf)
    assert len(shown) == 3
    assert "no /gripper/joint_states within 50 ms" in sentences[0] and "5 of the 8" in sentences[0]


def test_a_namespace_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", Take(), namespace="/left")
    assert len(read(bag, namespace="left")[0]) == 8
    with pytest.raises(ValueError, match=r"no topic /camera/image_raw \(sensor_msgs/msg/Image\)"):
        read(bag)


def test_a_missing_topic_is_named_with_its_type_and_what_there_is(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", Take())
    origin = replace(ORIGIN, cameras=("front", "side"))
    with pytest.raises(ValueError, match=r"no topic /side_camera/image_raw \(sensor.*it has: .*/i"):
        read(bag, origin=origin)


def test_a_topic_of_another_type_or_definition_is_named(tmp_path: Path) -> None:
    path = record(tmp_path / "bag", Take())
    bag = open_bag(path)
    for change, sentence in (
        ({"msgtype": "std_msgs/msg/Int8"}, r"/episode of bag .* is of type std_msgs/msg/Int8, not"),
        ({"digest": "RIHS01_" + 64 * "0"}, r"/episode .*another definition of rlrobo_msgs/msg/Ep"),
    ):
        channels = bag.channels | {"/episode": bag.channels["/episode"]._replace(**change)}
        with pytest.raises(ValueError, match=sentence):
            rosbag.read_recorded(replace(bag, channels=channels), ORIGIN)


def test_of_a_bag_that_was_cut_off_the_whole_episodes_are_kept(tmp_path: Path) -> None:
    path = record(tmp_path / "bag", Take(), Take("lost"))
    (file,) = path.glob("*.mcap")
    whole = file.read_bytes()
    (path / "metadata.yaml").unlink()
    file.write_bytes(whole[: int(0.6 * len(whole))])  # in the middle of the second one
    shown, (sentence,) = read(path)
    assert len(shown.success_E) == 1 and set(shown.instruction_N) == {Take.instruction}
    assert f"{file} is cut off after" in sentence


def test_a_message_that_is_malformed_is_named_and_the_others_are_used(tmp_path: Path) -> None:
    broken = replace_message(record(tmp_path / "bag", Take()), tmp_path / "broken", "/current_pose")
    shown, sentences = read(broken)
    assert len(shown) >= 7
    assert "a message of /current_pose (geometry_msgs/msg/PoseStamped)" in sentences[0]


def replace_message(path: Path, out: Path, topic: str) -> Path:
    """A copy whose first message of the topic is torn."""
    torn = False
    bag = open_bag(path)
    with BagWriter(out) as writer:
        for name, stamp, cdr in bag.messages():
            tear = name == topic and not torn
            torn |= tear
            writer.write_bytes(name, bag.channels[name].msgtype, cdr[:20] if tear else cdr, stamp)
    return out


def test_without_a_whole_episode_there_is_nothing_to_read(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", Take(ended=False), Take(judged=False, success=False, steps=0))
    with pytest.raises(ValueError, match="holds no episode to keep .*operate episode"):
        read(bag)


def test_a_recording_does_not_say_of_which_task_it_is(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", Take())
    with pytest.raises(ValueError, match="does not say of which task .*rlrobo bag export"):
        rosbag.read(bag)


def test_the_nearest_of_a_track_is_the_nearest() -> None:
    track, rng = Track(), np.random.default_rng(0)
    for stamp in rng.integers(0, 10**9, 50).tolist():  # best effort: in any order
        track.add(stamp, stamp)
    wanted_L = rng.integers(0, 10**9, 20)
    index_L, off_L = track.nearest(wanted_L)
    assert np.array_equal(np.abs(track.take(index_L) - wanted_L), off_L)
    assert all(
        abs(stamp - want) >= off
        for want, off in zip(wanted_L, off_L, strict=True)
        for stamp in track.stamps
    )
