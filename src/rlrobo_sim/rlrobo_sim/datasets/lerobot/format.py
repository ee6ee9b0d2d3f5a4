"""What writing and reading a LeRobot data set share: its files and features."""

from __future__ import annotations

from typing import Any

from rlrobo_sim.datasets.origin import Origin

MARK = "meta/info.json"
VERSION = "v3.0"
"""lerobot.datasets.lerobot_dataset.CODEBASE_VERSION."""
ORIGIN = "meta/rlrobo.json"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
FILES_PER_CHUNK, MEGABYTES_PER_FILE = 1000, 100
"""LeRobot's defaults."""
STATE = ("x", "y", "z", "qx", "qy", "qz", "qw", "gripper_width")
"""`observation.state`: measured tool pose in the base frame and finger distance [m]."""


def image_key(camera: str) -> str:
    return f"observation.images.{camera}"


def features(origin: Origin) -> dict[str, dict[str, Any]]:
    """As in info.json."""
    pixels = [origin.image_size, origin.image_size, 3]
    scalars = {
        "next.done": "bool",
        "next.success": "bool",
        "timestamp": "float32",
        "frame_index": "int64",
        "episode_index": "int64",
        "index": "int64",
        "task_index": "int64",
    }
    images = {
        image_key(camera): _feature("image", pixels, ["height", "width", "channels"])
        for camera in origin.cameras
    }
    vectors = {
        "observation.state": _feature("float32", [len(STATE)], list(STATE)),
        "action": _feature("float32", [len(origin.action_dims)], list(origin.action_dims)),
    }
    return images | vectors | {name: _feature(kind, [1], None) for name, kind in scalars.items()}


def _feature(dtype: str, shape: list[int], names: list[str] | None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "names": names}
