"""Reads a launch file and the command line's `name:=value`, and says what the file takes."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path

from rlrobo.interpreter.names import (
    MODULES,
    DeclareLaunchArgument,
    IfElseSubstitution,
    LaunchConfiguration,
    LaunchDescription,
    LaunchError,
    Substitution,
    Text,
    missing,
    perform,
    standing_in,
)


def load(file: Path) -> LaunchDescription:
    """The description that the launch file makes."""
    with standing_in():
        try:
            return runpy.run_path(str(file))["generate_launch_description"]()
        except ModuleNotFoundError as error:
            if error.name and error.name.split(".")[0] in MODULES:
                raise missing(error.name) from None
            raise


def declared(description: LaunchDescription) -> dict[str, DeclareLaunchArgument]:
    entities = description.entities
    return {it.name: it for it in entities if isinstance(it, DeclareLaunchArgument)}


def configure(description: LaunchDescription, given: Sequence[str]) -> dict[str, str]:
    """The value of every argument; LaunchError for one that is unknown, missing, or invalid."""
    arguments = declared(description)
    values = dict(_split(text) for text in given)
    if unknown := [name for name in values if name not in arguments]:
        raise LaunchError(f"no argument {unknown[0]!r}; there are: {', '.join(arguments)}")
    for name, argument in arguments.items():
        if name not in values:
            if argument.default_value is None:
                needed = f"argument {name!r} is needed: {name}:=…"
                raise LaunchError(f"{needed} ({argument.description})")
            values[name] = perform(argument.default_value, values)
        if argument.choices is not None and values[name] not in argument.choices:
            raise LaunchError(
                f"{name}:={values[name]} is not valid; choose one of: {', '.join(argument.choices)}"
            )
    return values


def _told(default: Text) -> str:
    """A default in the words of ros2 launch: the value of another argument by its name. Of one
    that depends on another argument, what it may be."""
    if isinstance(default, LaunchConfiguration):
        return f"LaunchConfiguration('{default.name}')"
    if isinstance(default, IfElseSubstitution):
        return f"{_told(default.if_value)} or {_told(default.else_value)}"
    if isinstance(default, Substitution):
        return default.describe()
    return f"'{perform(default, {})}'"


def _split(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":=")
    if not (separator and name):
        raise LaunchError(f"{text!r} is not of the form name:=value")
    return name, value


def explain(description: LaunchDescription) -> str:
    """What `--show-args` prints, in the words of ros2 launch."""
    lines = ["Arguments (pass arguments as '<name>:=<value>'):"]
    for argument in declared(description).values():
        choices = f". Valid choices are: {list(argument.choices)}" if argument.choices else ""
        default = argument.default_value
        ending = "(required)" if default is None else f"(default: {_told(default)})"
        lines += ["", f"    '{argument.name}':", f"        {argument.description}{choices}"]
        lines += [f"        {ending}"]
    return "\n".join(lines)
