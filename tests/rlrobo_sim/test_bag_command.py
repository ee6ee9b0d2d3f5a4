"""`rlrobo bag export` and `import`: an arm's bag to a LeRobot data set and back."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from recordings import Take, pixels, record

from rlrobo_core.bag_reader import open_bag
from rlrobo_core.tasks import make_task
from rlrobo_sim import datasets
from rlrobo_sim.datasets.command import main
from rlrobo_sim.datasets.origin import fitting

TAKES = (Take(), Take("put it down", success=False), Take(judged=False, success=False))


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return record(tmp_path / "bag", *TAKES)


def rlrobo_bag(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    """As the command is called by `rlrobo bag`."""
    monkeypatch.setattr(sys, "argv", ["bag", *map(str, words)])
    main()


def test_an_arms_bag_becomes_a_data_set_that_a_policy_can_imitate(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    options = ["--task", "pick_and_place", "--image-size", 24]
    rlrobo_bag(monkeypatch, "export", bag, out, *options)
    assert "3 episodes, 1 of them succeeded, 24 frames" in capsys.readouterr().out
    shown, origin = datasets.read(out)
    assert origin.cameras == ("front", "wrist") and shown.success_E.tolist() == [True, False, False]
    task = make_task("pick_and_place")
    seen = fitting(shown, origin, task, ("wrist",), 24)
    assert seen.image_NC.shape == (24, 1, 24, 24, 3)

    rlrobo_bag(monkeypatch, "export", bag, tmp_path / "good", *options, "--keep", "succeeded")
    good, _ = datasets.read(tmp_path / "good")
    assert np.array_equal(good.action_ND, shown.action_ND[shown.episode_N == 0])


def test_imported_it_is_the_same_bit_for_bit_and_looks_like_an_arms_bag(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, back, second = (tmp_path / name for name in ("first", "back", "second"))
    rlrobo_bag(monkeypatch, "export", bag, first, "--task", "pick_and_place", "--image-size", 24)
    rlrobo_bag(monkeypatch, "import", first, back)
    assert set(open_bag(bag).channels) | {"/action"} == set(open_bag(back).channels)
    rlrobo_bag(monkeypatch, "export", back, second)
    for file in ("data/chunk-000/file-000.parquet", "meta/info.json", "meta/rlrobo.json"):
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_lerobot_itself_opens_it(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    library = pytest.importorskip("lerobot.datasets.lerobot_dataset", exc_type=ImportError)
    rlrobo_bag(
        monkeypatch, "export", bag, tmp_path / "set", "--task", "pick_and_place", "--image-size", 40
    )
    opened = library.LeRobotDataset("an/arm", root=tmp_path / "set")
    shown, _ = datasets.read(tmp_path / "set")
    assert (len(opened), opened.num_episodes, opened.fps) == (24, 3, 10)
    assert opened.meta.names["action"] == ["x", "y", "z", "gripper"]
    for row in range(24):
        frame = opened[row]
        assert frame["task"] == shown.instruction_N[row]
        assert np.array_equal(frame["action"].numpy(), shown.action_ND[row])
        seen = (frame["observation.images.front"] * 255.0).round().numpy()
        assert (seen == pixels(3 * (row % 8))[0, 0, 0]).all()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "does not say of which task .*--task"),
        (("--task", "dance"), "unknown task 'dance'; choose one of"),
        (("--task", "reach", "--cameras", "side"), r"no topic /side_camera/image_raw \(sensor_m"),
        (("--task", "reach", "--namespace", "left"), r"no topic /left/camera/image_raw \(sensor_m"),
    ],
)
def test_what_cannot_be_exported_is_told_in_a_sentence(
    bag: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    sentence: str,
) -> None:
    with pytest.raises(SystemExit) as ended:
        rlrobo_bag(monkeypatch, "export", bag, tmp_path / "set", *words)
    assert ended.value.code == 2
    assert re.search(f"^error: .*{sentence}", capsys.readouterr().err)
    assert not (tmp_path / "set").exists()


def test_a_bag_of_another_task_is_named(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rlrobo_bag(monkeypatch, "export", bag, tmp_path / "set", "--task", "pick_and_place")
    rlrobo_bag(monkeypatch, "import", tmp_path / "set", tmp_path / "back")
    with pytest.raises(SystemExit):
        rlrobo_bag(monkeypatch, "export", tmp_path / "back", tmp_path / "x", "--task", "stack")
    assert "is of task pick_and_place, not stack: leave --task out" in capsys.readouterr().err


def test_only_a_lerobot_data_set_is_imported_and_nothing_is_overwritten(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        rlrobo_bag(monkeypatch, "import", bag, tmp_path / "new")
    assert "is no LeRobot data set: it has no meta/info.json" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        rlrobo_bag(monkeypatch, "export", bag, bag, "--task", "reach")
    assert "exists already and is not overwritten" in capsys.readouterr().err
