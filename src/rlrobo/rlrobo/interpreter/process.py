"""One node of a launch: its command line, its process, its output."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from rlrobo.interpreter.names import (
    Configurations,
    LaunchConfiguration,
    LaunchError,
    Node,
    ParameterValue,
    perform,
)

PR_SET_PDEATHSIG = 1
"""linux/prctl.h: the signal that a process gets when its parent dies."""
libc = ctypes.CDLL(None)
YOUNG_S = 2.0
"""Within this time a node may not look after signals itself yet [s]."""


def executable_path(node: Node) -> Path:
    try:
        folder = Path(get_package_prefix(node.package)) / "lib" / node.package
    except PackageNotFoundError:
        debian = f"ros-jazzy-{node.package.replace('_', '-')}"
        raise LaunchError(
            f"no package {node.package!r}; build the workspace, or, if it is not of this one, "
            f"install it where ROS 2 is installed by apt: sudo apt-get install {debian}"
        ) from None
    if not (folder / node.executable).is_file():
        there = ", ".join(sorted(path.name for path in folder.glob("*"))) or "none"
        raise LaunchError(f"{node.package} has no executable {node.executable!r}, but: {there}")
    return folder / node.executable


def parameter_file(node: Node, values: Mapping, configurations: Configurations, to: Path) -> Path:
    """Writes a dictionary of parameters as the file that the node reads."""
    parameters = {}
    for name, value in values.items():
        it = value if isinstance(value, ParameterValue) else ParameterValue(value)
        if isinstance(value, str):  # only substitutions are read as YAML
            it = ParameterValue(value, str)
        try:
            parameters[name] = it.evaluate(configurations)
        except ValueError as error:
            argument = it.value.name if isinstance(it.value, LaunchConfiguration) else name
            raise LaunchError(f"{argument}:= of {node.executable} is not valid: {error}") from None
    to.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
    return to


def namespace_of(node: Node, configurations: Configurations) -> str:
    """Absolute, without an ending slash; empty for the root."""
    namespace = perform(node.namespace, configurations).strip("/")
    return f"/{namespace}" if namespace else ""


def command_line(node: Node, configurations: Configurations, scratch: Path) -> list[str]:
    """The same arguments as launch_ros gives; parameter files are written to `scratch`."""
    arguments = [perform(argument, configurations) for argument in node.arguments]
    ros = ["--ros-args"]
    if node.name:
        ros += ["-r", f"__node:={node.name}"]
    if namespace := namespace_of(node, configurations):
        ros += ["-r", f"__ns:={namespace}"]
    for index, parameters in enumerate(node.parameters):
        if isinstance(parameters, Mapping):
            file = scratch / f"{node.name or node.executable}-{index}.yaml"
            ros += ["--params-file", str(parameter_file(node, parameters, configurations, file))]
        else:
            ros += ["--params-file", perform(parameters, configurations)]
    for old, new in node.remappings:
        ros += ["-r", f"{perform(old, configurations)}:={perform(new, configurations)}"]
    return [str(executable_path(node)), *arguments, *ros]


class Process:
    """A node's process, in a session of its own so that a terminal's Ctrl-C reaches only the
    launcher, which passes it on once. It ends when the launcher dies, however that dies."""

    def __init__(self, node: Node, command: list[str], env: dict[str, str]) -> None:
        self.node = node
        self.label = node.name or node.executable
        self.pid = 0
        self._command = command
        self._env = env
        self._popen: subprocess.Popen[str] | None = None
        self._started = -math.inf
        self._reader: threading.Thread | None = None
        self._due: list[tuple[float, Callable[[], None]]] = []
        """What is still to be done with it, and when on the monotonic clock."""

    @property
    def done(self) -> bool:
        return self._popen is None and not self._due

    @property
    def next_due(self) -> float:
        return self._due[0][0] if self._due else math.inf

    def do_what_is_due(self) -> None:
        while self.next_due <= time.monotonic():
            self._due.pop(0)[1]()

    def start(self) -> None:
        self._popen = subprocess.Popen(
            self._command,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_prepare_child,
        )
        self.pid, self._started = self._popen.pid, time.monotonic()
        self._reader = threading.Thread(target=self._print, args=(self._popen.stdout,))
        self._reader.start()
        self.say(f"process started with pid [{self.pid}]")

    def start_again(self) -> None:
        self._due = [(time.monotonic() + self.node.respawn_delay, self.start)]

    def end(self) -> None:
        """SIGINT now, SIGTERM and SIGKILL when the node's own timeouts have passed. SIGTERM at once
        to one that has just begun: of a SIGINT Python prints a trace wherever it is."""
        self._due.clear()
        if self._popen is not None:
            young = time.monotonic() < self._started + YOUNG_S
            self._popen.send_signal(signal.SIGTERM if young else signal.SIGINT)
            terminate = time.monotonic() + float(self.node.sigterm_timeout)
            kill = terminate + float(self.node.sigkill_timeout)
            self._due = [(terminate, self._popen.terminate), (kill, self.kill)]

    def kill(self) -> None:
        """End it and all that it started, at once."""
        self._due.clear()
        if self._popen is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> int | None:
        """The exit code when the process has ended since the last call, else None. What it
        started and left behind is ended."""
        if self._popen is None or self._popen.poll() is None:
            return None
        self.kill()
        assert self._reader is not None
        self._reader.join()
        code, self._popen = self._popen.returncode, None
        return code

    def say(self, text: str) -> None:
        print(f"[INFO] [{self.label}]: {text}", file=sys.stderr, flush=True)

    def _print(self, output: IO[str]) -> None:
        readable = True
        for line in output:
            try:
                if readable:
                    sys.stdout.write(f"[{self.label}] {line}")
                    sys.stdout.flush()
            except BrokenPipeError:  # nobody reads us any more: end, as `… | head` expects
                readable = False
                os.kill(os.getpid(), signal.SIGTERM)
        output.close()


def _prepare_child() -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
