"""Removes what ended nodes leave behind of Fast DDS in shared memory.

A participant holds a lock on `NAME_el` for each segment and port NAME of its own, from its
making to its end (Fast DDS's RobustExclusiveLock; `fastdds shm clean` reads it the same way).
A file whose lock is free belongs to a process that was killed. After a clean end a port can
stay without its lock file: a peer that still writes to it makes it again.
"""

from __future__ import annotations

import fcntl
import time
from contextlib import suppress
from pathlib import Path

SHM = Path("/dev/shm")
LOCK = "_el"
BEING_MADE = 0.2
"""[s]; a port that has no lock file for so long is not just being made."""


def segments() -> set[str]:
    """The names of Fast DDS's segments and ports that exist now."""
    return {path.name.removesuffix(LOCK) for path in SHM.glob("fastrtps_*")}


def remove_abandoned(names: set[str]) -> None:
    """Removes those whose process was killed."""
    for name in names:
        try:
            with lock_file(name).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(name)
        except OSError:  # held by a living process, without lock file, or another user's
            continue


def remove_ownerless(names: set[str]) -> None:
    """Removes those that have no lock file."""
    if ownerless := [name for name in names if not lock_file(name).exists()]:
        time.sleep(BEING_MADE)
        for name in ownerless:
            if not lock_file(name).exists():
                with suppress(OSError):  # another user's
                    _remove(name)


def lock_file(name: str) -> Path:
    return SHM / f"{name}{LOCK}"


def _remove(name: str) -> None:
    for file in (SHM / name, SHM / f"sem.{name}_mutex", lock_file(name)):
        file.unlink(missing_ok=True)
