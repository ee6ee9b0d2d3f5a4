"""An arm's graph with the rest of the world: its episodes in a bag, its policy behind a network."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph_peers import PATIENCE, RandomPolicy
from rclpy.action import ActionClient
from std_msgs.msg import Bool, String
from test_graph_robot import Watcher, arm

sys.path.insert(0, str(Path(__file__).parents[1] / "rlrobo_policy"))  # remote_peers
from remote_peers import CAMERAS, SIDE, network, serving

from rlrobo_core.bag_decoding import decoded
from rlrobo_core.bag_reader import open_bag
from rlrobo_core.from_messages import image_from_msg, nanoseconds, pose_from_msg
from rlrobo_core.ros.channels import QOS_LATCHED
from rlrobo_core.tasks import make_task
from rlrobo_msgs.action import RunEpisode
from rlrobo_policy.node import PolicyNode
from rlrobo_robot.episodes.node import EpisodesNode
from rlrobo_robot.mock.node import MockArmNode
from rlrobo_robot.safety.node import SafetyNode
from rlrobo_sim.datasets import Origin, rosbag
from rlrobo_sim.datasets.rosbag.format import IMAGE_TYPE, POSE_TYPE

TASK = make_task("reach")
FLOAT_NS = 1000
"""What seconds in a float can tell apart [ns]."""


def arm_graph(graph: Any, image_size: int) -> Watcher:
    """A mock arm, slow and lenient: the machine that tests run on may be busy."""
    graph.add(MockArmNode, image_size=image_size, rate_hz=20.0, camera_hz=5.0)
    graph.add(SafetyNode, rate_hz=20.0, state_timeout=2.0, target_timeout=2.0, max_target_age=5.0)
    graph.add(EpisodesNode)
    watcher = graph.add(Watcher)
    watcher.wait_for_state("DISARMED")
    return watcher


def until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)  # rclpy has no event for this


def test_episodes_on_an_arm_are_recorded_and_come_back_with_their_judgement(
    graph, tmp_path: Path
) -> None:
    watcher = arm_graph(graph, image_size=32)
    graph.add(
        lambda **k: PolicyNode(RandomPolicy(), **k),
        edge="robot",
        image_size=32,
        max_observation_age=2.0,
    )
    judge = watcher.create_publisher(Bool, "success", 10)
    recorder = graph.launch("rlrobo.bags.recorder", bag=tmp_path / "bag")
    heard = ("/camera/image_raw", "/current_pose", "/gripper/joint_states", "/target_pose")
    until(lambda: all(recorded(watcher, topic) for topic in (*heard, "/episode", "/instruction")))
    arm(watcher)
    client = ActionClient(watcher, RunEpisode, "run_episode")
    assert client.wait_for_server(PATIENCE)
    for instruction, success in (("reach the ball", True), ("go away", None)):
        run_episode(watcher, client, judge, instruction, success)
    client.destroy()
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(PATIENCE) == 0

    bag = open_bag(tmp_path / "bag")
    origin = Origin.of(TASK, "default", ("front",), 32, noise=0.0, seed=0)
    sentences: list[str] = []
    shown = rosbag.read_recorded(bag, origin, complain=sentences.append)
    assert shown.success_E.tolist() == [True, False]
    assert set(shown.instruction_N) == {"reach the ball", "go away"}
    judged = rosbag.read_recorded(bag, origin, keep="judged", complain=sentences.append)
    assert len(judged.success_E) == 1
    # Every image is one that a target carries the stamp of.
    types = {"/camera/image_raw": IMAGE_TYPE, "/target_pose": POSE_TYPE}
    images, targets = {}, {}
    for topic, _, msg in decoded(bag, types, pytest.fail):
        at = nanoseconds(msg.header.stamp)
        if topic == "/target_pose":
            targets[at] = np.array(pose_from_msg(msg.pose))
        else:
            images[at] = image_from_msg(msg, "rgb8")
    pairs = [
        (pixels, target)
        for at, pixels in images.items()
        for stamp, target in targets.items()
        if abs(stamp - at) < FLOAT_NS
    ]
    assert len(shown) >= 6
    for n in range(len(shown)):
        asked = shown.ee_pose_N[n, :3] + shown.action_ND[n] * TASK.max_step
        assert any(
            np.array_equal(pixels, shown.image_NC[n, 0])
            and np.allclose(target[:3], asked, atol=0.02)
            for pixels, target in pairs
        )


def recorded(watcher: Watcher, topic: str) -> bool:
    return any(it.node_name == "record" for it in watcher.get_subscriptions_info_by_topic(topic))


def run_episode(
    watcher: Watcher, client: ActionClient, judge: Any, instruction: str, success: bool | None
) -> None:
    """Until somebody judges it, or 3 s are over."""
    before = len(watcher.asked)
    limit = 3.0 if success is None else PATIENCE
    goal = RunEpisode.Goal(instruction=instruction, max_seconds=limit)
    handle = watcher._wait(client.send_goal_async(goal), PATIENCE, "run_episode")
    assert handle.accepted
    watcher.wait_for(lambda: len(watcher.asked) >= before + 3)
    if success is not None:
        judge.publish(Bool(data=success))
    result = watcher._wait(handle.get_result_async(), PATIENCE, "run_episode").result
    assert result.judged == (success is not None)


def test_a_cut_link_to_a_remote_policy_is_hold_and_a_new_one_resumes(graph) -> None:
    with serving() as port, network(port) as between:
        watcher = arm_graph(graph, image_size=SIDE)
        graph.add(
            PolicyNode,
            policy_backend="remote",
            server=f"ws://127.0.0.1:{between.port}",
            edge="robot",
            cameras=list(CAMERAS),
            image_size=SIDE,
            max_observation_age=2.0,
            deadline_s=2.0,
        )
        arm(watcher)
        instruction = watcher.create_publisher(String, "instruction", QOS_LATCHED)
        instruction.publish(String(data="reach the green ball"))
        watcher.wait_for_state("ARMED")
        between.cut()
        watcher.wait_for_state("HOLD")
        between.mend()
        watcher.wait_for_state("ARMED")
        watcher.call("disarm")
