"""What the nodes share of ROS 2: topics and their QoS, parameters from a dataclass, and a node
that receives in the background and works in the main thread.

The only file of this package that imports rclpy; the records' conversion is in `messages.py`.
"""

from __future__ import annotations

import gc
import os
import secrets
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
)
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from rclpy.signals import SignalHandlerOptions

from rlrobo_core.config import field_docs, from_values
from rlrobo_core.errors import told
from rlrobo_core.from_messages import Record, from_msg
from rlrobo_core.gaps import GapCounter
from rlrobo_core.messages import to_msg
from rlrobo_core.types import (
    ActionBatch,
    ObservationBatch,
    PolicyUpdate,
    RolloutRequest,
    ScoreBatch,
)
from rlrobo_msgs import msg as ros  # pyright: ignore[reportAttributeAccessIssue]

T = TypeVar("T")

QOS_TRAINING = QoSProfile(
    depth=16,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""For what trains. Nodes drain their subscriptions in the background, and a rollout is a
dialogue, so 16 covers a hiccup, not a backlog. The durability is for nodes that (re)start in a
running graph: A may hear B's first request, and C answer it, before C and A have found each
other; what C said in the meantime is told to A then."""

QOS_HEARING = QoSProfile(
    history=HistoryPolicy.KEEP_ALL,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""How it is listened to: what was received and not yet taken is never overwritten, so that a
replay as fast as it goes loses nothing while an update keeps the processor busy."""

QOS_LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""A node that (re)starts is told the newest one."""

QOS_CAMERA = qos_profile_sensor_data
"""Best effort, as cameras publish, and as franka_ros2's state broadcaster does: a reliable
subscriber would hear neither."""

QOS_COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
"""For what an arm is told: only the newest counts."""


class Channel(NamedTuple):
    topic: str
    msg_type: Any
    qos: QoSProfile


CHANNELS: dict[type, Channel] = {
    RolloutRequest: Channel("rollout_request", ros.RolloutRequest, QOS_LATCHED),
    ObservationBatch: Channel("observations", ros.ObservationBatch, QOS_TRAINING),
    ActionBatch: Channel("actions", ros.ActionBatch, QOS_TRAINING),
    ScoreBatch: Channel("scores", ros.ScoreBatch, QOS_TRAINING),
    PolicyUpdate: Channel("policy_update", ros.PolicyUpdate, QOS_LATCHED),
}
"""Where each record travels."""


def declare_parameters(node: Node, cls: type[T]) -> T:
    """Declare the fields of the dataclass as read-only parameters and fill it with what the
    user set. Names and values are checked by `rlrobo_core.config.from_values` (ValueError).

    The node must be made with `automatically_declare_parameters_from_overrides=True`: this is
    how a misspelt parameter is seen at all.
    """
    # rclpy's annotation says values, but what comes is parameters.
    overrides: dict[str, Any] = node.get_parameters_by_prefix("")
    given = {name: parameter.value for name, parameter in overrides.items()}
    config = from_values(cls, {k: v for k, v in given.items() if not is_built_in(k)})
    docs, types = field_docs(cls), get_type_hints(cls)
    for field in fields(cls):  # pyright: ignore[reportArgumentType]
        value = getattr(config, field.name)
        descriptor = describe(docs[field.name], value, field.metadata.get("range"))
        if get_origin(types[field.name]) is Literal:
            choices = ", ".join(get_args(types[field.name]))
            descriptor.additional_constraints = f"one of: {choices}"
        if node.has_parameter(field.name):
            node.undeclare_parameter(field.name)
        stored = list(value) if isinstance(value, tuple) else value
        node.declare_parameter(field.name, stored, descriptor, ignore_override=True)
    return config


def is_built_in(parameter: str) -> bool:
    """Whether rclpy itself declares it on every node."""
    return parameter in ("use_sim_time", "start_type_description_service") or (
        parameter.startswith("qos_overrides.")
    )


def describe(
    text: str, value: object, bounds: tuple[float, float] | None = None
) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=text, read_only=True)
    if bounds and isinstance(value, float):
        low, high = map(float, bounds)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif bounds:
        low, high = map(int, bounds)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor


class Received(NamedTuple):
    """A record that arrived."""

    record: Record
    lost: int
    """Messages of its topic that were lost right before it."""


class PlainNode(Node):
    """A node that works in its callbacks, which its executor calls in a thread of its own
    (`spinning`). It notes in `facts` what its diagnostics shall tell; a subclass may override
    `close` if it holds anything."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, automatically_declare_parameters_from_overrides=True, **kwargs)
        self.done = False
        self.facts: dict[str, Any] = {}
        self.last_error = ""
        self._ended = threading.Event()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics)

    def run(self) -> None:
        """Wait until `done`."""
        self._ended.wait()

    def stop(self) -> None:
        """Let `run` return soon; from any thread."""
        self.done = True
        self._ended.set()

    def close(self) -> None:
        """Called once at the end, also after an interrupt in the middle of `run`."""

    def complain(self, sentence: str) -> None:
        """Something went wrong and the node goes on: in the log and in the diagnostics."""
        self.last_error = sentence
        self.get_logger().error(sentence)

    def ailment(self) -> str:
        """What is wrong at present, for the diagnostics; "" where nothing is."""
        return self.last_error

    def _publish_diagnostics(self) -> None:
        ailment = self.ailment()
        values = self.facts | {"last_error": self.last_error}
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if ailment else DiagnosticStatus.OK,
            name=self.get_fully_qualified_name(),
            message=ailment or "running",
            hardware_id="rlrobo",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


class RecordNode(PlainNode):
    """A node that works in the thread that calls `run` and receives in another, its executor's:
    while it computes for seconds nothing overflows, and its diagnostics go on.

    A subclass overrides `receive` (one record) and `work` (after all waiting records were
    received, at least every `PERIOD` seconds), and may publish in each.
    """

    PERIOD = 0.5
    """[s]"""

    def __init__(
        self, name: str, *, listens_to: tuple[type, ...], speaks: tuple[type, ...], **kwargs: Any
    ) -> None:
        super().__init__(name, **kwargs)
        self._session = secrets.randbits(64)
        self._inbox: SimpleQueue[Received | None] = SimpleQueue()
        self._sent: Counter[type] = Counter()
        self._heard: Counter[type] = Counter()
        self._gaps = {record: GapCounter() for record in listens_to}
        self._rated: tuple[float, Counter[type]] = (time.monotonic(), Counter())
        self._publisher_of = {
            record: self.create_publisher(channel.msg_type, channel.topic, channel.qos)
            for record, channel in CHANNELS.items()
            if record in speaks
        }
        for record in listens_to:
            topic, msg_type, qos = CHANNELS[record]
            heard = QOS_HEARING if qos is QOS_TRAINING else qos
            self.create_subscription(msg_type, topic, self._on_message, heard)

    def receive(self, received: Received) -> None:
        raise NotImplementedError

    def work(self) -> None:
        raise NotImplementedError

    def run(self) -> None:
        """Receive and work until `done`."""
        while not self.done:
            for received in self._take():
                self.receive(received)
            self.work()

    def stop(self) -> None:
        self.done = True
        self.wake()

    def wake(self) -> None:
        """Let `work` be called soon; from any thread."""
        self._inbox.put(None)

    def publish(self, record: Record) -> None:
        """As the next message of this session."""
        kind = type(record)
        if isinstance(record, ObservationBatch | ActionBatch | ScoreBatch):
            record = replace(record, sequence=self._sent[kind])
        stamp = self.get_clock().now().to_msg()
        self._publisher_of[kind].publish(to_msg(record, stamp, self._session))
        self._sent[kind] += 1

    def ailment(self) -> str:
        lost = any(gaps.lost for gaps in self._gaps.values())
        return self.last_error or ("messages were lost" if lost else "")

    def _take(self) -> list[Received]:
        """All records that wait; none where nothing came within `PERIOD`."""
        taken: list[Received | None] = []
        with suppress(Empty):
            taken.append(self._inbox.get(timeout=self.PERIOD))
            while True:
                taken.append(self._inbox.get_nowait())
        return [received for received in taken if received is not None]

    def _on_message(self, msg: Any) -> None:
        try:
            record = from_msg(msg)
        except ValueError as error:
            self.complain(f"dropped a malformed {type(msg).__name__}: {error}")
            return
        kind, lost = type(record), 0
        if isinstance(record, ObservationBatch | ActionBatch | ScoreBatch):
            lost = self._gaps[kind].see(msg.session, msg.sequence)
        self._heard[kind] += 1
        self._inbox.put(Received(record, lost))

    def _publish_diagnostics(self) -> None:
        then, sent_then = self._rated
        now, sent = time.monotonic(), self._sent.copy()
        self._rated = (now, sent)
        for kind, count in sent.items():
            self.facts[f"sent/{CHANNELS[kind].topic}"] = count
            self.facts[f"rate/{CHANNELS[kind].topic}"] = (
                f"{(count - sent_then[kind]) / (now - then):.2f}"
            )
        for kind, gaps in self._gaps.items():
            self.facts[f"heard/{CHANNELS[kind].topic}"] = self._heard[kind]
            self.facts[f"lost/{CHANNELS[kind].topic}"] = gaps.lost
        super()._publish_diagnostics()


@contextmanager
def spinning(node: PlainNode) -> Iterator[None]:
    """Meanwhile the node's messages are received in a background thread. What breaks there
    stops the node and is raised here."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    failures: list[BaseException] = []

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            pass
        except BaseException as error:
            failures.append(error)
        finally:
            node.stop()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        thread.join()
    if failures:
        raise failures[0]


def run_node(make: Callable[[], PlainNode], args: list[str] | None = None) -> int:
    """The `main` of a node, from `rclpy.init` to the exit code: 0 when it is done or was asked
    to end by SIGINT or SIGTERM, 2 after an error of the user's, in one line on stderr.

    The signal interrupts the main thread (KeyboardInterrupt) wherever it is, in the middle of a
    computation too; from then on signals are ignored, so that closing is not torn. A node that
    breaks as it is made is then no bug: a module in C whose import is interrupted (torch) says
    ImportError instead.
    """
    node: PlainNode | None = None
    interrupted = False

    def interrupt(number: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        ignore_signals()
        if node:
            node.stop()  # should the KeyboardInterrupt be swallowed on its way
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        try:
            node = make()
            # All that was imported stays: to look through it for garbage takes torch's and
            # transformers' objects 0.2 s, in the middle of an action.
            gc.freeze()
            with spinning(node):
                node.run()
        finally:
            ignore_signals()
            if node:
                node.close()
                node.destroy_node()
    except KeyboardInterrupt:
        return 0
    except Exception as error:
        if interrupted and node is None:
            return 0
        if not told(error):
            raise
        return 2
    finally:
        rclpy.try_shutdown()
    return 0


def run_and_exit(make: Callable[[], PlainNode]) -> NoReturn:
    """`run_node`, and end the process at once: all that must be closed is closed by then, and
    taking the interpreter apart costs a process with torch in it a second or more."""
    try:
        code = run_node(make)
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def ignore_signals() -> None:
    """By a handler that does nothing: of SIG_IGN Python complains on stderr where both signals
    came at once, in the middle of an import."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
