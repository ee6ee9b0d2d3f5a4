"""Demonstrations as a LeRobot data set, format v3.0 (lerobot 0.4 to 0.6).

Written with pyarrow (optional) and not through lerobot, whose pins (torchvision, an older torch,
video codecs) do not go with ours. Images are PNGs inside the parquet files, LeRobot's dtype
`image`: no codec needed, and not a bit is lost.

    meta/info.json  meta/stats.json  meta/tasks.parquet       as LeRobot defines them
    meta/episodes/chunk-000/file-000.parquet                  one row an episode, and `success`
    data/chunk-000/file-000.parquet …                         one row a frame
    meta/rlrobo.json                                          `Origin`, LeRobot ignores it
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rlrobo_sim.datasets.lerobot_stats import image_stats, vector_stats
from rlrobo_sim.datasets.origin import Origin
from rlrobo_sim.demonstrations import Demonstrations

MARK = "meta/info.json"
INSTALL = "pip install pyarrow==26.0.1"
VERSION = "v3.0"
"""lerobot.datasets.lerobot_dataset.CODEBASE_VERSION."""
ORIGIN = "meta/rlrobo.json"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
FILES_PER_CHUNK, MEGABYTES_PER_FILE = 1000, 100
"""LeRobot's defaults."""
STATE = ("x", "y", "z", "qx", "qy", "qz", "qw", "gripper_width")
"""`observation.state`: measured tool pose in the base frame and finger distance [m]."""


def check(needed_by: str) -> None:
    """ValueError, with the cure, where pyarrow is not installed."""
    if not find_spec("pyarrow"):
        raise ValueError(f"{needed_by} needs pyarrow, which is not installed: {INSTALL}")


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


# Writing ---------------------------------------------------------------------------------


def write(shown: Demonstrations, origin: Origin, path: Path) -> None:
    """`info.json` comes last: without it, an interrupted data set is none."""
    check("writing a LeRobot data set")
    if not float(origin.control_hz).is_integer():
        raise ValueError(
            f"LeRobot's fps is a whole number and the task's control_hz is {origin.control_hz}: "
            "write rosbag2 instead"
        )
    values = _values(shown, origin)
    places = list(_write_data(shown, origin, values, path))
    _write_tasks(shown, path)
    _write_episodes(shown, places, path)
    stats = {name: vector_stats(value_ND) for name, value_ND in values.items()}
    for number, camera in enumerate(origin.cameras):
        stats[image_key(camera)] = image_stats(shown.image_NC[:, number])
    _write_text(path / "meta/stats.json", json.dumps(stats, indent=2))
    _write_text(path / ORIGIN, origin.to_json())
    _write_text(path / MARK, json.dumps(_info(shown, origin), indent=2))


def _values(shown: Demonstrations, origin: Origin) -> dict[str, NDArray[Any]]:
    """feature -> [N, D], of all but the images."""
    length_E = _lengths(shown)
    done_N = shown.step_N + 1 == length_E[shown.episode_N]
    tasks = _tasks(shown)
    columns = {
        "observation.state": np.column_stack([shown.ee_pose_N, shown.gripper_width_N]),
        "action": shown.action_ND,
        "next.done": done_N,
        "next.success": done_N & shown.success_E[shown.episode_N],
        "timestamp": (shown.step_N / origin.control_hz).astype(np.float32),
        "frame_index": shown.step_N.astype(np.int64),
        "episode_index": shown.episode_N,
        "index": np.arange(len(shown)),
        "task_index": np.array([tasks[words] for words in shown.instruction_N]),
    }
    return {name: value.reshape(len(shown), -1) for name, value in columns.items()}


def _tasks(shown: Demonstrations) -> dict[str, int]:
    """instruction -> number; what LeRobot calls a task is what we call an instruction."""
    return {words: number for number, words in enumerate(dict.fromkeys(shown.instruction_N))}


def _lengths(shown: Demonstrations) -> NDArray[np.int64]:
    return np.bincount(shown.episode_N, minlength=len(shown.success_E))


@dataclass(frozen=True, slots=True)
class Place:
    """An episode's rows and file."""

    start: int
    stop: int
    chunk: int
    file: int


def _write_data(
    shown: Demonstrations, origin: Origin, values: dict[str, NDArray[Any]], path: Path
) -> Iterator[Place]:
    """A row group an episode, a new file after each hundred megabytes."""
    import pyarrow.parquet as pq

    writer, number, written = None, -1, 0
    stop_E = np.cumsum(_lengths(shown))
    for start, stop in zip([0, *stop_E[:-1].tolist()], stop_E.tolist(), strict=True):
        table = _table(shown, origin, values, slice(start, stop))
        if writer is None or written + table.nbytes > MEGABYTES_PER_FILE * 2**20:
            if writer is not None:
                writer.close()
            number, written = number + 1, 0
            chunk, file = divmod(number, FILES_PER_CHUNK)
            target = path / DATA.format(chunk_index=chunk, file_index=file)
            target.parent.mkdir(parents=True, exist_ok=True)
            writer = pq.ParquetWriter(target, table.schema)
        writer.write_table(table)
        written += table.nbytes
        yield Place(start, stop, *divmod(number, FILES_PER_CHUNK))
    if writer is not None:
        writer.close()


def _table(
    shown: Demonstrations, origin: Origin, values: dict[str, NDArray[Any]], rows: slice
) -> Any:
    import pyarrow as pa

    image_type = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {}
    for number, camera in enumerate(origin.cameras):
        files = [{"bytes": _png(image), "path": None} for image in shown.image_NC[rows, number]]
        columns[image_key(camera)] = pa.array(files, image_type)
    for name, value_ND in values.items():
        columns[name] = _column(value_ND[rows])
    return pa.table(columns)


def _column(value_ND: NDArray[Any]) -> Any:
    """A vector of one component is a plain number in LeRobot."""
    import pyarrow as pa

    flat = pa.array(value_ND.reshape(-1))
    width = value_ND.shape[1]
    return flat if width == 1 else pa.FixedSizeListArray.from_arrays(flat, width)


def _png(image: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _write_tasks(shown: Demonstrations, path: Path) -> None:
    """A pandas frame whose index is the instruction: pandas reads that from the metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tasks = _tasks(shown)
    table = pa.table({"task_index": list(tasks.values()), "task": list(tasks)})
    types = {"task": ("unicode", "object"), "task_index": ("int64", "int64")}
    columns = [
        {"name": name, "field_name": name, "pandas_type": own, "numpy_type": numpy}
        for name, (own, numpy) in types.items()
    ]
    pandas = {"index_columns": ["task"], "column_indexes": [], "columns": columns}
    (path / "meta").mkdir(exist_ok=True)
    table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
    pq.write_table(table, path / "meta/tasks.parquet")


def _write_episodes(shown: Demonstrations, places: list[Place], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (path / EPISODES).parent.mkdir(parents=True)
    columns = {
        "episode_index": list(range(len(places))),
        "tasks": [[shown.instruction_N[place.start]] for place in places],
        "length": [place.stop - place.start for place in places],
        "data/chunk_index": [place.chunk for place in places],
        "data/file_index": [place.file for place in places],
        "dataset_from_index": [place.start for place in places],
        "dataset_to_index": [place.stop for place in places],
        "meta/episodes/chunk_index": [0 for _ in places],
        "meta/episodes/file_index": [0 for _ in places],
        "success": shown.success_E.tolist(),
    }
    pq.write_table(pa.table(columns), path / EPISODES)


def _info(shown: Demonstrations, origin: Origin) -> dict[str, Any]:
    return {
        "codebase_version": VERSION,
        "robot_type": "panda",
        "total_episodes": len(shown.success_E),
        "total_frames": len(shown),
        "total_tasks": len(_tasks(shown)),
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": MEGABYTES_PER_FILE,
        "video_files_size_in_mb": 200,
        "fps": int(origin.control_hz),
        "splits": {"train": f"0:{len(shown.success_E)}"},
        "data_path": DATA,
        "video_path": None,
        "features": features(origin),
    }


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


# Reading ---------------------------------------------------------------------------------


def read(path: Path) -> tuple[Demonstrations, Origin]:
    """ValueError where the data set is not rlrobo's, of another format version, or damaged."""
    check("reading a LeRobot data set")
    info = _json(path / MARK)
    if (version := info.get("codebase_version")) != VERSION:
        raise ValueError(f"{path} has LeRobot's format {version}, not {VERSION}: convert it")
    if not (path / ORIGIN).is_file():
        raise ValueError(
            f"{path} has no {ORIGIN}: it was not written by rlrobo, so the meaning of its "
            "actions is not known"
        )
    origin = Origin.from_json((path / ORIGIN).read_text(), path / ORIGIN)
    files = sorted((path / "data").glob("*/*.parquet"))
    tables = [_parquet(file) for file in files]
    found = sum(len(table) for table in tables)
    if found != info["total_frames"]:
        raise ValueError(
            f"{path} holds {found} of the {info['total_frames']} frames that {MARK} promises: "
            "it is cut off, make it again"
        )
    return _demonstrations(path, origin, tables), origin


def _demonstrations(path: Path, origin: Origin, tables: list[Any]) -> Demonstrations:
    import pyarrow as pa

    table = pa.concat_tables(tables)
    tasks = _parquet(path / "meta/tasks.parquet")
    words = dict(zip(tasks["task_index"].to_pylist(), tasks["task"].to_pylist(), strict=True))
    state_N8 = _array(table["observation.state"])
    return Demonstrations(
        image_NC=_images(path, origin, table),
        ee_pose_N=state_N8[:, :7].copy(),
        gripper_width_N=state_N8[:, 7].copy(),
        instruction_N=tuple(words[number] for number in table["task_index"].to_pylist()),
        action_ND=_array(table["action"]),
        episode_N=_array(table["episode_index"])[:, 0],
        step_N=_array(table["frame_index"])[:, 0].astype(np.int32),
        success_E=np.array(_parquet(path / EPISODES)["success"].to_pylist(), dtype=np.bool_),
    )


def _images(path: Path, origin: Origin, table: Any) -> NDArray[np.uint8]:
    size = origin.image_size
    image_NC = np.empty((len(table), len(origin.cameras), size, size, 3), np.uint8)
    for number, camera in enumerate(origin.cameras):
        for row, file in enumerate(table[image_key(camera)]):
            try:
                image_NC[row, number] = np.asarray(Image.open(BytesIO(file["bytes"].as_py())))
            except (OSError, SyntaxError, ValueError) as error:  # as Pillow calls bad files
                raise ValueError(
                    f"frame {row} of camera {camera} in {path} is no PNG of {size} px: {error}"
                ) from None
    return image_NC


def _array(column: Any) -> NDArray[Any]:
    """[N, D]"""
    import pyarrow as pa

    chunk, length = column.combine_chunks(), len(column)
    values = chunk.flatten() if pa.types.is_nested(chunk.type) else chunk
    return values.to_numpy(zero_copy_only=False).reshape(length, -1)


def _parquet(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(
            f"{file} is missing or cut off, make the data set again: {error}"
        ) from None


def _json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is cut off or no JSON: {error}") from None
