"""`rlrobo graph` tells of a graph that really runs what its nodes are and say."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable

from graph_peers import PATIENCE, Ear, LossyWire, RandomPolicy, request
from rclpy.node import Node as RosNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rich.console import Console
from std_msgs.msg import String

from rlrobo.live.command import show
from rlrobo.live.listening import look
from rlrobo.live.records import Endpoint, LiveGraph, Topic
from rlrobo_core.ros.channels import QOS_LATCHED
from rlrobo_core.types import ObservationBatch, RolloutRequest
from rlrobo_policy.node import PolicyNode
from rlrobo_sim.node import SimNode

COMMAND = [sys.executable, "-P", "-m", "rlrobo.command", "graph"]


def look_until(told: Callable[[LiveGraph], bool], chatter: bool = False) -> LiveGraph:
    """Discovery takes up to 3 s, and longer on a busy machine."""
    until = time.monotonic() + PATIENCE
    while not told(found := look(1.5, chatter)):
        assert time.monotonic() < until, found
    return found


def topic_of(found: LiveGraph, name: str) -> Topic:
    (topic,) = [it for it in found.topics if it.name == name]
    return topic


def test_a_launched_graph_is_told_with_types_qos_and_what_is_said(graph) -> None:
    graph.launch("rlrobo_robot.mock", image_size=32, camera_hz=5.0)
    graph.launch("rlrobo_robot.safety")
    found = look_until(
        lambda it: (
            len(it.nodes) == 2
            and all(node.facts for node in it.nodes)
            and any(topic.name == "/current_pose" and topic.messages for topic in it.topics)
        )
    )
    nodes = {it.name: it for it in found.nodes}
    assert nodes.keys() == {"/mock_arm", "/safety"}
    assert nodes["/safety"].facts["state"] in ("DISARMED", "FAULT")
    pose = topic_of(found, "/current_pose")
    assert pose.types == ("geometry_msgs/msg/PoseStamped",)
    assert pose.publishers == (Endpoint("/mock_arm", "best_effort", "volatile"),)
    assert [it.node for it in pose.subscribers] == ["/safety"]
    assert pose.messages and pose.bytes > 50 * pose.messages
    assert pose.rate_hz == pose.messages / pose.seconds
    state = topic_of(found, "/safety/state")
    assert state.publishers == (Endpoint("/safety", "reliable", "transient_local"),)
    assert not any(it.problems for it in found.topics)
    assert "/rosout" not in {it.name for it in found.topics}
    look_until(lambda it: "/rosout" in {topic.name for topic in it.topics}, chatter=True)

    command = [*COMMAND, "--json", "--seconds", "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert {it["name"] for it in told["nodes"]} == nodes.keys()
    (again,) = [it for it in told["topics"] if it["name"] == "/safety/state"]
    assert again["publishers"][0]["durability"] == "transient_local" and "rate_hz" in again


def test_lost_messages_stand_beside_their_topic(graph) -> None:
    graph.add(SimNode, num_envs=6, group_size=2, image_size=32)
    graph.wire(lambda **k: LossyWire(ObservationBatch, "observations", "lossy", {2, 3}, **k))
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    ear = graph.add(
        lambda **k: Ear(ObservationBatch, says=(RolloutRequest,), **k),
        remap={"observations": "lossy"},
    )
    graph.settle()
    ear.publish(request())
    while not ear.hear_batch().last:
        pass
    found = look_until(lambda it: any(topic.lost for topic in it.topics))
    (topic,) = [it for it in found.topics if it.lost]
    assert (topic.name, topic.lost) == ("/observations", {"/ear": 2})
    (node,) = [it for it in found.nodes if it.name == "/ear"]
    assert node.ill and "lost" in node.message
    written = io.StringIO()
    show(found, Console(file=written, width=160))
    assert "2 by /ear" in written.getvalue() and "rlrobo_msgs/msg/ObservationBatch" in (
        written.getvalue()
    )


def test_who_cannot_hear_whom_is_named(graph) -> None:
    speaker = graph.wire(lambda **k: RosNode("speaker", **k))
    listener = graph.wire(lambda **k: RosNode("listener", **k))
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    speaker.create_publisher(String, "words", best_effort)
    listener.create_subscription(String, "words", print, QOS_LATCHED)
    found = look_until(lambda it: any(topic.problems for topic in it.topics))
    topic = topic_of(found, "/words")
    assert topic.publishers == (Endpoint("/speaker", "best_effort", "volatile"),)
    assert topic.messages == 0 and topic.rate_hz == 0.0
    assert topic.problems[0].startswith("/listener does not hear /speaker: ")


def test_where_nothing_runs_it_says_so(domain: int) -> None:
    done = subprocess.run([*COMMAND, "--seconds", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not done.stdout
    assert f"no node of ROS domain {domain} was heard within 1 s" in done.stderr
    assert "Traceback" not in done.stderr
    wrong = subprocess.run([*COMMAND, "--seconds", "0"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "take more than 0" in wrong.stderr
