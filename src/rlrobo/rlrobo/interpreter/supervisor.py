"""Runs the nodes of a launch until they end, and ends them all when the launch is to end."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TypeGuard

from rlrobo.interpreter.claims import claim
from rlrobo.interpreter.names import (
    Action,
    Configurations,
    IncludeLaunchDescription,
    LaunchDescription,
    LaunchError,
    Node,
    ProcessExited,
    SetEnvironmentVariable,
    Shutdown,
    perform,
)
from rlrobo.interpreter.process import Process, command_line, namespace_of
from rlrobo.interpreter.shared_memory import remove_abandoned, remove_ownerless, segments

INTERRUPTS = {signal.SIGINT, signal.SIGTERM}
LONGEST_WAIT = 3600.0
"""[s]; sigtimedwait takes no infinity."""


def wanted(entity: Action, configurations: Configurations) -> TypeGuard[Node]:
    """Whether it is a node that the arguments call for."""
    if not isinstance(entity, Node):
        return False
    return entity.condition is None or entity.condition.evaluate(configurations)


def refuse_includes(description: LaunchDescription, configurations: Configurations) -> None:
    """LaunchError where the arguments call for another package's launch file."""
    for entity in description.entities:
        if not isinstance(entity, IncludeLaunchDescription):
            continue
        if entity.condition is None or entity.condition.evaluate(configurations):
            file = perform(entity.launch_description_source.location, configurations)
            raise LaunchError(f"these arguments include {file}: start them with `ros2 launch`")


def processes(
    description: LaunchDescription, configurations: Configurations, scratch: Path
) -> list[Process]:
    """The nodes in their order, each with the environment variables set before it."""
    env, found = dict(os.environ), []
    for entity in description.entities:
        if isinstance(entity, SetEnvironmentVariable):
            env[entity.name] = perform(entity.value, configurations)
        elif wanted(entity, configurations):
            own = {k: perform(v, configurations) for k, v in entity.additional_env.items()}
            command = command_line(entity, configurations, scratch)
            found.append(Process(entity, command, {**env, **own}))
    return found


def run(description: LaunchDescription, configurations: Configurations) -> int:
    """Run the launch to its end; returns its exit code: that of the node whose end was the
    launch's end, 128 + signal when interrupted, else 0."""
    refuse_includes(description, configurations)
    nodes = [it for it in description.entities if wanted(it, configurations)]
    names = [f"{namespace_of(it, configurations)}/{it.name}" for it in nodes if it.name]
    with claim(names), tempfile.TemporaryDirectory(prefix="rlrobo-launch-") as scratch:
        return Supervisor(processes(description, configurations, Path(scratch))).run()


class Supervisor:
    """Waits for signals: a child that ended, an interrupt, or the time for what is due."""

    def __init__(self, processes: list[Process]) -> None:
        self.processes = processes
        self.exit_code = 0
        self.ending = False
        self._others_segments = segments()

    def run(self) -> int:
        awaited = {*INTERRUPTS, signal.SIGCHLD}
        for signum in awaited:  # an ignored signal cannot be awaited, and children inherit it
            signal.signal(signum, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
        try:
            for process in self.processes:
                process.start()
            while not all(process.done for process in self.processes):
                due = min(process.next_due for process in self.processes)
                wait = min(max(due - time.monotonic(), 0.0), LONGEST_WAIT)
                event = signal.sigtimedwait(awaited, wait)
                if event is not None and event.si_signo in INTERRUPTS:
                    self._interrupt(event.si_signo)
                for process in self.processes:
                    self._look_after(process)
            return self.exit_code
        finally:
            for process in self.processes:
                process.kill()
            remove_ownerless(segments() - self._others_segments)

    def end(self, reason: str) -> None:
        print(f"[INFO] [launch]: ending all nodes: {reason}", file=sys.stderr, flush=True)
        self.ending = True
        for process in self.processes:
            process.end()

    def _interrupt(self, signum: int) -> None:
        if self.ending:  # a second Ctrl-C: at once
            for process in self.processes:
                process.kill()
        else:
            self.exit_code = 128 + signum
            self.end(signal.Signals(signum).name)

    def _look_after(self, process: Process) -> None:
        code = process.reap()
        if code is not None:
            remove_abandoned(segments() - self._others_segments)
            if self.ending and code == -signal.SIGTERM:
                process.say("ended before it began")
            else:
                process.say("finished cleanly" if code == 0 else f"died, exit code {code}")
            if not self.ending:
                self._after_exit(process, code)
        process.do_what_is_due()

    def _after_exit(self, process: Process, code: int) -> None:
        action = process.node.on_exit
        if callable(action):
            try:
                action = action(ProcessExited(process.label, process.pid, code), None)
            except Exception as error:  # as in launch, an error in it ends the launch
                action = Shutdown(reason=str(error))
        if isinstance(action, Shutdown):
            self.exit_code = code if code >= 0 else 128 - code
            self.end(action.reason)
        elif process.node.respawn:
            process.start_again()
