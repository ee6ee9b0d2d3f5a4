"""Demonstrations to a LeRobot data set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from rlrobo_sim.datasets.lerobot.format import (
    DATA,
    EPISODES,
    FILES_PER_CHUNK,
    MARK,
    MEGABYTES_PER_FILE,
    ORIGIN,
    VERSION,
    features,
    image_key,
)
from rlrobo_sim.datasets.lerobot.stats import image_stats, vector_stats
from rlrobo_sim.datasets.origin import Origin
from rlrobo_sim.demonstrations import Demonstrations


def write(shown: Demonstrations, origin: Origin, path: Path) -> None:
    """`info.json` comes last: without it, an interrupted data set is none."""
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


def _write_data(
    shown: Demonstrations, origin: Origin, values: dict[str, NDArray[Any]], path: Path
) -> Iterator[tuple[int, int]]:
    """A row group an episode; yields each episode's chunk and file."""
    stops = np.cumsum(_lengths(shown)).tolist()
    rows_E = [slice(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]
    tables = (_table(shown, origin, values, rows) for rows in rows_E)
    for number, tables_of_file in enumerate(_files(tables)):
        chunk, file = divmod(number, FILES_PER_CHUNK)
        target = path / DATA.format(chunk_index=chunk, file_index=file)
        target.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(target, tables_of_file[0].schema) as writer:
            for table in tables_of_file:
                writer.write_table(table)
                yield chunk, file


def _files(tables: Iterable[Any]) -> Iterator[list[Any]]:
    """The tables, in lists of about a hundred megabytes."""
    gathered: list[Any] = []
    for table in tables:
        gathered.append(table)
        if sum(table.nbytes for table in gathered) > MEGABYTES_PER_FILE * 2**20:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _table(
    shown: Demonstrations, origin: Origin, values: dict[str, NDArray[Any]], rows: slice
) -> Any:
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
    flat = pa.array(value_ND.reshape(-1))
    width = value_ND.shape[1]
    return flat if width == 1 else pa.FixedSizeListArray.from_arrays(flat, width)


def _png(image: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _write_tasks(shown: Demonstrations, path: Path) -> None:
    """A pandas frame whose index is the instruction: pandas reads that from the metadata."""
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


def _write_episodes(shown: Demonstrations, places: list[tuple[int, int]], path: Path) -> None:
    length_E = _lengths(shown)
    stop_E = np.cumsum(length_E)
    start_E = stop_E - length_E
    (path / EPISODES).parent.mkdir(parents=True)
    columns = {
        "episode_index": np.arange(len(places)),
        "tasks": [[shown.instruction_N[start]] for start in start_E],
        "length": length_E,
        "data/chunk_index": [chunk for chunk, _ in places],
        "data/file_index": [file for _, file in places],
        "dataset_from_index": start_E,
        "dataset_to_index": stop_E,
        "meta/episodes/chunk_index": np.zeros(len(places), np.int64),
        "meta/episodes/file_index": np.zeros(len(places), np.int64),
        "success": shown.success_E,
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
