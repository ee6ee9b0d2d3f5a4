"""What the launch files share: arguments that are typed, and nodes that end together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import (
    EqualsSubstitution,
    IfElseSubstitution,
    LaunchConfiguration,
    NotEqualsSubstitution,
)
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import Substitution  # pyright: ignore[reportAttributeAccessIssue]
from rlrobo.trained import trained

MISCONFIGURED = 2
"""The exit code of a node whose parameters are not valid: starting it again would not help."""


@dataclass(frozen=True)
class Argument:
    """A launch argument and the node parameter of the same name and type."""

    name: str
    default: bool | int | float | str | tuple[str, ...] | Argument | IfElseSubstitution
    """Another argument stands for its value; text that depends on one is a substitution."""
    description: str
    choices: tuple[str, ...] | None = None
    trained: str = ""
    """What a run's configuration calls it, where the setting that `checkpoint` was trained with is
    the default; an argument of that name is declared before."""

    def declare(self) -> DeclareLaunchArgument:
        return DeclareLaunchArgument(
            self.name,
            default_value=self._default_value(),
            description=self.description,
            choices=self.choices,
        )

    def _default_value(self) -> str | Substitution:
        default = self.default
        if isinstance(default, Argument):
            return default.value
        if isinstance(default, IfElseSubstitution):
            return default
        return AsTrained(self.trained, as_text(default)) if self.trained else as_text(default)

    @property
    def value(self) -> LaunchConfiguration:
        return LaunchConfiguration(self.name)

    def equals(self, value: str) -> IfCondition:
        """For nodes that are only there where the argument is that value."""
        return IfCondition(EqualsSubstitution(self.value, value))

    def differs(self, value: str) -> IfCondition:
        """For nodes that are not there where the argument is that value."""
        return IfCondition(NotEqualsSubstitution(self.value, value))

    def parameter(self) -> ParameterValue:
        if isinstance(self.default, Argument):
            return replace(self, default=self.default.default).parameter()
        if isinstance(self.default, IfElseSubstitution):
            return ParameterValue(self.value, value_type=str)
        kind = None if isinstance(self.default, tuple) else type(self.default)
        return ParameterValue(self.value, value_type=kind)


def as_text(value: bool | int | float | str | tuple[str, ...]) -> str:
    """As it is written on the command line: true, 0.5, [front, wrist]."""
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


class AsTrained(Substitution):
    """Stands for a setting of the checkpoint; for `otherwise` where none is given or says it."""

    def __init__(self, setting: str, otherwise: str):
        super().__init__()
        self.setting, self.otherwise = setting, otherwise

    def describe(self) -> str:
        return f"'{self.otherwise}', or as checkpoint was trained"

    def perform(self, context: Any) -> str:
        settings = trained(context.launch_configurations["checkpoint"])
        return as_text(settings[self.setting]) if self.setting in settings else self.otherwise


def as_trained(argument: Argument, setting: str = "") -> Argument:
    """The argument, by default as the checkpoint had it, by the name of `setting`."""
    return replace(argument, trained=setting or argument.name)


NAMESPACE = Argument("namespace", "", "namespace of the nodes: graphs of different ones do not mix")

RECORD = Argument("record", False, "write all topics of the graph as a bag (rosbag2, MCAP)")
BAG = Argument("bag", "", "where the bag goes; empty: a new folder in bags/")
KEEP_GB = Argument("keep_gb", 50.0, "of the bag so much is kept, the newest [GB]; 0: all")
RECORDING = [RECORD, BAG, KEEP_GB]

VIEWER = Argument(
    "viewer",
    "none",
    "look at it: rviz, foxglove (a bridge for it), rerun; none",
    ("none", "rviz", "rerun", "foxglove"),
)
VIEWER_FILE = Argument("viewer_file", "", "of rerun: write this .rrd instead of opening a window")
VIEWING = [VIEWER, VIEWER_FILE]
RVIZ_TOPICS = (
    "/tf", "/tf_static", "/robot_description", "/viewer/markers", "/viewer/image",
    "/camera/image_raw",
)  # fmt: skip
"""Of RViz's layouts, which name them in the root namespace."""


def environment() -> list[SetEnvironmentVariable]:
    """Large messages through shared memory, output that appears when it is printed, and half of
    the cores for a node's tensors: with more, threads that wait for each other halt the graph."""
    profile = get_package_share_directory("rlrobo") + "/config/fastdds.xml"
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // 2))
    return [
        SetEnvironmentVariable("OMP_NUM_THREADS", threads),
        SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", profile),
        SetEnvironmentVariable("PYTHONUNBUFFERED", "1"),
    ]


def node(
    package: str, arguments: Sequence[Argument], parameters: Mapping[str, Any], **options: Any
) -> Node:
    """The node of a package, named like its executable: rlrobo_sim's is `sim`, where none is
    named as in `rlrobo_robot/safety`. It gets the arguments and the fixed `parameters` as its
    parameters, and 4.5 s to end."""
    package, _, name = package.partition("/")
    name = name or package.removeprefix("rlrobo_")
    return Node(
        package=package,
        executable=name,
        name=name,
        namespace=LaunchConfiguration(NAMESPACE.name),
        parameters=[{**{it.name: it.parameter() for it in arguments}, **parameters}],
        output="screen",
        sigterm_timeout="3.5",
        sigkill_timeout="1",
        **options,
    )


def required(
    package: str, *arguments: Argument, condition: IfCondition | None = None, **parameters: Any
) -> Node:
    """A node whose end ends the launch, with an error when it ended with one."""
    return node(package, arguments, parameters, on_exit=_end, condition=condition)


def respawned(
    package: str,
    *arguments: Argument,
    condition: IfCondition | None = None,
    remappings: Sequence[tuple[str, Any]] = (),
    **parameters: Any,
) -> Node:
    """A node that is started again when it dies, unless its parameters are not valid."""
    options: dict[str, Any] = {"respawn": True, "respawn_delay": 1.0}
    options |= {"on_exit": _end_if_misconfigured, "remappings": remappings}
    return node(package, arguments, parameters, condition=condition, **options)


def recorder() -> Node:
    """Writes the bag where record:=true; its end is not the run's."""
    return node("rlrobo/record", [BAG, KEEP_GB], {}, condition=IfCondition(RECORD.value))


def viewers(layout: str, *arguments: Argument, **parameters: Any) -> list[Node]:
    """What viewer:= asks for: a node that listens, and the program that shows what it tells, RViz
    with `layout` (training or robot). Their end is not the run's."""
    config = f"{get_package_share_directory('rlrobo')}/config/{layout}.rviz"
    into_namespace = [(topic, topic.removeprefix("/")) for topic in RVIZ_TOPICS]
    return [
        node("rlrobo/view", [*VIEWING, *arguments], parameters, condition=VIEWER.differs("none")),
        _program("rviz2", "rviz", arguments=["-d", config], remappings=into_namespace),
        _program("foxglove_bridge", "foxglove"),
    ]


def _program(package: str, viewer: str, **options: Any) -> Node:
    """The one of that package, in the graph's namespace, where viewer:= is that viewer."""
    return Node(
        package=package,
        executable=package,
        name=viewer,
        namespace=LaunchConfiguration(NAMESPACE.name),
        condition=VIEWER.equals(viewer),
        output="screen",
        **options,
    )


def replayer(*arguments: Argument) -> Node:
    """Publishes a bag; its end ends the launch."""
    return node("rlrobo/replay", arguments, {}, on_exit=_end)


def _end(event: Any, context: Any) -> Shutdown:
    if event.returncode:
        raise RuntimeError(f"{event.process_name} ended with exit code {event.returncode}")
    return Shutdown(reason=f"{event.process_name} is done")


def _end_if_misconfigured(event: Any, context: Any) -> None:
    if event.returncode == MISCONFIGURED:
        raise RuntimeError(f"{event.process_name} was not started again: its message says why")
