"""Configuration is a dataclass beside the code that it configures, a docstring under each field.

Here such a dataclass is filled from loose values (ROS parameters, YAML, a command line) with
errors that a user can act on, and its docstrings are read for descriptions.

A field may be annotated bool, int, float, str, Literal of strings, or a tuple of one of those
(`tuple[str, ...]`); `metadata={"range": (low, high)}` bounds a number, both ends included.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

T = TypeVar("T")

WORD = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def field_docs(cls: type) -> dict[str, str]:
    """The docstring under each field, on one line; "" where there is none."""
    docs = dict.fromkeys(cls.__dataclass_fields__, "")
    for base in reversed([base for base in cls.__mro__ if "__dataclass_fields__" in vars(base)]):
        tree = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(tree, ast.ClassDef)
        for statement, below in zip(tree.body, tree.body[1:], strict=False):
            match statement, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    docs[name] = " ".join(text.split())
    return docs


def from_values(cls: type[T], values: Mapping[str, Any]) -> T:
    """An instance of the dataclass; what `values` lacks keeps its default. ValueError in one
    sentence for an unknown name, a missing one, a wrong type, or a value out of its range."""
    known = {field.name: field for field in fields(cls)}  # pyright: ignore[reportArgumentType]
    for name in values:
        if name not in known:
            raise ValueError(f"unknown parameter {name!r}; choose from: {', '.join(known)}")
    for name, field in known.items():
        if name not in values and not has_default(field):
            raise ValueError(f"parameter {name!r} is needed: set {name}:=<value>")
    types = typing.get_type_hints(cls)
    return cls(**{name: _checked(known[name], types[name], v) for name, v in values.items()})


def as_in_run(config: T, run: str, but: Collection[str] = ()) -> T:
    """`config` with the values that it shares with the configuration of that run directory, `but`
    some; as it is where `run` is "". ValueError where there is no such run."""
    if not run:
        return config
    try:
        values = yaml.safe_load((Path(run) / "config.yaml").read_text())
    except OSError as error:
        raise ValueError(f"resume:={run} is no run directory: {error.strerror}") from None
    shared = {field.name for field in fields(config)} & values.keys() - {"resume", *but}  # pyright: ignore[reportArgumentType]
    filled = from_values(type(config), {name: values[name] for name in shared})
    changes = {name: getattr(filled, name) for name in shared}
    return replace(config, **changes)  # pyright: ignore[reportArgumentType]


def has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _checked(field: Field[Any], wanted: Any, value: Any) -> Any:
    try:
        value = coerce(value, wanted)
    except TypeError as error:
        raise ValueError(f"parameter {field.name!r} must be {error}, not {value!r}") from None
    low, high = field.metadata.get("range", (None, None))
    if low is not None and not low <= value <= high:
        raise ValueError(f"parameter {field.name!r} must lie in [{low}, {high}], not {value}")
    return value


def coerce(value: Any, wanted: Any) -> Any:
    """`value` as the annotated type. A whole number may stand for a number (1 for 1.0), and a
    number for text (a run named 7), because YAML guesses. TypeError says what was wanted."""
    if typing.get_origin(wanted) is Literal:
        choices = typing.get_args(wanted)
        if value not in choices:
            raise TypeError(f"one of {', '.join(choices)}")
        return value
    if typing.get_origin(wanted) is tuple:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError("a list")
        return tuple(coerce(item, typing.get_args(wanted)[0]) for item in value)
    accepted = {float: (int, float), str: (int, float, str)}.get(wanted, (wanted,))
    if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
        raise TypeError(WORD[wanted])
    return wanted(value)
