"""Demonstrations on disk, as a LeRobot data set or as rosbag2, and back: bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from rlrobo_sim.datasets import lerobot, rosbag
from rlrobo_sim.datasets.origin import Origin, fitting
from rlrobo_sim.demonstrations import Demonstrations

FORMATS: dict[str, ModuleType] = {"lerobot": lerobot, "rosbag2": rosbag}
"""Each module has MARK (a file by which such a data set is known), write and read."""


def places(out: Path, form: str) -> dict[str, Path]:
    """Format -> directory, of what `form` (a format or `both`) asks for. ValueError where such
    a directory exists."""
    if form not in (*FORMATS, "both"):
        raise ValueError(f"unknown format {form!r}; choose one of: {', '.join(FORMATS)}, both")
    chosen = {name: out / name for name in FORMATS} if form == "both" else {form: out}
    for path in chosen.values():
        if path.exists():
            raise ValueError(f"{path} exists already and is not overwritten: name another")
    return chosen


def write(shown: Demonstrations, origin: Origin, path: Path, form: str) -> None:
    """One data set of the format `form` in the directory `path`, which must not exist."""
    ordered = shown.in_order()
    length_E = np.bincount(ordered.episode_N, minlength=len(ordered.success_E))
    counted_N = np.concatenate([np.arange(length) for length in length_E])
    assert len(length_E) == len(ordered.success_E) and (length_E > 0).all(), "an empty episode"
    assert np.array_equal(ordered.step_N, counted_N), "steps count from 0, without a gap"
    FORMATS[form].write(ordered, origin, path)


def read(path: Path) -> tuple[Demonstrations, Origin]:
    """The data set in the directory `path`, whichever of the formats it has. ValueError where
    there is none or it is damaged."""
    for form in FORMATS.values():
        if (path / form.MARK).is_file():
            return form.read(path)
    inside = ", ".join(str(place) for place in _inside(path)) or "none inside it either"
    marks = " or ".join(form.MARK for form in FORMATS.values())
    raise ValueError(f"{path} is no data set, it has no {marks}; there is: {inside}")


def _inside(path: Path) -> Iterator[Path]:
    for name, form in FORMATS.items():
        if (path / name / form.MARK).is_file():
            yield path / name


__all__ = ["FORMATS", "Origin", "fitting", "places", "read", "write"]
