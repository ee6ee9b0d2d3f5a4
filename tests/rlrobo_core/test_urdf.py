"""The URDF is the same arm: read as a stranger reads it, its tool is where forward kinematics
say."""

from __future__ import annotations

import math
from xml.etree import ElementTree as xml

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rlrobo_core import panda
from rlrobo_core.panda_shapes import LINK_SHAPES
from rlrobo_core.urdf import from_rpy, panda_joints, panda_urdf, positions, transform

PREFIX = "fer_"


@pytest.fixture(scope="module")
def robot() -> xml.Element:
    return xml.fromstring(panda_urdf(PREFIX))


def vector(text: str | None) -> np.ndarray:
    assert text is not None
    return np.array([float(it) for it in text.split()])


def matrix(origin: xml.Element | None) -> np.ndarray:
    assert origin is not None
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", vector(origin.get("rpy"))).as_matrix()
    pose[:3, 3] = vector(origin.get("xyz"))
    return pose


def motion(joint: xml.Element, position: float) -> np.ndarray:
    moved, kind = np.eye(4), joint.get("type")
    if kind == "fixed":
        return moved
    axis = joint.find("axis")
    assert axis is not None
    way = vector(axis.get("xyz")) * position
    if kind == "revolute":
        moved[:3, :3] = Rotation.from_rotvec(way).as_matrix()
    else:
        moved[:3, 3] = way
    return moved


def links(robot: xml.Element, position_of: dict[str, float]) -> dict[str, np.ndarray]:
    """Each link's frame in the base frame, by the URDF alone."""
    frames = {"base": np.eye(4)}
    for joint in robot.iter("joint"):
        parent, child, name = joint.find("parent"), joint.find("child"), joint.get("name", "")
        assert parent is not None and child is not None
        moved = motion(joint, position_of.get(name, 0.0))
        frame = frames[parent.get("link", "")] @ matrix(joint.find("origin")) @ moved
        frames[child.get("link", "")] = frame
    return frames


def test_its_tool_is_where_forward_kinematics_say(robot: xml.Element) -> None:
    rng = np.random.default_rng(0)
    for q in rng.uniform(panda.JOINT_LOW, panda.JOINT_HIGH, (20, 7)):
        tool = panda.forward(q).pose
        found = links(robot, dict(positions(PREFIX, tuple(q), 0.06)))
        np.testing.assert_allclose(found["fer_hand_tcp"][:3, 3], tool[:3], atol=1e-9)
        turn = (
            Rotation.from_matrix(found["fer_hand_tcp"][:3, :3]) * Rotation.from_quat(tool[3:]).inv()
        )
        assert turn.magnitude() < 1e-9
        left, right = (found[f"fer_{side}finger"][:3, 3] for side in ("left", "right"))
        assert np.linalg.norm(left - right) == pytest.approx(0.06)


def test_the_transforms_of_the_links_are_the_urdfs(robot: xml.Element) -> None:
    rng = np.random.default_rng(1)
    q = rng.uniform(panda.JOINT_LOW, panda.JOINT_HIGH)
    position_of = dict(positions(PREFIX, tuple(q), 0.03))
    frames = {"base": np.eye(4)}
    for joint in panda_joints(PREFIX):
        xyz, quaternion = transform(joint, position_of.get(joint.name, 0.0))
        step = np.eye(4)
        step[:3, :3], step[:3, 3] = Rotation.from_quat(quaternion).as_matrix(), xyz
        frames[joint.child] = frames[joint.parent] @ step
    expected = links(robot, position_of)
    assert frames.keys() == expected.keys()
    for link, frame in frames.items():
        np.testing.assert_allclose(frame, expected[link], atol=1e-9)


def test_its_limits_are_the_arms(robot: xml.Element) -> None:
    limits = [it.find("limit") for it in robot.iter("joint") if it.get("type") == "revolute"]
    found = np.array([[float(it.get(k, "nan")) for k in ("lower", "upper", "velocity")]
                      for it in limits if it is not None])  # fmt: skip
    expected = np.stack([panda.JOINT_LOW, panda.JOINT_HIGH, panda.JOINT_SPEED], axis=1)
    np.testing.assert_allclose(found, expected)


def test_every_shape_is_seen_and_every_colour_defined(robot: xml.Element) -> None:
    shapes = [
        shape for joint in panda_joints(PREFIX) for shape in LINK_SHAPES.get(joint.looks_like, ())
    ]
    visuals = list(robot.iter("visual"))
    assert len(visuals) == sum(3 if it.form == "capsule" else 1 for it in shapes)
    colors = {it.get("name") for it in robot.findall("material")}
    used = {it.get("name") for visual in visuals for it in visual.findall("material")}
    assert used == colors and len(colors) == len({it.rgba for it in shapes})


def test_shapes_lie_as_they_do_in_simulation(robot: xml.Element) -> None:
    """The long one of link 1 reaches from one end of its capsule to the other."""
    (capsule,) = [it for it in LINK_SHAPES["link1"] if it.form == "capsule"]
    (link,) = [it for it in robot.iter("link") if it.get("name") == "fer_link1"]
    ends = [matrix(it.find("origin"))[:3, 3] for it in link.findall("visual[geometry]")
            if it.find("geometry/sphere") is not None]  # fmt: skip
    assert np.linalg.norm(ends[0] - ends[1]) == pytest.approx(2 * capsule.size[1])
    np.testing.assert_allclose((ends[0] + ends[1]) / 2, capsule.pos, atol=1e-9)


def test_roll_pitch_yaw_are_about_fixed_axes() -> None:
    rpy = (0.3, -0.7, 2.1)
    expected = Rotation.from_euler("xyz", rpy)
    assert (Rotation.from_quat(from_rpy(rpy)) * expected.inv()).magnitude() < 1e-9


def test_the_prefix_names_links_and_joints() -> None:
    text = panda_urdf("panda_")
    assert "fer_" not in text and 'name="panda_joint7"' in text and 'name="panda_hand"' in text
    assert math.isclose(len(text), len(panda_urdf("panel_")))
    with pytest.raises(ValueError, match="joint_prefix is 'a b'"):
        panda_urdf("a b")
