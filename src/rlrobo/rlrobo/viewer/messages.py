"""A sight as standard messages: what RViz, Foxglove and others know how to draw.

`PUBLISHED` is the list that the layouts for RViz and Foxglove are held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Transform, TransformStamped, Vector3
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import ColorRGBA, Header
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from rlrobo.viewer.sight import Array, Box, Sight, advantage_color, state_color
from rlrobo_core.ros.messages import image_to_msg, pose_to_msg
from rlrobo_core.rotation import rotated
from rlrobo_core.shapes import Rgba
from rlrobo_core.urdf import panda_joints, positions, transform

PUBLISHED = {
    "robot_description": "std_msgs/msg/String",
    "tf": "tf2_msgs/msg/TFMessage",
    "joint_states": "sensor_msgs/msg/JointState",
    "viewer/image": "sensor_msgs/msg/Image",
    "viewer/markers": "visualization_msgs/msg/MarkerArray",
}
"""Topics, and their types."""

AXIS = 0.06
"""Length of the target's axes [m]."""
RED, GREEN, BLUE = (0.9, 0.2, 0.2, 1.0), (0.2, 0.8, 0.2, 1.0), (0.2, 0.4, 1.0, 1.0)
TRAIL_COLOR = (0.1, 0.6, 0.95, 0.9)
TEXT_COLOR = (1.0, 1.0, 1.0, 1.0)


def joint_states(sight: Sight, prefix: str, header: Header) -> JointState:
    position_of = positions(prefix, tuple(sight.joints.tolist()), sight.gripper_width)
    return JointState(
        header=header, name=list(position_of), position=list(map(float, position_of.values()))
    )


def transforms(sight: Sight, prefix: str, header: Header) -> TFMessage:
    position_of = positions(prefix, tuple(sight.joints.tolist()), sight.gripper_width)
    stamped = []
    for joint in panda_joints(prefix):
        (x, y, z), turn = transform(joint, position_of.get(joint.name, 0.0))
        placed = Transform(
            translation=Vector3(x=x, y=y, z=z),
            rotation=pose_to_msg([0.0, 0.0, 0.0, *turn]).orientation,
        )
        own = Header(stamp=header.stamp, frame_id=joint.parent)
        stamped.append(TransformStamped(header=own, child_frame_id=joint.child, transform=placed))
    return TFMessage(transforms=stamped)


def image(sight: Sight, header: Header) -> Image | None:
    return None if sight.image is None else image_to_msg(sight.image, "rgb8", header)


def markers(sight: Sight, header: Header) -> MarkerArray:
    """All of them anew: the first one deletes those before."""
    found: list[Marker] = [Marker(header=header, action=Marker.DELETEALL)]

    def add(namespace: str, kind: int, scale: float, **fields: Any) -> None:
        size = Vector3(x=scale, y=scale, z=scale)
        found.append(
            Marker(header=header, ns=namespace, id=len(found), type=kind, scale=size, **fields)
        )

    if sight.workspace:
        color = state_color(sight.state)
        add("workspace", Marker.LINE_LIST, 0.004, points=_edges(sight.workspace), color=_c(color))
    if len(sight.trail_L) > 1:
        add(
            "trail",
            Marker.LINE_STRIP,
            0.005,
            points=[*map(_point, sight.trail_L)],
            color=_c(TRAIL_COLOR),
        )
    if sight.target is not None:
        colors = [_c(it) for it in (RED, GREEN, BLUE) for _end in range(2)]
        add("target", Marker.LINE_LIST, 0.006, points=_axes(sight.target), colors=colors)
    for candidate in sight.candidates:
        add(
            "candidates",
            Marker.SPHERE,
            0.025 if candidate.chosen else 0.015,
            pose=pose_to_msg([*candidate.position.tolist(), 0.0, 0.0, 0.0, 1.0]),
            color=_c(advantage_color(candidate.advantage)),
        )
    above = sight.tool[:3] + np.array([0.0, 0.0, 0.35])
    add(
        "text",
        Marker.TEXT_VIEW_FACING,
        0.03,
        pose=pose_to_msg([*above.tolist(), 0.0, 0.0, 0.0, 1.0]),
        text=sight.text,
        color=_c(state_color(sight.state) if sight.state else TEXT_COLOR),
    )
    return MarkerArray(markers=found)


def box_edges(box: Box) -> list[tuple[Array, Array]]:
    """The twelve edges."""
    corners = [np.where(bits, box.high, box.low) for bits in np.ndindex(2, 2, 2)]
    return [(a, b) for i, a in enumerate(corners) for b in corners[:i] if np.sum(a != b) == 1]


def _edges(box: Box) -> list[Point]:
    return [_point(end) for edge in box_edges(box) for end in edge]


def _axes(pose: Array) -> list[Point]:
    ends = [rotated(pose[3:], AXIS * axis) for axis in np.eye(3)]
    return [_point(it) for end in ends for it in (pose[:3], pose[:3] + end)]


def _point(place: Sequence[float] | Array) -> Point:
    x, y, z = map(float, place)
    return Point(x=x, y=y, z=z)


def _c(rgba: Rgba) -> ColorRGBA:
    r, g, b, a = rgba
    return ColorRGBA(r=r, g=g, b=b, a=a)
