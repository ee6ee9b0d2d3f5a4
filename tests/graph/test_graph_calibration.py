"""The calibration's node in a real graph: whoever comes later is told where the cameras are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from graph_arms import until
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from tf2_msgs.msg import TFMessage

from rlrobo_core.ros.channels import QOS_LATCHED
from rlrobo_robot.calibration.node import CalibrationNode

EXAMPLE = """
cameras:
  front:
    parent: base
    child: camera_color_optical_frame
    translation: [0.95, 0.0, 0.55]
    rotation: [-0.612, -0.612, 0.354, 0.354]
  wrist:
    parent: fr3_hand
    child: wrist_camera_color_optical_frame
    translation: [0.05, 0, 0.01]
    rotation: [0, 0, 0, 1]
"""


def heard(graph) -> dict[str, Any]:
    """What tf_static says to somebody who starts to listen now, by the camera's frame."""
    messages: list[Any] = []

    def listener(**kwargs: Any) -> Node:
        node = Node("tf_listener", **kwargs)
        node.create_subscription(TFMessage, "tf_static", messages.append, QOS_LATCHED)
        return node

    graph.wire(listener)
    until(lambda: messages)
    return {it.child_frame_id: it for it in messages[-1].transforms}


def test_whoever_listens_later_hears_of_every_camera(graph, tmp_path: Path) -> None:
    file = tmp_path / "calibration.yaml"
    file.write_text(EXAMPLE)
    graph.add(CalibrationNode, calibration=str(file))
    cameras = yaml.safe_load(EXAMPLE)["cameras"]
    for _ in range(2):
        transforms = heard(graph)
        assert set(transforms) == {it["child"] for it in cameras.values()}
        for camera in cameras.values():
            told = transforms[camera["child"]]
            place, turn = told.transform.translation, told.transform.rotation
            assert told.header.frame_id == camera["parent"]
            assert [place.x, place.y, place.z] == camera["translation"]
            quaternion = np.array([turn.x, turn.y, turn.z, turn.w])
            assert np.linalg.norm(quaternion) == pytest.approx(1.0, abs=1e-12)
            np.testing.assert_allclose(quaternion, camera["rotation"], atol=1e-3)


def test_the_example_looks_from_the_front_down_to_the_arm(graph, tmp_path: Path) -> None:
    docs = (Path(__file__).parents[2] / "docs/real_robot.md").read_text()
    (example,) = [it for it in docs.split("\n\n") if it.lstrip().startswith("cameras:")]
    file = tmp_path / "calibration.yaml"
    file.write_text(example)
    graph.add(CalibrationNode, calibration=str(file))
    ((_, told),) = heard(graph).items()
    turn = told.transform.rotation
    right, down, ahead = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix().T
    np.testing.assert_allclose(right, [0, 1, 0], atol=0.01)  # REP-103, in the frame of the base
    assert ahead[0] < 0 and ahead[2] < 0 and down[2] < -0.8
