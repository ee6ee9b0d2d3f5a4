"""The run directory: everything that a training run leaves behind.

config.yaml         the whole configuration, seed included
versions.json       of Python, of the packages that matter, and the git commit
metrics.jsonl       one row an iteration; tensorboard/ holds the same
checkpoints/        the first and the last few, and state to resume from (checkpoint.py)
weights/            the last few policy versions, for the policy node
eval_<version>.json and .mp4, of each evaluation
episodes/           a few episodes of evaluations and iterations, step by step (episode_record.py)
summary.json        once the run has finished, with curves.png
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from torch import nn

from rlrobo_core.run_files import CHECKPOINTS, CONFIG_FILE, SUMMARY_FILE, VERSIONS_FILE
from rlrobo_train.checkpoint import (
    Checkpoint,
    checkpoint_paths,
    latest_checkpoint,
    open_checkpoint,
    prune_checkpoints,
    prune_weights,
    publish_weights,
    remove_temporaries,
    save_checkpoint,
    weights_paths,
)
from rlrobo_train.metrics import MetricsLog, Row, cut_metrics
from rlrobo_train.plots import plot_curves

LOCK_FILE = ".lock"
PACKAGES = ("rlrobo_train", "torch", "transformers", "peft", "mujoco", "numpy", "safetensors")
WEIGHTS_KEPT = 3

log = logging.getLogger(__name__)


class RunDirectory:
    """A run directory that this process holds; a context manager.

    The lock is the kernel's (flock), so it ends with the process, however that ends.
    """

    def __init__(
        self, path: Path, config: dict[str, Any], metrics: MetricsLog, lock: int, keep: int
    ) -> None:
        """Use `create` or `resume`."""
        self.path = path
        self.config = config
        self._metrics = metrics
        self._lock = lock
        self._keep = keep

    @classmethod
    def create(
        cls, path: Path, config: dict[str, Any], *, keep: int = 3, needs_bytes: int = 0
    ) -> Self:
        """Begins a run. `keep`: checkpoints kept besides the first. `needs_bytes`: an estimate
        of what the run will write, which must be free.

        Raises ValueError for a directory that holds a run, is busy or cannot be written.
        """
        lock = _open_run(path, needs_bytes)
        try:
            if (path / CONFIG_FILE).exists():
                state = "a finished" if (path / SUMMARY_FILE).exists() else "an interrupted"
                raise ValueError(
                    f"{path} already holds {state} run; continue it with resume:={path}, or "
                    "choose another run_dir"
                )
            _write_json(path / VERSIONS_FILE, versions())
            # Last, for it is what makes the directory a run.
            _write(path / CONFIG_FILE, yaml.safe_dump(config, sort_keys=False))
            return cls(path, config, MetricsLog(path), lock, keep)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def resume(cls, path: Path, *, keep: int = 3, needs_bytes: int = 0) -> Self:
        """Takes up a run at `latest_checkpoint()`: metrics and weights after it are cut off.

        Raises ValueError for a directory that holds no run, is busy or cannot be written, and
        where every checkpoint is corrupt.
        """
        if not (path / CONFIG_FILE).is_file():
            raise ValueError(_no_run_problem(path))
        lock = _open_run(path, needs_bytes)
        try:
            config = yaml.safe_load((path / CONFIG_FILE).read_text())
            _warn_of_other_versions(path)
            rows = _return_to(path, _checkpoint_to_resume(path))
            wall_s = rows[-1]["wall_s"] if rows else 0.0
            next_iteration = int(rows[-1]["iteration"]) + 1 if rows else 0
            return cls(path, config, MetricsLog(path, wall_s, next_iteration), lock, keep)
        except BaseException:
            os.close(lock)
            raise

    @property
    def wall_s(self) -> float:
        """Wall clock that the run has spent, over all its sessions [s]."""
        return self._metrics.wall_s

    def log(self, metrics: Row, iteration: int) -> None:
        """Appends a row to metrics.jsonl and TensorBoard; it outlives the process on return."""
        self._metrics.log(metrics, iteration)

    def save_checkpoint(
        self,
        version: int,
        model: Any,
        processor_files: Callable[[Path], None],
        state: dict[str, Any],
    ) -> Path:
        """See `checkpoint.save_checkpoint`. `state["iteration"]` is the last row of metrics that
        belongs to it. Older ones than the last few are deleted, except the first."""
        assert "iteration" in state, "a checkpoint's state says which iteration it is of"
        path = save_checkpoint(self.path / CHECKPOINTS, version, model, processor_files, state)
        prune_checkpoints(self.path / CHECKPOINTS, self._keep)
        return path

    def latest_checkpoint(self) -> Checkpoint | None:
        """The newest valid one; a warning names those that are passed over."""
        return latest_checkpoint(self.path / CHECKPOINTS)

    def first_checkpoint(self) -> Checkpoint:
        """The policy that the run began with. ValueError where it is not whole."""
        return open_checkpoint(checkpoint_paths(self.path / CHECKPOINTS)[0])

    def publish_weights(self, version: int, model: nn.Module, spec: str = "") -> Path:
        """See `checkpoint.publish_weights`; the last three stay."""
        path = publish_weights(self.path / "weights", version, model, spec)
        prune_weights(self.path / "weights", WEIGHTS_KEPT)
        return path

    def finish(self, summary: dict[str, Any]) -> None:
        """Writes summary.json and curves.png; the run is then a finished one."""
        _write_json(self.path / SUMMARY_FILE, {"wall_s": round(self.wall_s, 3)} | summary)
        plot_curves([self.path], self.path / "curves.png")

    def close(self) -> None:
        self._metrics.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def versions() -> dict[str, str | None]:
    """What a run needs to be made again; None for a package that is not installed."""
    return {
        "python": platform.python_version(),
        **{package: _package_version(package) for package in PACKAGES},
        "git_commit": _git_commit(),
    }


def _open_run(path: Path, needs_bytes: int) -> int:
    """Makes the directory, locks it and returns the lock's descriptor."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ValueError(
            f"cannot write to run directory {path}: {error.strerror}; choose another run_dir"
        ) from error
    try:
        _take(lock, path)
        _check_free_space(path, needs_bytes)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _take(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 200, 0).decode(errors="replace").strip()
        raise ValueError(
            f"run directory {path} is busy ({holder}); end that run first, or choose another "
            "run_dir"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


def _check_free_space(path: Path, needs_bytes: int) -> None:
    free = shutil.disk_usage(path).free
    if free < needs_bytes:
        raise ValueError(
            f"no disk space for a run in {path}: it needs about {needs_bytes / 2**20:,.0f} MiB, "
            f"{free / 2**20:,.0f} MiB are free; free some or choose another run_dir"
        )


def _checkpoint_to_resume(path: Path) -> Checkpoint | None:
    directory = path / CHECKPOINTS
    remove_temporaries(directory)
    checkpoint = latest_checkpoint(directory)
    if checkpoint is None and checkpoint_paths(directory):
        raise ValueError(
            f"every checkpoint in {directory} is corrupt; begin anew with another run_dir"
        )
    return checkpoint


def _return_to(path: Path, checkpoint: Checkpoint | None) -> list[Row]:
    """Cuts off what the run wrote after the checkpoint; returns the metrics that stay."""
    version = checkpoint.version if checkpoint else -1
    for corrupt in checkpoint_paths(path / CHECKPOINTS):
        if int(corrupt.name) > version:
            aside = corrupt.with_name(f"{corrupt.name}.corrupt")
            shutil.rmtree(aside, ignore_errors=True)  # Of an earlier resume.
            corrupt.rename(aside)
    for weights in weights_paths(path / "weights"):
        if int(weights.stem) > version:
            weights.unlink()
    remove_temporaries(path / "weights")
    with contextlib.suppress(FileNotFoundError):
        (path / SUMMARY_FILE).rename(path / f"previous_{SUMMARY_FILE}")
    return cut_metrics(path, checkpoint.load_state()["iteration"] if checkpoint else -1)


def _no_run_problem(path: Path) -> str:
    if not path.is_dir():
        problem = f"there is no run directory {path}"
    else:
        problem = f"{path} holds no run (no {CONFIG_FILE})"
    owner = next((parent for parent in path.parents if (parent / CONFIG_FILE).is_file()), None)
    if owner is not None:
        return f"{problem}; to continue the run it belongs to give resume:={owner}"
    runs = sorted(config.parent.name for config in path.parent.glob(f"*/{CONFIG_FILE}"))
    return f"{problem}; the runs in {path.parent} are: {', '.join(runs) or 'none'}"


def _warn_of_other_versions(path: Path) -> None:
    now = versions()
    before = json.loads((path / VERSIONS_FILE).read_text())
    changes = [
        f"{name} {before.get(name)} -> {current}"
        for name, current in now.items()
        if current != before.get(name)
    ]
    if changes:
        log.warning("the run %s began with other versions: %s", path, "; ".join(changes))


def _package_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Of the checkout that this file lies in, with `-dirty` where it has been edited."""
    here = Path(__file__).resolve().parent
    try:
        root = _git(here, "rev-parse", "--show-toplevel")
        if not Path(root, "src", "rlrobo_train").is_dir():
            return None  # Installed into somebody else's checkout.
        return _git(here, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    return answer.stdout.strip()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write(path, json.dumps(content, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)
