"""What every node does: parameters, diagnostics, signals, exit codes, malformed messages."""

import signal
import subprocess
import sys
from dataclasses import dataclass, field
from queue import SimpleQueue

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from graph_peers import PATIENCE, Ear, RandomPolicy, request
from rclpy.parameter import Parameter

from rlrobo_core.ros.channels import CHANNELS, QOS_CAMERA
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import spinning
from rlrobo_core.types import ObservationBatch, RolloutRequest
from rlrobo_policy.node import PolicyNode
from rlrobo_sim.node import SimNode


@dataclass(frozen=True)
class Config:
    model: str = "tiny"
    """Which model."""
    rate: float = field(default=1.0, metadata={"range": (0.0, 2.0)})
    """Learning rate."""
    envs: int = field(default=8, metadata={"range": (1, 64)})
    cameras: tuple[str, ...] = ("front",)


def test_parameters_are_declared_with_descriptions_ranges_and_the_users_values(graph):
    node = graph.add(Ear, rate=2, cameras=["front", "wrist"], use_sim_time=False)
    config = declare_parameters(node, Config)
    assert config == Config(rate=2.0, cameras=("front", "wrist"))
    assert node.describe_parameter("model").description == "Which model."
    assert node.describe_parameter("rate").floating_point_range[0].to_value == 2.0
    assert node.describe_parameter("envs").integer_range[0].to_value == 64
    assert node.get_parameter("cameras").value == ["front", "wrist"]
    assert not node.set_parameters([Parameter("rate", value=1.0)])[0].successful


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"num_env": 8}, ["'num_env'", "num_envs", "group_size"]),
        ({"num_envs": "many"}, ["'num_envs'", "whole number", "'many'"]),
        ({"task": "juggle"}, ["'juggle'", "reach"]),
        ({"num_envs": 6, "group_size": 4}, ["6", "4", "group_size"]),
    ],
)
def test_bad_parameters_end_a_node_with_one_line_and_exit_code_2(graph, parameters, words):
    process = graph.launch("rlrobo_sim", capture=True, **parameters)
    _out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    assert all(word in lines[0] for word in words)


COMPUTING = """
import time
from rlrobo_core.ros.nodes import RecordNode
from rlrobo_core.ros.running import run_node

class Computing(RecordNode):
    def receive(self, received): pass
    def work(self):
        print("computing", flush=True)
        while True:
            sum(range(1000))
    def close(self):
        print("closing", flush=True)
        time.sleep(1.0)
        print("closed", flush=True)

raise SystemExit(run_node(lambda: Computing("computing", listens_to=(), speaks=())))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_node_in_the_middle_of_a_computation_and_a_second_one_is_borne(
    domain, number
):
    command = [sys.executable, "-c", COMPUTING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        assert p.stdout.readline() == "computing\n"
        p.send_signal(number)
        assert p.stdout.readline() == "closing\n"
        p.send_signal(number)
        out, err = p.communicate(timeout=PATIENCE)
    assert (out, err, p.returncode) == ("closed\n", "", 0)


BOTH_AT_ONCE = """
import signal
from rlrobo_core.ros.running import run_node

def make():
    both = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, both)  # as in a long call into C
    for number in both:
        signal.raise_signal(number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)

raise SystemExit(run_node(make))
"""


def test_both_signals_at_once_leave_no_trace(domain):
    done = subprocess.run(
        [sys.executable, "-c", BOTH_AT_ONCE], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.stderr, done.returncode) == ("", 0)


IMPORTING = """
import time
from rlrobo_core.ros.running import run_node

def make():
    print("importing", flush=True)
    try:
        while True:  # one long sleep would not notice a signal that came just before it
            time.sleep(0.01)
    except KeyboardInterrupt:  # as pybind11 does in a module whose import calls Python
        raise ImportError("KeyboardInterrupt: <EMPTY MESSAGE>")

raise SystemExit(run_node(make))
"""


def test_a_signal_while_a_node_is_made_ends_it_without_a_trace(domain):
    command = [sys.executable, "-c", IMPORTING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        assert p.stdout.readline() == "importing\n"
        p.send_signal(signal.SIGINT)
        _out, err = p.communicate(timeout=PATIENCE)
    assert (err, p.returncode) == ("", 0)


BROKEN = """
import numpy
from rlrobo_core.ros.nodes import RecordNode
from rlrobo_core.ros.running import run_node

class Broken(RecordNode):
    def work(self): numpy.zeros(3).reshape(2)

run_node(lambda: Broken("broken", listens_to=(), speaks=()))
"""


def test_a_bug_keeps_its_traceback(domain):
    done = subprocess.run(
        [sys.executable, "-c", BROKEN], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 1
    assert "cannot reshape" in done.stderr and "Traceback" in done.stderr


def test_what_breaks_while_receiving_stops_the_node(graph):
    node = Ear(ObservationBatch, context=graph.context)
    node.create_timer(0.01, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError), spinning(node):
        node.run()
    node.destroy_node()


def test_a_malformed_message_is_dropped_with_words(graph):
    mouth = graph.add(Ear)
    ear = graph.add(lambda **k: Ear(ObservationBatch, **k))
    topic, msg_type, qos = CHANNELS[ObservationBatch]
    publisher = mouth.create_publisher(msg_type, topic, qos)
    graph.settle()
    message = msg_type(group=[1], cameras=1)
    message.image.encoding = "yuv422"
    publisher.publish(message)
    message.image.encoding = "rgb8"
    message.ee_pose = [0.0] * 7
    publisher.publish(message)
    assert ear.hear_batch().observations.group_N.tolist() == [1]
    assert "yuv422" in ear.last_error and "rgb8" in ear.last_error


def test_diagnostics_tell_what_a_node_did_and_lost(graph):
    heard: SimpleQueue[DiagnosticArray] = SimpleQueue()
    ear = graph.add(lambda **k: Ear(ObservationBatch, says=(RolloutRequest,), **k))
    ear.create_subscription(DiagnosticArray, "/diagnostics", heard.put, 10)
    graph.add(SimNode, num_envs=2, group_size=2, image_size=32)
    graph.add(lambda **k: PolicyNode(RandomPolicy(version=3), **k))
    graph.settle()
    ear.publish(request(group_ids=(0,)))
    while not ear.hear_batch().last:
        pass
    wanted = {"/sim", "/policy"}
    values: dict[str, dict[str, str]] = {}
    while not wanted <= {name for name, told in values.items() if told.get("done")}:
        for status in heard.get(timeout=PATIENCE).status:
            told = {pair.key: pair.value for pair in status.values}
            sent = told.get("sent/observations", told.get("sent/actions", "0"))
            values[status.name] = told | {"done": "yes" if int(sent) > 1 else ""}
    assert values["/sim"]["lost/actions"] == "0"
    assert values["/policy"]["version"] == "3"
    assert float(values["/policy"]["rate/actions"]) >= 0.0


def test_cameras_are_heard_best_effort():
    assert QOS_CAMERA.reliability.name == "BEST_EFFORT"
