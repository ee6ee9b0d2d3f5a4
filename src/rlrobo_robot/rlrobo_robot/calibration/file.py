"""The calibration's file (YAML):

    cameras:
      front:                              # a camera of the policy: front, wrist
        parent: base                      # what it is fixed to; a wrist camera: the hand
        child: camera_color_optical_frame # as its images say in header.frame_id
        translation: [0.95, 0.0, 0.55]    # of the child in the parent [m]
        rotation: [-0.612, -0.612, 0.354, 0.354]  # unit quaternion x, y, z, w

Optical frames are REP-103's: z along the view, x to the right, y down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlrobo_core.robot.arm import CAMERA_NAMESPACES
from rlrobo_core.rotation import Quaternion, Vector, normalized

KEYS = ("parent", "child", "translation", "rotation")
UNIT_TOLERANCE = 0.01
"""Of a quaternion's length: files have few digits."""
FARTHEST = 5.0
"""[m]; a camera further from the arm than this was written in millimetres."""
CURE = "docs/real_robot.md, Calibration, says how it is made"


@dataclass(frozen=True)
class CameraPlace:
    """A camera's optical frame in the frame that it is fixed to."""

    parent: str
    child: str
    translation: Vector
    """[m]"""
    rotation: Quaternion


def read_calibration(path: str) -> dict[str, CameraPlace]:
    """By the policy's cameras. ValueError, in one sentence, for a file that is not one."""
    if not path:
        raise ValueError(
            "a real arm needs to know where its cameras are, and calibration is empty; give the "
            f"file: calibration:=calibration.yaml ({CURE})"
        )
    try:
        content = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise ValueError(f"calibration {path!r} is not read: {error.strerror}; {CURE}") from None
    except yaml.YAMLError as error:
        raise ValueError(
            f"calibration {path!r} is no YAML: {' '.join(str(error).split())}"
        ) from None
    try:
        return parse(content)
    except ValueError as error:
        raise ValueError(f"calibration {path!r}: {error}; {CURE}") from None


def parse(content: Any) -> dict[str, CameraPlace]:
    if not isinstance(content, Mapping) or not isinstance(content.get("cameras"), Mapping):
        raise ValueError("it has no 'cameras:'")
    places = {str(name): place_of(str(name), it) for name, it in content["cameras"].items()}
    if not places:
        raise ValueError("it has no camera")
    children = [it.child for it in places.values()]
    if len(set(children)) < len(children):
        raise ValueError(f"two cameras have the frame {max(children, key=children.count)!r}")
    return places


def place_of(name: str, content: Any) -> CameraPlace:
    if name not in CAMERA_NAMESPACES:
        raise ValueError(f"there is no camera {name!r}, but: {', '.join(CAMERA_NAMESPACES)}")
    if not isinstance(content, Mapping) or set(content) != set(KEYS):
        there = ", ".join(map(str, content)) if isinstance(content, Mapping) else content
        raise ValueError(f"camera {name!r} must have {', '.join(KEYS)} and has {there}")
    for key in ("parent", "child"):
        if not (isinstance(content[key], str) and content[key]):
            raise ValueError(f"{key} of camera {name!r} is {content[key]!r} and no frame")
    if content["parent"] == content["child"]:
        raise ValueError(f"camera {name!r} is fixed to itself, {content['parent']!r}")
    x, y, z = numbers(name, "translation", content, 3)
    if math.hypot(x, y, z) > FARTHEST:
        raise ValueError(
            f"camera {name!r} is {math.hypot(x, y, z):g} m away from {content['parent']!r}; "
            "write translation in metres"
        )
    rotation = numbers(name, "rotation", content, 4)
    length = math.hypot(*rotation)
    if abs(length - 1.0) > UNIT_TOLERANCE:
        raise ValueError(
            f"rotation of camera {name!r} has length {length:.3f} and is no unit quaternion; "
            "write x, y, z, w"
        )
    return CameraPlace(content["parent"], content["child"], (x, y, z), normalized(rotation))


def numbers(name: str, key: str, content: Mapping[str, Any], count: int) -> tuple[float, ...]:
    values = content[key]
    right = (
        isinstance(values, list)
        and len(values) == count
        and all(type(it) in (int, float) and math.isfinite(it) for it in values)
    )
    if not right:
        raise ValueError(f"{key} of camera {name!r} is {values!r}; write {count} numbers")
    return tuple(map(float, values))
