"""What a viewer is told is what happened: of a training's environment, of a robot, of a bag."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from graph_peers import PATIENCE, Ear, RandomPolicy, request
from rclpy.node import Node as RosNode
from rclpy.serialization import serialize_message
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header, String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from rlrobo.bags.qos import message_class
from rlrobo.live.listening import look
from rlrobo.viewer import bag, messages
from rlrobo.viewer.curves import curves
from rlrobo.viewer.node import ViewNode
from rlrobo.viewer.rerun_log import RerunLog
from rlrobo.viewer.robot import RobotWatch
from rlrobo.viewer.sight import Box, Sight, advantage_color
from rlrobo.viewer.training import TrainingWatch
from rlrobo_core import panda
from rlrobo_core.bag import BagWriter
from rlrobo_core.ros.channels import QOS_LATCHED
from rlrobo_core.ros.messages import pose_to_msg, to_msg
from rlrobo_core.tasks import make_task
from rlrobo_core.types import ActionBatch, ObservationBatch, RolloutRequest
from rlrobo_policy.node import PolicyNode
from rlrobo_robot.mock.node import MockArmNode
from rlrobo_robot.safety.node import SafetyNode
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.node import SimNode
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.advantages import group_advantages, returns_to_go

Batch = ObservationBatch | ActionBatch
TOPIC_OF = {ObservationBatch: "observations", ActionBatch: "actions"}
GROUP = 4


def rollout(asked: RolloutRequest) -> list[Batch]:
    """All that simulation and policy say to each other for the request."""
    simulator = MujocoSimulator(
        make_task("reach"), GROUP, image_size=32, num_threads=1, num_render_workers=0
    )
    try:
        engine, policy = RolloutEngine(simulator, make_task("reach"), GROUP), RandomPolicy()
        said: list[Batch] = [engine.start(asked)]
        while isinstance(last := said[-1], ObservationBatch) and not last.last:
            answer = policy.act(last)
            following = engine.act(answer)
            assert following is not None
            said += [answer, following]
        return said
    finally:
        simulator.close()


def branches(steps: int) -> RolloutRequest:
    return request(
        form="branch", group_ids=(0, 1), group_size=GROUP, branch_steps=steps, iteration=3
    )


@pytest.fixture(scope="module")
def branching() -> list[Batch]:
    return rollout(branches(1))


@pytest.fixture(scope="module")
def trajectories() -> list[Batch]:
    return rollout(request(group_ids=(0, 1), group_size=GROUP))


def sights(said: list[Batch], watch: TrainingWatch | None = None) -> list[tuple[Batch, Sight]]:
    """After each message that tells something new, what there is to see."""
    watch = watch or TrainingWatch()
    return [
        (record, sight)
        for record in said
        if watch.see(TOPIC_OF[type(record)], to_msg(record)) and (sight := watch.sight())
    ]


def of_group(record: ObservationBatch, group: int) -> np.ndarray:
    return np.flatnonzero(record.outcomes.group_M == group)


def test_the_arm_that_is_seen_is_where_the_environments_is(branching: list[Batch]) -> None:
    for record, sight in sights(branching):
        found = panda.forward(sight.joints).pose
        np.testing.assert_allclose(found[:3], sight.tool[:3], atol=1e-3)
        np.testing.assert_allclose(sight.trail_L[-1], sight.tool[:3])
        if isinstance(record, ObservationBatch) and not record.last:
            rows = record.observations
            assert any(np.array_equal(sight.image, it[0]) for it in rows.image_NC)
            assert any(np.allclose(sight.tool, it) for it in rows.ee_pose_N)
            assert sight.text.startswith(rows.instruction_N[0].split()[0])


def test_candidates_of_a_branch_have_the_trainers_advantages(branching: list[Batch]) -> None:
    seen = 0
    for record, sight in sights(branching):
        if not isinstance(record, ObservationBatch) or not len(record.outcomes):
            continue
        if not sight.candidates:
            continue  # another episode has begun
        mine = of_group(record, int(re.findall(r"group (\d+)", sight.text)[0]))
        reward_G1 = record.outcomes.reward_M[mine][:, None]
        alive_G1 = np.ones_like(reward_G1, bool)
        expected = group_advantages(returns_to_go(reward_G1, 0.5), alive_G1, 0.01)[:, 0]
        np.testing.assert_allclose([it.advantage for it in sight.candidates], expected, 1e-4)
        chosen = [it.chosen for it in sight.candidates]
        assert chosen == record.outcomes.chosen_M[mine].tolist() and sum(chosen) == 1
        assert sight.target is not None
        np.testing.assert_allclose(sight.target[:3], sight.candidates[chosen.index(True)].position)
        assert sight.numbers["reward/step"] == pytest.approx(reward_G1[chosen.index(True), 0])
        seen += 1
    assert seen > 5


def test_followed_branches_are_judged_by_their_discounted_returns() -> None:
    said, watch = rollout(branches(3)), TrainingWatch(gamma=0.9)
    rewards: list[np.ndarray] = []
    compared = 0
    for record, sight in sights(said, watch):
        if not isinstance(record, ObservationBatch) or not len(record.outcomes):
            continue
        if not sight.candidates:  # another episode has begun
            rewards = []
            continue
        mine = of_group(record, int(re.findall(r"group (\d+)", sight.text)[0]))
        if len(mine) < GROUP:
            break
        if int(record.outcomes.step_M[mine[0]]) % 3 == 0:
            rewards = []
        rewards.append(record.outcomes.reward_M[mine])
        return_G1 = returns_to_go(np.stack(rewards, axis=1), 0.9)[:, :1]
        expected = group_advantages(return_G1, np.ones_like(return_G1, bool), 0.01)[:, 0]
        np.testing.assert_allclose([it.advantage for it in sight.candidates], expected, 1e-4)
        compared += 1
    assert compared > 2


def test_a_trajectory_is_followed_from_its_start_to_its_end(trajectories: list[Batch]) -> None:
    lengths = [
        len(sight.trail_L)
        for record, sight in sights(trajectories)
        if isinstance(record, ObservationBatch) and not record.last
    ]
    begun = [i for i, length in enumerate(lengths) if length == 1]
    assert len(begun) >= 2 and max(lengths) > 5
    assert all(b - a in (0, 1) or b == 1 for a, b in pairwise(lengths))


def test_what_came_twice_or_contradicts_itself_changes_nothing(branching: list[Batch]) -> None:
    once, twice = sights(branching)[-1][1], sights([it for it in branching for _ in "12"])[-1][1]
    assert once.text == twice.text
    np.testing.assert_array_equal(once.trail_L, twice.trail_L)
    broken = to_msg(branching[0])
    broken.image.height += 1
    with pytest.raises(ValueError):
        TrainingWatch().see("observations", broken)


def frames(tf: TFMessage) -> dict[str, np.ndarray]:
    found = {"base": np.eye(4)}
    for it in tf.transforms:
        step, t, r = np.eye(4), it.transform.translation, it.transform.rotation
        step[:3, :3] = Rotation.from_quat([r.x, r.y, r.z, r.w]).as_matrix()
        step[:3, 3] = t.x, t.y, t.z
        found[it.child_frame_id] = found[it.header.frame_id] @ step
    return found


def test_standard_messages_say_what_there_is_to_see(branching: list[Batch]) -> None:
    sight = [it for _, it in sights(branching) if it.candidates and it.candidates[0].advantage][-1]
    header = Header(frame_id="base")
    tool = frames(messages.transforms(sight, "fer_", header))["fer_hand_tcp"]
    np.testing.assert_allclose(tool[:3, 3], sight.tool[:3], atol=1e-3)
    joints = messages.joint_states(sight, "fer_", header)
    assert joints.name[:7] == [f"fer_joint{i}" for i in range(1, 8)]
    assert sum(joints.position[7:]) == pytest.approx(sight.gripper_width)
    first, *markers = messages.markers(sight, header).markers
    assert first.action == Marker.DELETEALL
    assert len({(it.ns, it.id) for it in markers}) == len(markers)
    tried = [it for it in markers if it.ns == "candidates"]
    assert len(tried) == GROUP
    advantages = [it.advantage for it in sight.candidates]
    best, worst = int(np.argmax(advantages)), int(np.argmin(advantages))
    assert tried[best].color.g > tried[best].color.r
    assert tried[worst].color.r > tried[worst].color.g
    (text,) = [it.text for it in markers if it.type == Marker.TEXT_VIEW_FACING]
    assert "reward" in text and "train 3" in text
    (axes,) = [it.points for it in markers if it.ns == "target"]
    assert sight.target is not None
    np.testing.assert_allclose([axes[0].x, axes[0].y, axes[0].z], sight.target[:3])


def test_colours_tell_better_from_worse_and_unknown() -> None:
    good, even, bad = (advantage_color(it) for it in (2.0, 0.0, -2.0))
    assert good[1] > good[0] and bad[0] > bad[1] and abs(even[0] - even[1]) < 0.2
    assert advantage_color(None)[:3] == (0.6, 0.6, 0.6)


def test_a_box_has_twelve_edges_and_the_colour_of_the_state() -> None:
    box = Box(np.array([0.3, -0.4, 0.0]), np.array([0.8, 0.4, 0.6]))
    edges = messages.box_edges(box)
    lengths = sorted(float(np.linalg.norm(a - b)) for a, b in edges)
    np.testing.assert_allclose(lengths, [0.5] * 4 + [0.6] * 4 + [0.8] * 4)
    watch = RobotWatch()
    watch.workspace = box
    pose = PoseStamped(pose=pose_to_msg(panda.forward(panda.NEUTRAL).pose.tolist()))
    assert not watch.see("safety/state", String(data="FAULT")) and watch.sight() is None
    assert watch.see("current_pose", pose)
    sight = watch.sight()
    assert sight is not None and sight.solved and sight.image is None
    drawn = {it.ns: it for it in messages.markers(sight, Header()).markers}
    assert drawn["workspace"].color.r > 0.9 > drawn["workspace"].color.g
    assert "FAULT" in drawn["text"].text


# Through the graph ------------------------------------------------------------------------


class Onlooker(RosNode):
    """Keeps what came last on each topic that the viewer publishes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("onlooker", **kwargs)
        self.last: dict[str, Any] = {}
        for topic, msgtype in messages.PUBLISHED.items():
            qos = QOS_LATCHED if topic == "robot_description" else 10
            kind = message_class(msgtype)
            self.create_subscription(
                kind, topic, lambda msg, topic=topic: self.last.__setitem__(topic, msg), qos
            )


def wait_for(what: Callable[[], Any]) -> Any:
    until = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def test_a_training_is_shown_as_it_runs(graph) -> None:
    graph.add(SimNode, num_envs=GROUP, group_size=GROUP, image_size=32)
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    graph.add(ViewNode, joint_prefix="fer_")
    onlooker = graph.wire(Onlooker)
    ear = graph.add(lambda **k: Ear(ObservationBatch, says=(RolloutRequest,), **k))
    graph.settle()
    ear.publish(branches(1))
    wait_for(lambda: onlooker.last.keys() == messages.PUBLISHED.keys())
    assert onlooker.last["viewer/image"].height == 32
    assert 'name="fer_link0"' in onlooker.last["robot_description"].data
    wait_for(lambda: any(it.ns == "candidates" for it in onlooker.last["viewer/markers"].markers))
    wanted = {f"/{topic}": (msgtype,) for topic, msgtype in messages.PUBLISHED.items()}
    wait_for(lambda: wanted.items() <= {it.name: it.types for it in look(1.5).topics}.items())


def test_a_robot_is_shown_with_its_workspace_and_state(graph) -> None:
    graph.add(MockArmNode, image_size=32, rate_hz=10.0, camera_hz=5.0)
    graph.add(SafetyNode, box_low=[0.3, -0.3, 0.02], box_high=[0.7, 0.3, 0.5])
    graph.add(ViewNode)
    onlooker = graph.wire(Onlooker)

    def box() -> Marker | None:
        markers: MarkerArray = onlooker.last.get("viewer/markers", MarkerArray())
        return next((it for it in markers.markers if it.ns == "workspace"), None)

    corners = np.array([(it.x, it.y, it.z) for it in wait_for(box).points])
    np.testing.assert_allclose(corners.min(axis=0), [0.3, -0.3, 0.02])
    np.testing.assert_allclose(corners.max(axis=0), [0.7, 0.3, 0.5])
    wait_for(lambda: messages.PUBLISHED.keys() == onlooker.last.keys())
    tool = frames(onlooker.last["tf"])["panda_hand_tcp"]
    np.testing.assert_allclose(tool[:3, 3], panda.forward(panda.NEUTRAL).pose[:3], atol=1e-6)
    assert onlooker.last["joint_states"].name[0] == "panda_joint1"


# In rerun -----------------------------------------------------------------------------------


def write_bag(path: Path, said: list[Batch], namespace: str = "/") -> Path:
    type_of = {kind: f"rlrobo_msgs/msg/{kind.__name__}" for kind in TOPIC_OF}
    with BagWriter(path) as writer:
        for kind, topic in TOPIC_OF.items():
            writer.add_topic(namespace + topic, type_of[kind])
        for number, record in enumerate(said):
            cdr = serialize_message(to_msg(record))
            topic = namespace + TOPIC_OF[type(record)]
            writer.write_bytes(topic, type_of[type(record)], cdr, 10**18 + number * 10**8)
    return path


def columns(file: Path) -> dict[str, dict[str, list[Any]]]:
    """Of an .rrd, by entity and component, as rerun's own library reads it."""
    chunk = pytest.importorskip("rerun.chunk")
    found: dict[str, dict[str, list[Any]]] = {}
    for it in chunk.RrdReader(str(file)).stream():
        batch = it.to_record_batch()
        entity = found.setdefault(it.entity_path, {})
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if ":" in name:  # a component, no index
                entity.setdefault(name, []).extend(column.to_pylist())
    return found


def test_a_bag_in_rerun_says_what_there_was_to_see(
    branching: list[Batch], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rerun")
    path, file = write_bag(tmp_path / "bag", branching, "/eval/"), tmp_path / "seen.rrd"
    assert bag.main([str(path), "--file", str(file)]) == 0
    assert f"{len(branching)} moments shown" in capsys.readouterr().out
    seen, shown = columns(file), [sight for _, sight in sights(branching)]
    assert seen["/text"]["TextDocument:text"] == [[it.text] for it in shown]
    images = [it.image for it in shown if it.image is not None]
    different = 1 + sum(a is not b for a, b in pairwise(images))
    assert len(seen["/camera"]["Image:buffer"]) == different
    last = seen["/scene/trail"]["LineStrips3D:strips"][-1][0]
    np.testing.assert_allclose(last, shown[-1].trail_L, atol=1e-6)
    rewards = [it.numbers["reward/step"] for it in shown if it.numbers]
    np.testing.assert_allclose(np.ravel(seen["/curves/reward/step"]["Scalars:scalars"]), rewards)
    links = {it.split("/")[3] for it in seen if it.startswith("/panda/visual_geometries/")}
    assert {f"panda_link{i}" for i in range(8)} <= links
    assert len(seen["/tf/panda_joint7"]["Transform3D:quaternion"]) == len(shown)


def test_a_bag_without_anything_to_see_is_refused(
    branching: list[Batch], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rerun")
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/words", "std_msgs/msg/String")
        writer.write_bytes("/words", "std_msgs/msg/String", serialize_message(String()), 1)
    assert bag.main([str(tmp_path / "bag")]) == 1
    assert "neither a training's topics nor a robot's; it has: /words" in capsys.readouterr().err
    assert bag.main([str(tmp_path / "nothing")]) == 1
    path = write_bag(tmp_path / "whole", branching[:2])
    assert bag.main([str(path), "--file", str(tmp_path / "no/where.rrd")]) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_a_robot_is_shown_live_in_rerun(graph, tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    file = tmp_path / "robot.rrd"
    graph.add(MockArmNode, image_size=32, rate_hz=10.0, camera_hz=5.0)
    graph.add(SafetyNode)
    graph.run(until_shown(5), viewer="rerun", viewer_file=str(file))
    seen = columns(file)
    tool = panda.forward(panda.NEUTRAL).pose[:3]
    np.testing.assert_allclose(seen["/scene/trail"]["LineStrips3D:strips"][-1][0][-1], tool, 1e-5)
    assert seen["/camera"]["Image:buffer"]


def until_shown(count: int) -> Callable[..., ViewNode]:
    """A viewer that has enough when it has shown so many pictures, one with a camera's."""

    class Patient(ViewNode):
        def _draw_and_count(self, draw: Callable[[Sight], None], sight: Sight) -> None:
            draw(sight)
            if sight.image is not None and self.facts["shown"] >= count:
                self.stop()

    def make(**kwargs: Any) -> ViewNode:
        node = Patient(**kwargs)
        node._draw = partial(node._draw_and_count, node._draw)
        return node

    return make


def test_the_trainers_metrics_are_curves() -> None:
    values = {"metrics/rollout/success": "0.5", "metrics/loss/policy": "nan", "version": "3"}
    status = DiagnosticStatus(values=[KeyValue(key=k, value=v) for k, v in values.items()])
    assert curves(DiagnosticArray(status=[status])) == {"rollout/success": 0.5}


def test_a_curve_has_a_point_where_it_is_news(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    file = tmp_path / "curves.rrd"
    log = RerunLog.open(str(file))
    for second, value in enumerate((0.25, 0.25, 0.5)):
        log.curves({"eval/success": value}, float(second))
    log.close()
    assert columns(file)["/curves/eval/success"]["Scalars:scalars"] == [[0.25], [0.5]]


def test_without_rerun_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(ValueError, match="requirements-viewer.txt"):
        RerunLog.open()
