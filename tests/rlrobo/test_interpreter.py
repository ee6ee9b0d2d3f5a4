"""The launch interpreter, with real processes and real ROS nodes."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from rlrobo.interpreter.shared_memory import lock_file, remove_abandoned, segments

NODE = """#!{python}
import signal, sys, time
import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
node = Node("unnamed", automatically_declare_parameters_from_overrides=True)
names = node.get_parameters_by_prefix("").keys() & {{"word", "count", "rate", "on"}}
values = {{name: node.get_parameter(name).value for name in names}}
publisher = node.create_publisher(String, "word", 10)
node.create_timer(0.05, lambda: publisher.publish(String(data=node.get_fully_qualified_name())))
node.create_subscription(String, "word", lambda m: print("heard", m.data, flush=True), 10)
print("parameters", sorted(values.items()), flush=True)
{body}
"""

LAUNCH = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import EqualsSubstitution, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

def generate_launch_description():
    return LaunchDescription([{entities}])
"""

SPIN = "rclpy.spin(node)"
FINISH = "sys.exit(0)"


class Bench:
    """A package of nodes and launch files in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launchers: list[subprocess.Popen[str]] = []
        (folder / "lib/bench").mkdir(parents=True)
        index = folder / "share/ament_index/resource_index/packages"
        index.mkdir(parents=True)
        (index / "bench").touch()

    def executable(self, name: str, body: str) -> None:
        file = self.folder / "lib/bench" / name
        file.write_text(NODE.format(python=sys.executable, body=body))
        file.chmod(0o755)

    def launch(self, entities: str, *arguments: str) -> subprocess.Popen[str]:
        file = self.folder / "bench.launch.py"
        file.write_text(LAUNCH.format(entities=entities))
        prefixes = f"{self.folder}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}"
        launcher = subprocess.Popen(
            [sys.executable, "-m", "rlrobo.command", "launch", str(file), *arguments],
            env={**os.environ, "AMENT_PREFIX_PATH": prefixes},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.launchers.append(launcher)
        return launcher


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for launcher in bench.launchers:
        launcher.kill()
        launcher.wait()


def read_until(launcher: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The first line of the output that matches; fails when the output ends before."""
    assert launcher.stdout is not None
    seen = []
    for line in launcher.stdout:
        seen.append(line)
        if match := re.search(pattern, line):
            return match
    pytest.fail(f"no line matches {pattern!r} in:\n{''.join(seen)}")


def rest(launcher: subprocess.Popen[str]) -> str:
    return launcher.communicate(timeout=60)[0]


@pytest.mark.parametrize(("robot", "started"), [("mock", "one"), ("mujoco", "two")])
def test_a_node_is_started_where_its_condition_holds(
    bench: Bench, robot: str, started: str
) -> None:
    bench.executable("finish", FINISH)
    nodes = [
        f"Node(package='bench', executable='finish', name='{name}', condition=IfCondition("
        f"EqualsSubstitution(LaunchConfiguration('robot'), '{value}')))"
        for name, value in (("one", "mock"), ("two", "mujoco"))
    ]
    argument = "DeclareLaunchArgument('robot', choices=['mock', 'mujoco'])"
    output = rest(bench.launch(", ".join([argument, *nodes]), f"robot:={robot}"))
    (other,) = {"one", "two"} - {started}
    assert f"[{started}]: finished cleanly" in output and f"[{other}]" not in output


def left_behind(before: set[str]) -> set[str]:
    """Shared memory that came since and that no living process holds."""
    held = set()
    for name in (found := segments() - before):
        with suppress(FileNotFoundError), lock_file(name).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.add(name)
    return found - held


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_nodes_get_what_the_file_says_and_hear_each_other(bench: Bench) -> None:
    bench.executable("spin", SPIN)
    launcher = bench.launch(
        """
        DeclareLaunchArgument("word"), DeclareLaunchArgument("count", default_value="3"),
        Node(package="bench", executable="spin", name="first", namespace="left",
             remappings=[("word", "/shared")]),
        Node(package="bench", executable="spin", name="second", parameters=[{
            "word": ParameterValue(LaunchConfiguration("word"), value_type=str),
            "count": LaunchConfiguration("count"),
            "rate": ParameterValue(LaunchConfiguration("count"), value_type=float), "on": True}],
             remappings=[("word", "/shared")]),
        """,
        "word:=7",
    )
    read_until(
        launcher,
        r"^\[second\] parameters "
        r"\[\('count', 3\), \('on', True\), \('rate', 3.0\), \('word', '7'\)\]",
    )
    read_until(launcher, r"^\[second\] heard /left/first")
    launcher.send_signal(signal.SIGINT)
    rest(launcher)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_nodes_even_deaf_ones(bench: Bench, signum: signal.Signals) -> None:
    bench.executable("spin", SPIN)
    deaf = "for s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, signal.SIG_IGN)\n"
    child = "import subprocess; subprocess.Popen(['sleep', '1000'])\n"
    bench.executable("deaf", deaf + child + SPIN)
    before = segments()
    launcher = bench.launch(
        """
        Node(package="bench", executable="spin"),
        Node(package="bench", executable="deaf", sigterm_timeout="0.2", sigkill_timeout="0.2"),
        """
    )
    read_until(launcher, r"deaf\] heard")
    started = psutil.Process(launcher.pid).children(recursive=True)
    assert len(started) == 3
    launcher.send_signal(signum)
    rest(launcher)
    assert launcher.returncode == 128 + signum
    assert not any(lives(process) for process in started)
    assert not left_behind(before)


def test_an_interrupt_before_a_node_has_begun_leaves_no_trace(bench: Bench) -> None:
    """What it imports takes long, and Python prints a trace of a SIGINT wherever it is."""
    bench.executable("slow", SPIN)
    slow = bench.folder / "lib/bench/slow"
    slow.write_text(slow.read_text().replace("import signal", "import time; time.sleep(600) #", 1))
    launcher = bench.launch('Node(package="bench", executable="slow"),')
    read_until(launcher, "process started")
    launcher.send_signal(signal.SIGINT)
    output = rest(launcher)
    assert "ended before it began" in output and "Traceback" not in output


def test_the_launch_ends_with_the_exit_code_of_the_node_that_shuts_it_down(bench: Bench) -> None:
    bench.executable("spin", SPIN)
    bench.executable("fail", "sys.exit(7)")
    launcher = bench.launch(
        """
        Node(package="bench", executable="spin"),
        Node(package="bench", executable="fail", on_exit=Shutdown(reason="fail is over")),
        """
    )
    assert "fail is over" in rest(launcher)
    assert launcher.returncode == 7


def test_a_launch_without_running_nodes_is_over(bench: Bench) -> None:
    bench.executable("finish", FINISH)
    launcher = bench.launch('Node(package="bench", executable="finish"),')
    rest(launcher)
    assert launcher.returncode == 0


def test_a_killed_node_is_started_again_without_leaving_shared_memory(bench: Bench) -> None:
    bench.executable("spin", SPIN)
    before = segments()
    launcher = bench.launch('Node(package="bench", executable="spin", respawn=True),')
    first = int(read_until(launcher, r"started with pid \[(\d+)\]")[1])
    read_until(launcher, "heard")
    of_first = segments() - before
    remove_abandoned(of_first)
    assert of_first <= segments(), "those of a living node stay"
    os.kill(first, signal.SIGKILL)
    read_until(launcher, r"died, exit code -9")
    second = int(read_until(launcher, r"started with pid \[(\d+)\]")[1])
    read_until(launcher, "heard")
    assert second != first
    assert not {name for name in of_first & segments() if not name.startswith("fastrtps_port")}
    launcher.send_signal(signal.SIGINT)
    rest(launcher)
    assert not left_behind(before)


def test_nodes_end_when_the_launcher_is_killed(bench: Bench) -> None:
    bench.executable("spin", SPIN)
    launcher = bench.launch('Node(package="bench", executable="spin"),')
    node = psutil.Process(int(read_until(launcher, r"pid \[(\d+)\]")[1]))
    read_until(launcher, "heard")
    launcher.kill()
    node.wait(timeout=30)


def test_a_second_launch_of_the_same_nodes_is_refused(bench: Bench) -> None:
    bench.executable("spin", SPIN)
    entities = """DeclareLaunchArgument("ns", default_value="a"),
        Node(package="bench", executable="spin", name="it", namespace=LaunchConfiguration("ns")),"""
    first = bench.launch(entities)
    read_until(first, "heard")
    second = bench.launch(entities)
    assert "node /a/it runs already" in rest(second)
    assert second.returncode == 1
    third = bench.launch(entities, "ns:=b")
    read_until(third, "heard /b/it")
    for launcher in (first, third):
        launcher.send_signal(signal.SIGINT)
        rest(launcher)


def test_what_a_node_prints_last_is_not_lost(bench: Bench) -> None:
    bench.executable("finish", "print('x' * 100_000); print('last words')")
    output = rest(bench.launch('Node(package="bench", executable="finish"),'))
    assert "[finish] last words" in output


@pytest.mark.parametrize(
    ("entities", "arguments", "message"),
    [
        ("DeclareLaunchArgument('a')", [], "argument 'a' is needed"),
        ("DeclareLaunchArgument('a', default_value='1')", ["b:=1"], "no argument 'b'"),
        ("DeclareLaunchArgument('a', choices=['x', 'y'])", ["a:=z"], "choose one of: x, y"),
        ("DeclareLaunchArgument('a')", ["a=1"], "not of the form name:=value"),
        ("Node(package='absent', executable='x')", [], "no package 'absent'"),
        ("Node(package='bench', executable='x')", [], "no executable 'x', but: spin"),
        (
            "DeclareLaunchArgument('a', default_value='x'), Node(package='bench', executable="
            "'spin', parameters=[{'p': ParameterValue(LaunchConfiguration('a'), value_type=int)}])",
            [],
            "a:= of spin is not valid",
        ),
        ("__import__('launch.event_handlers')", [], "launch.event_handlers is not known"),
        ("__import__('launch').actions.TimerAction", [], "launch.actions.TimerAction is not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_line(
    bench: Bench, entities: str, arguments: list[str], message: str
) -> None:
    bench.executable("spin", SPIN)
    launcher = bench.launch(entities, *arguments)
    output = rest(launcher)
    assert launcher.returncode == 1
    assert message in output and len(output.splitlines()) == 1


def test_show_args_explains_every_argument(bench: Bench) -> None:
    entities = "DeclareLaunchArgument('speed', default_value='2', description='how fast')"
    output = rest(bench.launch(entities, "--show-args"))
    assert "'speed':" in output and "how fast" in output and "(default: '2')" in output
