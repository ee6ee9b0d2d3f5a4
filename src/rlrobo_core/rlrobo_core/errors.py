"""Which errors are sentences for the user, and which are bugs."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_ours(error: BaseException) -> bool:
    """Whether rlrobo's code raised it: our ValueErrors are sentences for the user, those of
    the libraries below are bugs and keep their traceback."""
    *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
    spec = frame.f_globals.get("__spec__")  # it has the module's name, also where that is __main__
    return bool(spec) and spec.name.startswith("rlrobo")


def told(error: BaseException) -> bool:
    """Tells the user on stderr, as `error: …` without a trace, what a ValueError of ours says, or
    that the disk is full. False where it is a bug."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        sentence = "the disk is full: free some space; a run goes on from its last checkpoint with "
        sentence += "resume:=<run>"
    elif isinstance(error, ValueError) and is_ours(error):
        sentence = str(error)
    else:
        return False
    print(f"error: {sentence}", file=sys.stderr)
    return True


@contextmanager
def spoken() -> Iterator[None]:
    """Around a command: what can be told is told and ends the process with exit code 2."""
    try:
        yield
    except Exception as error:
        if not told(error):
            raise
        sys.exit(2)
