"""Films of episodes, side by side, large enough to watch."""

from __future__ import annotations

import errno
import logging
import math
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rlrobo_core.errors import DISK_FULL

SUCCESS, FAILURE, BACKGROUND = (46, 160, 67), (207, 34, 46), (24, 26, 30)
BORDER = 6
"""Thickness of the frame that shows how an episode ended [px]."""
CAPTION = 22
"""Height of the caption under a tile [px]."""
HOLD_S = 1.0
"""How long the last frame stays [s]."""

Frame = NDArray[np.uint8]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """One episode to be filmed."""

    frames: Frame
    """u8[T, H, W, 3], RGB."""
    success: bool
    caption: str = ""


def write_video(
    path: Path, episodes: Sequence[Episode], fps: int = 10, tile_size: int = 224
) -> Path | None:
    """Films all episodes at once in a grid; returns the file written. Episodes without frames
    are left out.

    A tile is `tile_size` pixels wide. Once its episode has ended the last frame stays in a green
    frame (success) or a red one. `.gif` and `.webp` are written by Pillow, `.mp4` by
    imageio-ffmpeg, or as `.gif` where that is not installed.
    A run does not end for want of a film: a warning says why there is none. Only a full disk
    raises ValueError, for what the run writes next would not fit either.
    """
    filmed = [episode for episode in episodes if episode.frames.size]
    if not filmed:
        log.warning("no film %s: no episode has frames", path)
        return None
    try:
        return _write(path, filmed, fps, tile_size)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise ValueError(
                f"cannot write {path}: the disk is full; free some space, then continue with resume"
            ) from error
        log.warning("no film %s: %s", path, error)
        return None


def _write(path: Path, episodes: Sequence[Episode], fps: int, tile_size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mp4" and not _has_ffmpeg():
        path = path.with_suffix(".gif")
    grid = _grid_frames(episodes, tile_size, hold=round(HOLD_S * fps))
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        (_write_mp4 if path.suffix == ".mp4" else _write_pillow)(temporary, grid, fps)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _grid_frames(episodes: Sequence[Episode], size: int, hold: int) -> Iterator[Frame]:
    columns = math.ceil(math.sqrt(len(episodes)))
    tiles = [_Tile(episode, size) for episode in episodes]
    # Rows are filled up with empty tiles.
    blank = np.full_like(tiles[0].at(0), BACKGROUND)
    for t in range(max(len(episode.frames) for episode in episodes) + hold):
        shown = [tile.at(t) for tile in tiles]
        shown += [blank] * (-len(shown) % columns)
        rows = [np.hstack(shown[i : i + columns]) for i in range(0, len(shown), columns)]
        yield np.vstack(rows)


class _Tile:
    """One episode's place in the grid: image, frame of its outcome and caption."""

    def __init__(self, episode: Episode, size: int) -> None:
        _, height, width, _ = episode.frames.shape
        # H.264 wants even sizes, and the caption's height is even.
        self._image_size = (_even(size), _even(size * height / width))
        self._episode = episode
        self._end: Frame | None = None

    def at(self, t: int) -> Frame:
        if t < len(self._episode.frames):
            return self._draw(self._episode.frames[t], outcome=None)
        if self._end is None:
            self._end = self._draw(self._episode.frames[-1], outcome=self._episode.success)
        return self._end

    def _draw(self, frame: Frame, outcome: bool | None) -> Frame:
        width, height = self._image_size
        image = Image.fromarray(frame).resize(self._image_size, Image.Resampling.BICUBIC)
        tile = Image.new("RGB", (width, height + CAPTION), BACKGROUND)
        tile.paste(image)
        pen = ImageDraw.Draw(tile)
        font = ImageFont.load_default(13)
        text = self._episode.caption
        while pen.textlength(text, font) > width - 12:
            text = text[:-2] + "…"
        pen.text((6, height + CAPTION / 2), text, (235, 235, 235), font, anchor="lm")
        if outcome is not None:
            color = SUCCESS if outcome else FAILURE
            pen.rectangle((0, 0, width - 1, height - 1), outline=color, width=BORDER)
        return np.asarray(tile)


def _write_mp4(path: Path, frames: Iterator[Frame], fps: int) -> None:
    """Runs the ffmpeg that imageio-ffmpeg brings along; OSError with what it complains of."""
    import imageio_ffmpeg

    first = next(frames)
    height, width, _ = first.shape
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps}", "-i", "-",
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", str(path),
    ]  # fmt: skip
    # In a session of its own Ctrl-C does not reach it: it ends with its input.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as ffmpeg:
        assert ffmpeg.stdin is not None and ffmpeg.stderr is not None
        try:
            for frame in chain([first], frames):
                ffmpeg.stdin.write(frame.tobytes())
            ffmpeg.stdin.close()
        except BrokenPipeError:
            pass  # It has given up and says why.
        complaint = ffmpeg.stderr.read().decode(errors="replace")
    if ffmpeg.returncode:
        code = next((code for code in DISK_FULL if os.strerror(code) in complaint), errno.EIO)
        raise OSError(code, complaint.partition("\n")[0])


def _write_pillow(path: Path, frames: Iterator[Frame], fps: int) -> None:
    first, *rest = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)


def _has_ffmpeg() -> bool:
    try:
        import imageio_ffmpeg  # noqa: F401
    except ImportError:
        return False
    return True


def _even(value: float) -> int:
    return 2 * round(value / 2)
