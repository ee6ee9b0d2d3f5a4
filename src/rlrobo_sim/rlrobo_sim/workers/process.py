"""A simulation process: `python -m rlrobo_sim.workers.process PIPE_FD`.

Gets its `Recipe`, then requests and answers, through the pipe; says each time what comes of it.
Ends when the pipe does.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from rlrobo_core.types import ActionBatch, RolloutRequest
from rlrobo_sim.engines import RolloutEngines
from rlrobo_sim.workers.recipe import Reply


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent decides, by closing
    pipe: Connection[Any, Any] = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError, ConnectionResetError, BrokenPipeError):
        try:
            _serve(pipe)
        except ValueError as error:
            pipe.send(Reply(None, problem=str(error)))


def _serve(pipe: Connection[Any, Any]) -> None:
    engines = pipe.recv().engines(alone=False)
    try:
        pipe.send(Reply(None))
        while True:
            pipe.send(_answer(engines, pipe.recv()))
    finally:
        engines.close()


def _answer(engines: RolloutEngines, asked: RolloutRequest | ActionBatch) -> Reply:
    began = time.monotonic()
    match asked:
        case RolloutRequest():
            batch = engines.start(asked)
        case ActionBatch():
            batch = engines.act(asked)
            assert batch is not None, "the parent sends whole answers only"
    unstable, unanswered = tuple(engines.unstable_groups), tuple(engines.unanswered_groups)
    engines.unstable_groups.clear()
    engines.unanswered_groups.clear()
    return Reply(batch, time.monotonic() - began, unstable, unanswered)


if __name__ == "__main__":
    main()
