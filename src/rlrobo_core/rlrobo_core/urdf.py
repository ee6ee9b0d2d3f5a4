"""The Panda as a URDF, and as the transforms of its links: both from one list of joints.

Frames and limits are those of `panda.py`, what is seen those of `panda_shapes.py`; links and
joints are named as in franka_description. Lengths [m], angles [rad].
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple
from xml.etree import ElementTree as xml

from rlrobo_core import panda
from rlrobo_core.panda_shapes import LINK_SHAPES
from rlrobo_core.rotation import Quaternion, Vector, exponential, multiply, rotated
from rlrobo_core.shapes import Shape, Vec3

BASE_LINK = "base"
"""The frame of all poses."""
Z = (0.0, 0.0, 1.0)
FINGER_FORCE, FINGER_SPEED = 100.0, 0.2
"""[N], [m/s]: franka_description, end_effectors/common/franka_hand.xacro."""


class Limits(NamedTuple):
    low: float
    high: float
    effort: float
    velocity: float


class Joint(NamedTuple):
    """Where a link hangs on another one."""

    name: str
    kind: Literal["fixed", "revolute", "prismatic"]
    parent: str
    child: str
    xyz: Vec3
    rpy: Vec3
    """Turns about the parent's fixed axes x, y, z, in this order, as URDF has them."""
    axis: Vec3 = Z
    limits: Limits | None = None
    looks_like: str = ""
    """Key of the child's shapes in LINK_SHAPES."""


def panda_joints(prefix: str) -> tuple[Joint, ...]:
    """From the base outwards; the names begin with `prefix`, as in panda_, fer_ or fr3_."""

    def fixed(name: str, parent: str, child: str, z: float, yaw: float, looks: str = "") -> Joint:
        return Joint(
            prefix + name,
            "fixed",
            parent,
            prefix + child,
            (0.0, 0.0, z),
            (0.0, 0.0, yaw),
            looks_like=looks,
        )

    def finger(side: str, number: int, yaw: float) -> Joint:
        limits = Limits(0.0, panda.MAX_FINGER_TRAVEL, FINGER_FORCE, FINGER_SPEED)
        place = ((0.0, 0.0, panda.FINGER_Z), (0.0, 0.0, yaw), (0.0, 1.0, 0.0), limits, "finger")
        name = f"{prefix}finger_joint{number}"
        return Joint(name, "prismatic", f"{prefix}hand", f"{prefix}{side}finger", *place)

    return (
        fixed("base_joint", BASE_LINK, "link0", 0.0, 0.0, "link0"),
        *(_turning(prefix, i) for i in range(panda.NUM_JOINTS)),
        fixed("joint8", f"{prefix}link7", "link8", panda.FLANGE_D, 0.0),
        fixed("hand_joint", f"{prefix}link8", "hand", 0.0, panda.HAND_YAW, "hand"),
        fixed("hand_tcp_joint", f"{prefix}hand", "hand_tcp", panda.TCP_Z, 0.0),
        finger("left", 1, 0.0),
        finger("right", 2, math.pi),
    )


def _turning(prefix: str, i: int) -> Joint:
    """Rot_x(alpha) Trans_x(a) Trans_z(d), then the turn about z: Denavit-Hartenberg by Craig."""
    a, d, alpha = panda.DH_A[i], panda.DH_D[i], panda.DH_ALPHA[i]
    return Joint(
        name=f"{prefix}joint{i + 1}",
        kind="revolute",
        parent=f"{prefix}link{i}",
        child=f"{prefix}link{i + 1}",
        xyz=(a, -d * math.sin(alpha), d * math.cos(alpha)),
        rpy=(alpha, 0.0, 0.0),
        limits=Limits(
            float(panda.JOINT_LOW[i]),
            float(panda.JOINT_HIGH[i]),
            float(panda.JOINT_TORQUE[i]),
            float(panda.JOINT_SPEED[i]),
        ),
        looks_like=f"link{i + 1}",
    )


def panda_urdf(prefix: str) -> str:
    """What `robot_description` holds. ValueError for a prefix that no name can begin with."""
    if not re.fullmatch(r"([A-Za-z]\w*)?", prefix):
        raise ValueError(f"joint_prefix is {prefix!r}; take letters, digits and _, as in panda_")
    robot = xml.Element("robot", name=prefix.rstrip("_") or "panda")
    for rgba in dict.fromkeys(shape.rgba for its in LINK_SHAPES.values() for shape in its):
        material = xml.SubElement(robot, "material", name=_color(rgba))
        xml.SubElement(material, "color", rgba=_text(rgba))
    xml.SubElement(robot, "link", name=BASE_LINK)
    for joint in panda_joints(prefix):
        link = xml.SubElement(robot, "link", name=joint.child)
        for shape in LINK_SHAPES.get(joint.looks_like, ()):
            _add_shape(link, shape)
        _add_joint(robot, joint)
    xml.indent(robot)
    return '<?xml version="1.0"?>\n' + xml.tostring(robot, encoding="unicode") + "\n"


def transform(joint: Joint, position: float) -> tuple[Vector, Quaternion]:
    """From the child's frame to the parent's where the joint is at `position` [rad] or [m]."""
    turn, (x, y, z) = from_rpy(joint.rpy), joint.xyz
    ax, ay, az = (it * position for it in joint.axis)
    if joint.kind == "revolute":
        turn = multiply(turn, exponential((ax, ay, az)))
    elif joint.kind == "prismatic":
        dx, dy, dz = rotated(turn, (ax, ay, az))
        x, y, z = x + dx, y + dy, z + dz
    return (x, y, z), turn


def positions(prefix: str, angles: tuple[float, ...], width: float) -> Mapping[str, float]:
    """Of the joints that move: the arm's seven angles, and both fingers where the gripper is
    open by `width`."""
    names = [f"{prefix}joint{i + 1}" for i in range(panda.NUM_JOINTS)]
    fingers = [f"{prefix}finger_joint{number}" for number in (1, 2)]
    return dict(zip(names, angles, strict=True)) | dict.fromkeys(fingers, width / 2)


def from_rpy(rpy: Vec3) -> Quaternion:
    """Turns about the fixed axes x, y, z, one after the other."""
    roll, pitch, yaw = rpy
    about_yz = multiply(exponential((0.0, 0.0, yaw)), exponential((0.0, pitch, 0.0)))
    return multiply(about_yz, exponential((roll, 0.0, 0.0)))


def _add_shape(link: xml.Element, shape: Shape) -> None:
    """URDF knows no capsules: a cylinder with a sphere at either end."""
    rpy = _z_to(shape.axis)
    if shape.form == "box":
        size = _text(tuple(2 * it for it in shape.size))
        return _add_geometry(link, shape, shape.pos, rpy, "box", size=size)
    radius = _text((shape.size[0],))
    if shape.form == "sphere":
        return _add_geometry(link, shape, shape.pos, rpy, "sphere", radius=radius)
    half = shape.size[1]
    length = _text((2 * half,))
    _add_geometry(link, shape, shape.pos, rpy, "cylinder", radius=radius, length=length)
    if shape.form == "capsule":
        for way in (-half, half):
            x, y, z = rotated(from_rpy(rpy), (0.0, 0.0, way))
            end = (shape.pos[0] + x, shape.pos[1] + y, shape.pos[2] + z)
            _add_geometry(link, shape, end, rpy, "sphere", radius=radius)


def _add_geometry(
    link: xml.Element, shape: Shape, xyz: Vec3, rpy: Vec3, form: str, **size: str
) -> None:
    for tag in ("visual", "collision") if shape.solid else ("visual",):
        part = xml.SubElement(link, tag)
        xml.SubElement(part, "origin", xyz=_text(xyz), rpy=_text(rpy))
        xml.SubElement(xml.SubElement(part, "geometry"), form, size)
        if tag == "visual":
            xml.SubElement(part, "material", name=_color(shape.rgba))


def _add_joint(robot: xml.Element, joint: Joint) -> None:
    part = xml.SubElement(robot, "joint", name=joint.name, type=joint.kind)
    xml.SubElement(part, "origin", xyz=_text(joint.xyz), rpy=_text(joint.rpy))
    xml.SubElement(part, "parent", link=joint.parent)
    xml.SubElement(part, "child", link=joint.child)
    if joint.limits:
        low, high, effort, velocity = (_text((it,)) for it in joint.limits)
        xml.SubElement(part, "axis", xyz=_text(joint.axis))
        xml.SubElement(part, "limit", lower=low, upper=high, effort=effort, velocity=velocity)


def _z_to(axis: Vec3) -> Vec3:
    """Roll, pitch, yaw that turn the z axis to the direction of `axis`."""
    x, y, z = axis
    return (0.0, math.atan2(math.hypot(x, y), z), math.atan2(y, x))


def _color(rgba: tuple[float, ...]) -> str:
    return "color_" + "".join(f"{round(255 * it):02x}" for it in rgba[:3])


def _text(numbers: tuple[float, ...]) -> str:
    return " ".join(f"{it:.12g}" for it in numbers)
