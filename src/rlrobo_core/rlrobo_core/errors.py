"""Which errors are sentences for the user, and which are bugs."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


def is_ours(error: BaseException) -> bool:
    """Whether rlrobo's code raised it: our ValueErrors are sentences for the user, those of
    the libraries below are bugs and keep their traceback."""
    *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
    spec = frame.f_globals.get("__spec__")  # it has the module's name, also where that is __main__
    return bool(spec) and spec.name.startswith("rlrobo")


@contextmanager
def spoken() -> Iterator[None]:
    """Around a command: a ValueError of ours is told as `error: …`, without a trace, and ends the
    process with exit code 2."""
    try:
        yield
    except ValueError as error:
        if not is_ours(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
