"""A node's parameters, declared from a dataclass."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from rlrobo_core.config import field_docs, from_values

T = TypeVar("T")


def declare_parameters(node: Node, cls: type[T]) -> T:
    """Declare the fields of the dataclass as read-only parameters and fill it with what the
    user set. Names and values are checked by `rlrobo_core.config.from_values` (ValueError).

    The node must be made with `automatically_declare_parameters_from_overrides=True`: this is
    how a misspelt parameter is seen at all.
    """
    # rclpy's annotation says values, but what comes is parameters.
    overrides: dict[str, Any] = node.get_parameters_by_prefix("")
    given = {name: parameter.value for name, parameter in overrides.items()}
    config = from_values(cls, {k: v for k, v in given.items() if not is_built_in(k)})
    docs, types = field_docs(cls), get_type_hints(cls)
    for field in fields(cls):  # pyright: ignore[reportArgumentType]
        value = getattr(config, field.name)
        descriptor = describe(docs[field.name], value, field.metadata.get("range"))
        if get_origin(types[field.name]) is Literal:
            choices = ", ".join(get_args(types[field.name]))
            descriptor.additional_constraints = f"one of: {choices}"
        if node.has_parameter(field.name):
            node.undeclare_parameter(field.name)
        stored = list(value) if isinstance(value, tuple) else value
        node.declare_parameter(field.name, stored, descriptor, ignore_override=True)
    return config


def is_built_in(parameter: str) -> bool:
    """Whether rclpy itself declares it on every node."""
    return parameter in ("use_sim_time", "start_type_description_service") or (
        parameter.startswith("qos_overrides.")
    )


def describe(
    text: str, value: object, bounds: tuple[float, float] | None = None
) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=text, read_only=True)
    if bounds and isinstance(value, float):
        low, high = map(float, bounds)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif bounds:
        low, high = map(int, bounds)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor
