"""A real ROS graph for each test: its own domain, nodes in threads or in processes."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from rlrobo_core.ros.running import spinning

# graph_peers and fake_panda, under pytest's importlib mode
for folder in ("graph", "rlrobo_robot"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
PROFILE = Path(__file__).parents[2] / "src/rlrobo/config/fastdds.xml"
os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(PROFILE))  # before Fast DDS loads


class Graph:
    """The nodes of one test, in one domain, ended together."""

    def __init__(self, context: Context, stack: ExitStack) -> None:
        self.context, self._stack = context, stack
        self._nodes: list[Node] = []

    def add(
        self,
        make: Callable[..., Any],
        *args: Any,
        remap: dict[str, str] | None = None,
        **parameters: Any,
    ) -> Any:
        """Start a node in a thread of this process."""
        node = self._make(make, *args, remap=remap, **parameters)
        self._stack.enter_context(spinning(node))
        thread = threading.Thread(target=node.run)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(node.stop)
        return node

    def run(self, make: Callable[..., Any], **options: Any) -> None:
        """Run a node in this thread until it is done."""
        node = self._make(make, **options)
        with spinning(node):
            node.run()
        node.close()

    def _make(
        self,
        make: Callable[..., Any],
        *args: Any,
        remap: dict[str, str] | None = None,
        **parameters: Any,
    ) -> Any:
        rules = [word for a, b in (remap or {}).items() for word in ("-r", f"{a}:={b}")]
        node = make(
            *args,
            context=self.context,
            cli_args=["--ros-args", *rules] if rules else None,
            parameter_overrides=[Parameter(name, value=v) for name, v in parameters.items()],
        )
        self._nodes.append(node)
        self._stack.callback(node.destroy_node)
        self._stack.callback(node.close)
        return node

    def wire(self, make: Callable[..., Any]) -> Any:
        """Start a plain rclpy node that works in its callbacks."""
        node = make(context=self.context)
        self._nodes.append(node)
        executor = SingleThreadedExecutor(context=self.context)
        executor.add_node(node)
        thread = threading.Thread(target=executor.spin)
        thread.start()
        self._stack.callback(node.destroy_node)
        self._stack.callback(thread.join)
        self._stack.callback(executor.shutdown)
        return node

    def settle(self) -> None:
        """Wait until the nodes of this process have found each other: volatile messages that
        were sent before that are heard by nobody."""
        listeners = Counter(sub.topic_name for node in self._nodes for sub in node.subscriptions)
        publishers = [publisher for node in self._nodes for publisher in node.publishers]
        while any(p.get_subscription_count() < listeners[p.topic_name] for p in publishers):
            time.sleep(0.01)  # rclpy has no event for this

    def launch(
        self, package: str, capture: bool = False, namespace: str = "", **parameters: Any
    ) -> subprocess.Popen[str]:
        """Start the node of a package as a process."""
        settings = [item for key, value in parameters.items() for item in ("-p", f"{key}:={value}")]
        settings += ["-r", f"__ns:={namespace}"] if namespace else []
        process = subprocess.Popen(
            [sys.executable, "-m", package, "--ros-args", *settings],
            stdout=subprocess.PIPE if capture else None,
            stderr=subprocess.PIPE if capture else None,
            text=True,
        )
        self._stack.callback(end, process)
        return process


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """SIGKILL, unless it has ended by itself; what it said."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    return process.communicate()


@pytest.fixture(scope="session", autouse=True)
def clean_shared_memory() -> Iterator[None]:
    """A killed participant leaves its segment in /dev/shm; what is in use stays."""
    yield
    subprocess.run(["fastdds", "shm", "clean"], capture_output=True, check=False)


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A domain of its own, for the nodes of this process and of its children."""
    # Drawn, not counted: other test runs on this machine must not march through the same ones.
    number = 1 + secrets.randbelow(100)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return number


@pytest.fixture
def graph(domain: int) -> Iterator[Graph]:
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    with ExitStack() as stack:
        stack.callback(context.try_shutdown)
        yield Graph(context, stack)
