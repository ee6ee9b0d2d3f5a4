"""A LeRobot data set to demonstrations."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from rlrobo_sim.datasets.lerobot.format import MARK, ORIGIN, VERSION, features, image_key
from rlrobo_sim.datasets.origin import Origin
from rlrobo_sim.demonstrations import Demonstrations


def read(path: Path) -> tuple[Demonstrations, Origin]:
    """ValueError where the data set is not rlrobo's, of another format version, or damaged."""
    info = _json(path / MARK)
    if (version := info.get("codebase_version")) != VERSION:
        raise ValueError(f"{path} has LeRobot's format {version}, not {VERSION}: convert it")
    if not (path / ORIGIN).is_file():
        raise ValueError(
            f"{path} has no {ORIGIN}: it was not written by rlrobo, so the meaning of its "
            "actions is not known"
        )
    origin = Origin.from_json((path / ORIGIN).read_text(), path / ORIGIN)
    _check_features(path, info.get("features", {}), origin)
    table = _frames(path, info.get("total_frames"))
    episode_N = _array(table["episode_index"])[:, 0]
    success_E = np.zeros(info["total_episodes"], np.bool_)
    success_E[episode_N[_array(table["next.success"])[:, 0]]] = True
    state_N8 = _array(table["observation.state"])
    shown = Demonstrations(
        image_NC=_images(path, origin, table),
        ee_pose_N=state_N8[:, :7].copy(),
        gripper_width_N=state_N8[:, 7].copy(),
        instruction_N=_instructions(path, table),
        action_ND=_array(table["action"]),
        episode_N=episode_N,
        step_N=_array(table["frame_index"])[:, 0].astype(np.int32),
        success_E=success_E,
    )
    return shown, origin


def _check_features(path: Path, found: dict[str, dict[str, Any]], origin: Origin) -> None:
    for name, wanted in features(origin).items():
        known = found.get(name, {})
        if (known.get("dtype"), known.get("shape")) != (wanted["dtype"], wanted["shape"]):
            raise ValueError(
                f"{path}: {MARK} and {ORIGIN} contradict each other in {name} "
                f"({wanted['dtype']} of shape {wanted['shape']}); there are: {', '.join(found)}"
            )


def _frames(path: Path, promised: int | None) -> Any:
    tables = [_parquet(file) for file in sorted((path / "data").glob("*/*.parquet"))]
    found = sum(len(table) for table in tables)
    if not found or found != promised:
        raise ValueError(
            f"{path} holds {found} of the {promised} frames that {MARK} promises: it is cut off, "
            "make it again"
        )
    return pa.concat_tables(tables)


def _instructions(path: Path, table: Any) -> tuple[str, ...]:
    tasks = _parquet(path / "meta/tasks.parquet")
    (text,) = [name for name in tasks.column_names if name != "task_index"]
    words = dict(zip(tasks["task_index"].to_pylist(), tasks[text].to_pylist(), strict=True))
    return tuple(words[number] for number in table["task_index"].to_pylist())


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
    chunk, length = column.combine_chunks(), len(column)
    values = chunk.flatten() if pa.types.is_nested(chunk.type) else chunk
    return values.to_numpy(zero_copy_only=False).reshape(length, -1)


def _parquet(file: Path) -> Any:
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
