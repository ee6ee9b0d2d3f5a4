"""One simulation process as its parent sees it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import struct
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from rlrobo_core.types import ActionBatch, ObservationBatch, RolloutRequest
from rlrobo_sim.workers.recipe import Recipe, Reply


class Worker:
    """Its process, which may be another one after a restart, and what it has been asked."""

    pipe: Connection[Any, Any]
    process: subprocess.Popen[bytes]

    def __init__(self, index: int, recipe: Recipe, deadline_s: float) -> None:
        """`deadline_s`: it may pause for so long in the middle of what it says [s]."""
        self.index, self.recipe, self.deadline_s = index, recipe, deadline_s
        self.request: RolloutRequest | None = None
        """What it has still to run, of the request in progress."""
        self.running: tuple[int, ...] = ()
        """Groups that are under way in its environments."""
        self.busy_s = 0.0
        """It has worked for the request in progress [s]."""
        self.failures = 0
        """In a row, without a batch between them."""
        self._begun: set[int] = set()
        self._begin_process()

    def begin(self, request: RolloutRequest) -> None:
        """Run these groups, as soon as the process is there."""
        self.request = request if request.group_ids else None
        self.running, self.busy_s, self._begun = (), 0.0, set()
        if self.request and not self.starting:
            self.ask(self.request)

    def ask(self, what: RolloutRequest | ActionBatch) -> None:
        self.asked, self.since = True, time.monotonic()
        self._send(what)

    def receive(self) -> Reply:
        """What it says. BlockingIOError where it stopped in the middle, EOFError or another OSError
        where it has ended."""
        reply: Reply = self.pipe.recv()
        if self.starting:
            self.starting = False
            if self.request and not reply.problem:
                self.ask(self.request)
            return reply
        self.asked = False
        self.busy_s += reply.busy_s
        if reply.batch:
            self.failures = 0
            self._look_through(reply.batch)
        return reply

    def restart(self) -> tuple[int, ...]:
        """A new process in place of this one, which goes on with the groups that had not begun.
        Returns those that were under way: they are lost with the environments."""
        self.end()
        self.failures += 1
        lost, self.running = self.running, ()
        if self.request:
            rest = tuple(group for group in self.request.group_ids if group not in self._begun)
            self.request = replace(self.request, group_ids=rest) if rest else None
        self._begin_process()
        return lost

    def due(self, deadline_s: float, start_s: float) -> float:
        """When it is taken for stalled, on the clock of `time.monotonic`."""
        return self.since + (start_s if self.starting else deadline_s)

    @property
    def said_last(self) -> str:
        """How a process that has ended did so."""
        return f"ended with exit code {self.process.wait()}"

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """It takes the end of the pipe for the word."""
        self.pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5.0)
        self.end()

    def _begin_process(self) -> None:
        """A fresh interpreter, never a fork: the parent may hold ROS threads and a GL context."""
        self.pipe, there = multiprocessing.Pipe()
        bound_reads(self.pipe, self.deadline_s)
        with there:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rlrobo_sim.workers.process", str(there.fileno())],
                pass_fds=(there.fileno(),),
                stdin=subprocess.DEVNULL,
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LP_NUM_THREADS": "1"},
            )
        self.starting, self.asked, self.since = True, False, time.monotonic()
        self._send(self.recipe)

    def _look_through(self, batch: ObservationBatch) -> None:
        obs = batch.observations
        self.running = tuple(dict.fromkeys(obs.group_N[obs.samples_N > 0].tolist()))
        self._begun |= set(self.running)
        if batch.last:
            self.request = None

    def _send(self, what: Any) -> None:
        with contextlib.suppress(OSError):  # it has ended: whoever listens next finds out
            self.pipe.send(what)


def bound_reads(pipe: Connection[Any, Any], seconds: float) -> None:
    """From now on a read that gets nothing for so long is a BlockingIOError: `recv` waits for the
    rest of a message that has begun."""
    whole, part = divmod(seconds, 1.0)
    with socket.socket(fileno=os.dup(pipe.fileno())) as end:
        end.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(whole), int(part * 1e6))
        )
