"""A rendering process: `python -m rlrobo_sim.mujoco.render_worker PIPE_FD SHARED_FD`.

Gets the model and the `RigConfig`, then ranges of rows to draw, through the pipe; answers each
with None, or with the error to raise. Ends when the pipe does.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

import mujoco

from rlrobo_sim.mujoco.rendering import CameraRenderer, SharedBlock


def main() -> None:
    pipe_fd, shared_fd = map(int, sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent decides, by closing
    pipe: Connection[Any, Any] = Connection(pipe_fd)
    with contextlib.suppress(EOFError, ConnectionResetError, BrokenPipeError):
        try:
            _serve(pipe, shared_fd)
        except ValueError as error:  # for the user: there is no library to draw with
            pipe.send(error)
        except RuntimeError as error:
            pipe.send(RuntimeError(f"a rendering worker failed: {error}"))


def _serve(pipe: Connection[Any, Any], shared_fd: int) -> None:
    model_bytes, config = pipe.recv()
    model = mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": model_bytes})
    shared = SharedBlock(shared_fd, model, config)
    renderer = CameraRenderer(model, config)
    try:
        pipe.send(None)
        while True:
            start, stop = pipe.recv()
            renderer.render(shared.rows[start:stop], shared.images[start:stop])
            pipe.send(None)
    finally:
        renderer.close()


if __name__ == "__main__":
    main()
