"""Removes what killed nodes leave behind of Fast DDS in shared memory.

A participant holds a lock on `NAME_el` for each segment and port NAME of its own, from its
making to its end (Fast DDS's RobustExclusiveLock; `fastdds shm clean` reads it the same way).
A file whose lock is free belongs to a process that has died.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

SHM = Path("/dev/shm")
LOCK = "_el"


def segments() -> set[str]:
    """The names of Fast DDS's segments and ports that exist now."""
    return {path.name.removesuffix(LOCK) for path in SHM.glob(f"fastrtps_*{LOCK}")}


def remove_abandoned(names: set[str]) -> None:
    """Removes those of the segments that no living process holds."""
    for name in names:
        try:
            with (SHM / f"{name}{LOCK}").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for file in (name, f"sem.{name}_mutex", f"{name}{LOCK}"):
                    (SHM / file).unlink(missing_ok=True)
        except OSError:  # held by a living process, removed meanwhile, or another user's
            continue
