"""What a run directory holds, read for the report; whatever of it there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlrobo_core.run_files import CONFIG_FILE, SUMMARY_FILE, VERSIONS_FILE
from rlrobo_train.metrics import METRICS_FILE, Row, read_metrics

EPISODES_FOLDER = "episodes"


@dataclass(frozen=True)
class EvaluationFile:
    """One eval*.json: one policy version on one task (perhaps under a shift)."""

    name: str
    """Of the file, without suffix."""
    iteration: int
    task: str
    success: float
    ci95: tuple[float, float]
    episodes: int
    mean_length: float
    """[steps]"""
    mean_return: float
    outcomes: dict[int, bool]
    """Held-out episode -> whether it succeeded."""
    film: Path | None


@dataclass(frozen=True)
class RunData:
    path: Path
    config: dict[str, Any]
    versions: dict[str, Any]
    rows: list[Row]
    summary: dict[str, Any] | None
    """None while the run is not finished."""
    evaluations: list[EvaluationFile]
    records: list[Path]
    """Files of episode_record.py: first the evaluations' then the training's, in their order."""

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def tasks(self) -> str:
        return str(self.config.get("task", "unknown task"))

    @property
    def iterations(self) -> int:
        return int(self.rows[-1]["iteration"]) if self.rows else 0

    @property
    def wall_s(self) -> float:
        return float(self.rows[-1]["wall_s"]) if self.rows else 0.0


def read_run(path: Path) -> RunData:
    """Raises ValueError for a folder that holds no run, and for files that are damaged."""
    if not (path / CONFIG_FILE).is_file():
        raise ValueError(_no_run_problem(path))
    rows = read_metrics(path) if (path / METRICS_FILE).is_file() else []
    judged = {int(row["iteration"]) for row in rows if "eval/success" in row}
    last = int(rows[-1]["iteration"]) if rows else -1
    return RunData(
        path=path,
        config=_read(path / CONFIG_FILE),
        versions=_read(path / VERSIONS_FILE) or {},
        rows=rows,
        summary=_read(path / SUMMARY_FILE),
        # What a resumed run has cut from its metrics may still lie there.
        evaluations=[it for it in _evaluations(path) if it.iteration in judged],
        records=[
            *(file for file in _records(path, "eval") if _iteration(file) in judged),
            *(file for file in _records(path, "train") if _iteration(file) <= last),
        ],
    )


def _evaluations(path: Path) -> list[EvaluationFile]:
    found = [_evaluation(file) for file in path.glob("eval*.json")]
    return sorted(found, key=lambda it: (it.iteration, it.task))


def _evaluation(file: Path) -> EvaluationFile:
    told = _read(file)
    try:
        films = (file.with_suffix(suffix) for suffix in (".mp4", ".gif"))
        return EvaluationFile(
            name=file.stem,
            iteration=int(told["policy_version"]),
            task=told["task"],
            success=told["success"],
            ci95=tuple(told["ci95"]),
            episodes=told["episodes"],
            mean_length=told["mean_length"],
            mean_return=told["mean_return"],
            outcomes={it["group"]: it["success"] for it in told["per_seed"]},
            film=next((film for film in films if film.is_file()), None),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{file} is no evaluation of rlrobo (it lacks {error}); move it out of the run"
        ) from error


def _records(path: Path, phase: str) -> list[Path]:
    return sorted((path / EPISODES_FOLDER).glob(f"{phase}*.json"))


def _iteration(record: Path) -> int:
    """eval_000020_reach -> 20; eval, of a checkpoint that was only judged -> 0."""
    numbers = [part for part in record.stem.split("_") if part.isdigit()]
    return int(numbers[0]) if numbers else 0


def _read(file: Path) -> Any:
    """None where there is no such file."""
    if not file.is_file():
        return None
    try:
        # YAML's reader takes JSON as well, but a hundred times slower.
        return json.loads(file.read_text()) if file.suffix == ".json" else _yaml(file)
    except (ValueError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{file} is damaged ({reason}); restore or delete it") from error


def _yaml(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def _no_run_problem(path: Path) -> str:
    if not path.is_dir():
        problem = f"there is no run directory {path}"
    else:
        problem = f"{path} holds no run (no {CONFIG_FILE})"
    if known := ", ".join(_runs_near(path)):
        return f"{problem}; the runs there are: {known}"
    return f"{problem}; give the folder that a training wrote, as runs/<run>"


def _runs_near(path: Path) -> Iterator[str]:
    """Runs in the folder, or else beside it."""
    for folder in (path, path.parent):
        if runs := sorted(str(file.parent) for file in folder.glob(f"*/{CONFIG_FILE}")):
            yield from runs
            return
