"""Checkpoints that are whole or not there, and open with `from_pretrained`.

    checkpoints/000120/
        config.json, model.safetensors      by `model.save_pretrained`
        tokenizer, preprocessor, …          by the policy that knows them (`processor_files`)
        trainer_state.json, .safetensors    optimizer, random generators, counters
        manifest.json                       size and SHA-256 of every file above

A checkpoint is written beside its place under a hidden name, synced, then renamed: a crash or
a full disk leaves the one before it untouched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from transformers.utils.logging import disable_progress_bar

from rlrobo_core.errors import DISK_FULL
from rlrobo_train.plain_state import load_state, save_state

MANIFEST = "manifest.json"
TEMPORARY = ".tmp-"
REPLACED = "replaced-"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A directory whose files agree with its manifest."""

    path: Path
    version: int

    def load_state(self) -> dict[str, Any]:
        """The `state` that it was saved with, tensors on the CPU."""
        return load_state(self.path)


def save_checkpoint(
    directory: Path,
    version: int,
    model: Any,
    processor_files: Callable[[Path], None],
    state: dict[str, Any],
) -> Path:
    """Writes `directory/<version>` and returns it; one of the same version is replaced.

    `model` has `save_pretrained` (transformers, peft); `processor_files(path)` writes what else
    `from_pretrained` needs. Raises ValueError when the disk is full or does not take it.
    """
    place = directory / f"{version:06d}"
    with _written_beside(place) as temporary:
        temporary.mkdir()
        # Its bar would break into the run's own progress line.
        disable_progress_bar()
        model.save_pretrained(temporary)
        processor_files(temporary)
        save_state(temporary, state)
        _write_manifest(temporary, version)
        for file in (*temporary.rglob("*"), temporary):
            _sync(file)
    return place


def publish_weights(directory: Path, version: int, model: nn.Module, spec: str = "") -> Path:
    """Writes the parameters that train (with LoRA: the adapter) to `<version>.safetensors`, for a
    policy that holds the same model: `model.load_state_dict(load_file(path), strict=False)`.
    With them goes `spec`, the policy's as JSON: one that was started with another prompt could
    take them up all the same, and the trainer would learn from what nobody said.

    `named_parameters` names a tied parameter once, so loading it moves both of its users.
    """
    place = directory / f"{version:06d}.safetensors"
    weights = {
        name: parameter.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    with _written_beside(place) as temporary:
        save_file(
            weights, temporary, metadata={"version": str(version), "format": "pt", "spec": spec}
        )
        _sync(temporary)
    return place


def open_checkpoint(path: Path) -> Checkpoint:
    """Compares every file with the manifest.

    Raises ValueError that says what is missing or differs.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        version = int(manifest["version"])
        files = {name: (file["bytes"], file["sha256"]) for name, file in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"checkpoint {path} is incomplete: no valid {MANIFEST}") from error
    for name, (expected_size, expected_sha256) in files.items():
        file = path / name
        if not file.is_file():
            raise ValueError(f"checkpoint {path} is corrupt: {name} is missing")
        size = file.stat().st_size
        if size != expected_size:
            raise ValueError(
                f"checkpoint {path} is corrupt: {name} has {size} of {expected_size} bytes"
            )
        if _sha256(file) != expected_sha256:
            raise ValueError(f"checkpoint {path} is corrupt: {name} does not match its SHA-256")
    return Checkpoint(path, version)


def latest_checkpoint(directory: Path) -> Checkpoint | None:
    """The newest valid checkpoint. One that is passed over is named in a warning, together with
    the one that is used in its place."""
    problems: list[str] = []
    for path in reversed(checkpoint_paths(directory)):
        try:
            checkpoint = open_checkpoint(path)
        except ValueError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            log.warning("%s; using %s instead", problem, checkpoint.path)
        return checkpoint
    for problem in problems:
        log.warning("%s; there is no other to use instead", problem)
    return None


def checkpoint_paths(directory: Path) -> list[Path]:
    """All checkpoints by version, whether valid or not."""
    paths = [path for path in directory.glob("*") if path.name.isdecimal()]
    return sorted(paths, key=lambda path: int(path.name))


def weights_paths(directory: Path) -> list[Path]:
    """All published weights by version."""
    paths = [path for path in directory.glob("*.safetensors") if path.stem.isdecimal()]
    return sorted(paths, key=lambda path: int(path.stem))


def prune_checkpoints(directory: Path, keep: int) -> None:
    """Deletes all but the first and the last `keep` checkpoints, and remains of broken writes."""
    for path in checkpoint_paths(directory)[1:-keep]:
        shutil.rmtree(path)
    remove_temporaries(directory)


def prune_weights(directory: Path, keep: int) -> None:
    """Deletes all but the last `keep` published weights."""
    for path in weights_paths(directory)[:-keep]:
        path.unlink()


def remove_temporaries(directory: Path) -> None:
    """Ends what a killed process left half done."""
    for path in directory.glob(f"{TEMPORARY}{REPLACED}*"):
        _restore(path, directory / path.name.removeprefix(f"{TEMPORARY}{REPLACED}"))
    for path in directory.glob(f"{TEMPORARY}*"):
        _remove(path)


@contextlib.contextmanager
def _written_beside(place: Path) -> Iterator[Path]:
    """Yields a hidden sibling of `place` to write to; it takes the place once all is written."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f"{TEMPORARY}{place.name}")
    replaced = place.with_name(f"{TEMPORARY}{REPLACED}{place.name}")
    try:
        yield temporary
        if place.is_dir():  # A full directory cannot be renamed over.
            place.rename(replaced)
        temporary.replace(place)
        _sync(place.parent)
    except (OSError, SafetensorError) as error:
        raise ValueError(_write_problem(place, error)) from error
    finally:
        _remove(temporary)
        _restore(replaced, place)
        _remove(replaced)


def _write_problem(place: Path, error: Exception) -> str:
    free = shutil.disk_usage(place.parent).free
    cause = "the disk is full" if _is_disk_full(error) else str(error)
    return (
        f"cannot write {place}: {cause} ({free / 2**20:.0f} MiB free); free some space or choose "
        "another run_dir, then continue with resume; the checkpoint before it is intact"
    )


def _is_disk_full(error: Exception) -> bool:
    # safetensors reports the system's error in words only.
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return True
    return any(f"os error {code})" in str(error) for code in DISK_FULL)


def _write_manifest(directory: Path, version: int) -> None:
    files = {
        str(file.relative_to(directory)): {
            "bytes": file.stat().st_size,
            "sha256": _sha256(file),
        }
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }
    manifest = {"version": version, "files": files}
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=2))


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Has the disk, not just its cache, hold the file or directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _restore(replaced: Path, place: Path) -> None:
    """Puts the old one back where the new one did not arrive."""
    if replaced.exists() and not place.exists():
        replaced.rename(place)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
