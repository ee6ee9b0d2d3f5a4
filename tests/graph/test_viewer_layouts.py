"""The layouts of RViz and Foxglove name what a graph with a viewer publishes, as what it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from rlrobo.viewer import messages

CONFIG = Path(__file__).parents[2] / "src/rlrobo/config"
SPOKEN = {f"/{topic}": msgtype for topic, msgtype in messages.PUBLISHED.items()} | {
    "/camera/image_raw": "sensor_msgs/msg/Image",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}
"""What a graph with a viewer publishes; test_graph_viewer.py holds that it does."""
RVIZ_DISPLAYS = {
    "RobotModel": "std_msgs/msg/String",
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "Image": "sensor_msgs/msg/Image",
}


@pytest.mark.parametrize("layout", ["training", "robot"])
def test_rviz_shows_topics_that_are_published_as_what_they_are(layout: str) -> None:
    manager = yaml.safe_load((CONFIG / f"{layout}.rviz").read_text())["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == "base"
    kinds = []
    for display in manager["Displays"]:
        kind = display["Class"].removeprefix("rviz_default_plugins/")
        topic = display.get("Topic") or display.get("Description Topic")
        if topic:
            assert SPOKEN[topic["Value"]] == RVIZ_DISPLAYS[kind]
            kinds.append(kind)
    assert sorted(kinds) == sorted(RVIZ_DISPLAYS)


def test_foxglove_shows_topics_that_are_published() -> None:
    layout = json.loads((CONFIG / "foxglove.json").read_text())
    text = json.dumps(layout)
    named = {it.split(".")[0] for it in re.findall(r'"(/[a-z_/]+)', text)}
    assert named and named <= SPOKEN.keys()
    for topic in re.findall(r'"imageTopic": "([^"]+)"', text):
        assert SPOKEN[topic] == "sensor_msgs/msg/Image"
    placed = set(
        re.findall(r'"((?:3D|Image|Plot|RawMessages)![a-z]+)"', json.dumps(layout["layout"]))
    )
    assert placed == layout["configById"].keys()
