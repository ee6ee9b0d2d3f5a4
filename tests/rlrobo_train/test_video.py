"""Films hold every frame of every episode and show how each ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from rlrobo_train.examination import film
from rlrobo_train.groups import Decision, RolloutGroup, Seen
from rlrobo_train.video import BACKGROUND, FAILURE, SUCCESS, Episode, write_video

TILE = 64
FPS = 10


def gray(steps: int, success: bool, level: int = 128) -> Episode:
    return Episode(np.full((steps, 20, 20, 3), level, np.uint8), success, "reach the green ball")


def read_mp4(path: Path) -> np.ndarray:
    """u8[T, H, W, 3]."""
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    frames = [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]
    return np.stack(frames)


def read_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        frames = []
        for t in range(image.n_frames):
            image.seek(t)
            image.load()
            repeats = round(image.info["duration"] * FPS / 1000)
            frames += [np.asarray(image.convert("RGB"))] * repeats
    return np.stack(frames)


def near(pixel: np.ndarray, color: tuple[int, int, int]) -> bool:
    """Lossy compression moves colours a little."""
    return bool(np.abs(pixel.astype(int) - color).max() < 40)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_ends_are_framed_green_or_red(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    write_video(path, [gray(3, True), gray(6, False)], FPS, TILE)
    frames = read_mp4(path) if suffix == ".mp4" else read_pillow(path)
    left, right = frames[:, 3, TILE // 2], frames[:, 3, TILE + TILE // 2]
    assert near(left[2], (128,) * 3) and near(right[2], (128,) * 3)
    assert near(left[3], SUCCESS) and near(right[3], (128,) * 3)
    assert near(left[-1], SUCCESS) and near(right[-1], FAILURE)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_a_film_lasts_as_long_as_its_longest_episode_and_a_second(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_video(path, [gray(3, True), gray(7, False)], FPS, TILE)
    assert len(read_mp4(path)) == 7 + FPS


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_episodes_stand_in_a_grid_in_their_order(tmp_path: Path, count: int) -> None:
    levels = np.linspace(60, 240, count).astype(int)
    episodes = [gray(2, True, int(level)) for level in levels]
    frame = read_mp4(write_video(tmp_path / "film.mp4", episodes, FPS, TILE))[0]
    columns = frame.shape[1] // TILE
    height = frame.shape[0] // -(-count // columns)
    for n, level in enumerate(levels):
        row, column = divmod(n, columns)
        center = frame[row * height + TILE // 2, column * TILE + TILE // 2]
        assert near(center, (int(level),) * 3)
    if count < columns * (frame.shape[0] // height):
        assert near(frame[-height // 2, -TILE // 2], BACKGROUND)


def test_odd_sizes_and_long_captions_are_fine(tmp_path: Path) -> None:
    episode = Episode(np.zeros((2, 33, 47, 3), np.uint8), False, "move " * 50)
    frames = read_mp4(write_video(tmp_path / "film.mp4", [episode], FPS, 101))
    assert frames.shape[1] % 2 == frames.shape[2] % 2 == 0


def test_without_ffmpeg_the_film_is_a_gif(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['imageio_ffmpeg'] = None\n"
        "import numpy as np; from pathlib import Path\n"
        "from rlrobo_train.video import Episode, write_video\n"
        "episode = Episode(np.zeros((3, 8, 8, 3), np.uint8), True)\n"
        "print(write_video(Path(sys.argv[1]), [episode]).name)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "film.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "film.gif\n"
    assert len(read_pillow(tmp_path / "film.gif")) >= 1


@pytest.mark.parametrize("episodes", [[], [gray(0, True)]], ids=["none", "empty"])
def test_nothing_to_film_is_said(
    tmp_path: Path, episodes: list[Episode], caplog: pytest.LogCaptureFixture
) -> None:
    assert write_video(tmp_path / "film.mp4", episodes) is None
    assert "no episode has frames" in caplog.text
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_film_that_cannot_be_written_does_not_end_the_run(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"film{suffix}"
    path.mkdir()
    assert write_video(path, [gray(2, True)], FPS, TILE) is None
    assert str(path) in caplog.text
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_film_ends_with_what_was_seen_after_the_last_step() -> None:
    """In which success happens."""
    frames = [np.full((2, 8, 8, 3), level, np.uint8) for level in range(3)]
    seen = [Seen(it, "reach the green ball", np.zeros(7, np.float32), 0.0) for it in frames]
    token_ST, logprob_ST = np.zeros((1, 3), np.int64), np.zeros((1, 3), np.float32)
    decisions = tuple(
        Decision(
            it.image_C, it.instruction, it.ee_pose, 0.0, t, np.zeros(1, int), token_ST, logprob_ST
        )
        for t, it in enumerate(seen[:2])
    )
    did = np.ones((1, 2), bool)
    group = RolloutGroup(0, decisions, did * np.float32(0), did, did, 1.0, {}, end={0: seen[2]})
    episode = film(group)
    assert episode.success and episode.frames[:, 0, 0, 0].tolist() == [0, 1, 2]
