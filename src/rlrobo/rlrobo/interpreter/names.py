"""The names of launch and launch_ros that launch files here use, with the same meaning.

Here they are plain records; `supervisor.py` does what they say. A name that is missing says
so when a launch file imports it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import PurePath
from types import ModuleType
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory


class LaunchError(Exception):
    """A launch that cannot be; the message names the cure."""


Configurations = Mapping[str, str]
"""The launch arguments by name, as text."""


@dataclass(frozen=True)
class Context:
    """What a substitution of a launch file's own is performed in."""

    launch_configurations: Configurations


class Substitution:
    """Stands for a text that is known when the launch begins. Of those that launch files define."""

    def perform(self, context: Context) -> str:
        raise NotImplementedError

    def describe(self) -> str:
        """As `--show-args` tells a default."""
        return repr(self)


@dataclass(frozen=True)
class LaunchConfiguration:
    """Stands for the value of a launch argument."""

    name: str

    def perform(self, configurations: Configurations) -> str:
        if self.name not in configurations:
            raise LaunchError(f"the launch file uses argument {self.name!r} without declaring it")
        return configurations[self.name]


@dataclass(frozen=True)
class EqualsSubstitution:
    """Stands for true or false: whether both are the same text."""

    left: Text
    right: Text

    def perform(self, configurations: Configurations) -> str:
        same = perform(self.left, configurations) == perform(self.right, configurations)
        return str(same).lower()


@dataclass(frozen=True)
class NotEqualsSubstitution(EqualsSubstitution):
    """Stands for true or false: whether they are different texts."""

    def perform(self, configurations: Configurations) -> str:
        return str(super().perform(configurations) == "false").lower()


@dataclass(frozen=True)
class OrSubstitution:
    """Stands for true or false: whether either says true."""

    left: Text
    right: Text

    def perform(self, configurations: Configurations) -> str:
        both = (self.left, self.right)
        return str(any(IfCondition(it).evaluate(configurations) for it in both)).lower()


@dataclass(frozen=True)
class IfElseSubstitution:
    """Stands for one text where the condition says true, for the other where it says false."""

    condition: Text
    if_value: Text = ""
    else_value: Text = ""

    def perform(self, configurations: Configurations) -> str:
        holds = IfCondition(self.condition).evaluate(configurations)
        return perform(self.if_value if holds else self.else_value, configurations)


@dataclass(frozen=True)
class FindPackageShare:
    """Stands for the folder of a package's data."""

    package: str

    def perform(self, configurations: Configurations) -> str:
        try:
            return get_package_share_directory(self.package)
        except PackageNotFoundError:
            raise LaunchError(
                f"no package {self.package!r}; where rlrobo.repos names it: vcs import src < "
                "rlrobo.repos, build it, and source its install/setup.bash"
            ) from None


@dataclass(frozen=True)
class PathJoinSubstitution:
    """Stands for a path made of its parts."""

    substitutions: Sequence[Text]

    def perform(self, configurations: Configurations) -> str:
        return str(PurePath(*(perform(it, configurations) for it in self.substitutions)))


KnownSubstitution = (
    LaunchConfiguration
    | EqualsSubstitution
    | OrSubstitution
    | IfElseSubstitution
    | FindPackageShare
    | PathJoinSubstitution
)
Text = (
    str
    | PathLike[str]
    | KnownSubstitution
    | Substitution
    | Sequence[str | KnownSubstitution | Substitution]
)


def perform(text: Text, configurations: Configurations) -> str:
    """The text with every substitution replaced by its value, joined without a separator."""
    if isinstance(text, KnownSubstitution):
        return text.perform(configurations)
    if isinstance(text, Substitution):
        return text.perform(Context(configurations))
    if isinstance(text, (str, PathLike)):
        return str(text)
    return "".join(perform(part, configurations) for part in text)


@dataclass(frozen=True)
class IfCondition:
    """Whether a text says true or 1; neither that nor false or 0 is an error, as in launch."""

    predicate: Text

    def evaluate(self, configurations: Configurations) -> bool:
        text = perform(self.predicate, configurations).strip().lower()
        if text not in ("true", "1", "false", "0"):
            raise LaunchError(f"{text!r} is not true or false, as a condition has to be")
        return text in ("true", "1")


@dataclass(frozen=True)
class ParameterValue:
    """A parameter of a given type; without one the text is read as YAML, as launch_ros does."""

    value: Any
    value_type: type | None = None

    def evaluate(self, configurations: Configurations) -> Any:
        if not isinstance(self.value, (str, KnownSubstitution, Substitution, list, tuple)):
            return self.value
        text = perform(self.value, configurations)
        if self.value_type is str:
            return text
        if self.value_type in (int, float):
            return self.value_type(text)
        value = yaml.safe_load(text) if text else ""
        if self.value_type is not None and not isinstance(value, self.value_type):
            raise ValueError(f"{text!r} is not true or false")
        return value


@dataclass(frozen=True)
class DeclareLaunchArgument:
    name: str
    default_value: Text | None = None
    description: str = "no description given"
    choices: Sequence[str] | None = None


@dataclass(frozen=True)
class SetEnvironmentVariable:
    """Holds for the nodes that follow."""

    name: str
    value: Text


@dataclass(frozen=True)
class Shutdown:
    reason: str = "reason not given"


@dataclass(frozen=True)
class ProcessExited:
    """What an `on_exit` function is called with."""

    process_name: str
    pid: int
    returncode: int


@dataclass(frozen=True, kw_only=True)
class Node:
    """launch_ros.actions.Node; times in seconds, as text where launch has them as text."""

    package: str
    executable: str
    name: str | None = None
    namespace: Text = ""
    parameters: Sequence[Text | Mapping[str, Any]] = ()
    remappings: Sequence[tuple[Text, Text]] = ()
    arguments: Sequence[Text] = ()
    output: str = "screen"
    additional_env: Mapping[str, Text] = field(default_factory=dict)
    respawn: bool = False
    respawn_delay: float = 0.0
    condition: IfCondition | None = None
    on_exit: Shutdown | Callable[[ProcessExited, Any], Any] | None = None
    sigterm_timeout: str = "5"
    sigkill_timeout: str = "5"


@dataclass(frozen=True)
class PythonLaunchDescriptionSource:
    """Another launch file, by its path."""

    location: Text


@dataclass(frozen=True)
class IncludeLaunchDescription:
    """Another package's launch file: it needs `ros2 launch`, and is refused where it is wanted."""

    launch_description_source: PythonLaunchDescriptionSource
    launch_arguments: Iterable[tuple[str, Text]] = ()
    condition: IfCondition | None = None


Action = DeclareLaunchArgument | SetEnvironmentVariable | Shutdown | Node | IncludeLaunchDescription


@dataclass(frozen=True)
class LaunchDescription:
    entities: Sequence[Action] = ()


MODULES: dict[str, tuple[type, ...]] = {
    "launch": (LaunchDescription, Substitution),
    "launch.actions": (
        DeclareLaunchArgument,
        IncludeLaunchDescription,
        SetEnvironmentVariable,
        Shutdown,
    ),
    "launch.conditions": (IfCondition,),
    "launch.launch_description_sources": (PythonLaunchDescriptionSource,),
    "launch.substitutions": (
        EqualsSubstitution,
        IfElseSubstitution,
        LaunchConfiguration,
        NotEqualsSubstitution,
        OrSubstitution,
        PathJoinSubstitution,
    ),
    "launch_ros": (),
    "launch_ros.actions": (Node,),
    "launch_ros.parameter_descriptions": (ParameterValue,),
    "launch_ros.substitutions": (FindPackageShare,),
}


def missing(name: str) -> LaunchError:
    known = ", ".join(f"{module}.{it.__name__}" for module, its in MODULES.items() for it in its)
    return LaunchError(
        f"{name} is not known to rlrobo's launch interpreter, which knows {known}; "
        "start this file with `ros2 launch` of ROS 2 Jazzy"
    )


def _module(name: str, contents: tuple[type, ...]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update({it.__name__: it for it in contents})

    def __getattr__(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise missing(f"{name}.{attribute}")

    vars(module)["__getattr__"] = __getattr__
    return module


@contextmanager
def standing_in() -> Iterator[None]:
    """Within it, `import launch` and `import launch_ros` give the names above."""
    modules = {name: _module(name, contents) for name, contents in MODULES.items()}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            vars(modules[parent])[child] = module
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
