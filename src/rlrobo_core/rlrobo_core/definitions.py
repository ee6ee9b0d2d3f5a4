"""Definitions of message types: those of ROS 2 Jazzy are in `rosbags`, others stand in the share
folders of the packages that a sourced workspace holds, ours also in this source tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

SOURCES = Path(__file__).resolve().parents[2]
"""The packages of this source tree, where it is one."""
SEPARATOR = "=" * 80 + "\n"


@cache
def message_types() -> Any:
    """The type store of ROS 2 Jazzy; `know` makes other types known to it."""
    return get_typestore(Stores.ROS2_JAZZY)


def know(msgtype: str) -> None:
    """ValueError where the definition of the type, or of one inside it, is not found."""
    if msgtype in message_types().fielddefs:
        return
    fields = get_types_from_msg(_definition_file(msgtype).read_text(), msgtype)
    message_types().register(fields)
    for inner in _named_inside(fields[msgtype][1]):
        know(inner)


def definition(msgtype: str) -> str:
    """With the definitions of the types inside, as bags hold it. ValueError as in `know`."""
    know(msgtype)
    return message_types().generate_msgdef(msgtype, ros_version=2)[0]


def digest(msgtype: str) -> str:
    """RIHS01 hash of the definition, as ROS computes it. ValueError as in `know`."""
    know(msgtype)
    return message_types().hash_rihs01(msgtype)


def digest_of(msgtype: str, text: str) -> str:
    """Of a definition as bags hold it; empty where it cannot be read."""
    store = get_typestore(Stores.EMPTY)
    first, *rest = text.split(SEPARATOR)
    try:
        store.register(get_types_from_msg(first, msgtype))
        for part in rest:
            head, _, body = part.partition("\n")
            package, _, name = head.removeprefix("MSG: ").strip().partition("/")
            inner = f"{package}/msg/{name.removeprefix('msg/')}"
            store.register(get_types_from_msg(body, inner))
        return store.hash_rihs01(msgtype)
    except (TypesysError, KeyError):
        return ""


def _definition_file(msgtype: str) -> Path:
    package, _, name = msgtype.partition("/")
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    folders = [Path(prefix, "share", package) for prefix in prefixes if prefix]
    for folder in [*folders, SOURCES / package]:
        if (folder / f"{name}.msg").is_file():
            return folder / f"{name}.msg"
    raise ValueError(
        f"the definition of {msgtype} is not found: source the workspace that has {package}"
    )


def _named_inside(fields: Any) -> Iterator[str]:
    """The message types that fields (in the notation of `rosbags`) are made of."""
    for _name, (_kind, what) in fields:
        if isinstance(what, str):
            yield what
        elif isinstance(what[0], tuple) and isinstance(what[0][1], str):
            yield what[0][1]
