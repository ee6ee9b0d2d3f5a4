"""For tests of remote inference: a policy that is computed, a server in a thread, and a network
that can be cut, between real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from rlrobo_core.codec import Bins, end_effector_target
from rlrobo_core.tasks import Task, make_task
from rlrobo_core.types import ActionBatch, ObservationBatch, Observations, RolloutRequest
from rlrobo_policy.remote.client import RemoteConfig, RemotePolicy
from rlrobo_policy.remote.failures import NoAnswer
from rlrobo_policy.remote.layout import Served, no_outcomes
from rlrobo_policy.remote.server import PolicyServer, ServerConfig

REACH = make_task("reach")
CAMERAS = ("front", "wrist")
SIDE = 56


class MeanColour:
    """Goes where the images are bright: x by the first camera, y by the second, z by the words.
    So every part of an observation shows in the action."""

    version = 3

    def __init__(self, task: Task = REACH) -> None:
        self.task, self.asked, self.delay_s = task, 0, 0.0

    def act(self, batch: ObservationBatch) -> ActionBatch:
        self.asked += 1
        time.sleep(self.delay_s)
        obs = batch.observations
        bright_NC = obs.image_NC.mean((2, 3, 4)) / 127.5 - 1.0
        words_N = np.array([len(text) % 17 / 8 - 1.0 for text in obs.instruction_N])
        codec = Bins(3)
        index_NT = codec.encode(np.column_stack([bright_NC[:, 0], bright_NC[:, -1], words_N]))
        return ActionBatch(
            sequence=self.asked,
            request_id=batch.request.request_id,
            policy_version=self.version,
            group_M=obs.group_N,
            rollout_M=obs.rollout_M,
            step_M=obs.step_N,
            token_MT=index_NT.astype(np.int32),
            logprob_MT=-np.abs(bright_NC[:, :1]).repeat(3, 1).astype(np.float32),
            target_M=end_effector_target(self.task, obs.ee_pose_N, codec.decode(index_NT)),
        )

    def load_weights(self, update: object) -> None:
        raise AssertionError("a server's weights come from its checkpoint")


def observation(brightness: int = 100, step: int = 0, prompt: str = "reach the green ball"):
    """The batch of one observation, two cameras of different pictures."""
    rng = np.random.default_rng(brightness)
    image = rng.integers(0, brightness + 1, (1, 2, SIDE, SIDE, 3), dtype=np.uint8)
    image[:, 1] += 20
    observations = Observations(
        image_NC=image,
        ee_pose_N=np.float32([[0.55, 0.05, 0.2, 1, 0, 0, 0]]),
        gripper_width_N=np.float32([0.04]),
        instruction_N=(prompt,),
        group_N=np.array([2**31 + 5]),
        rollout_N=np.zeros(1, np.int32),
        samples_N=np.ones(1, np.int32),
        step_N=np.array([step], np.int32),
    )
    request = RolloutRequest(4, 0, "eval", "trajectory", "reach", 9, (2**31 + 5,), 1, 0, 0.0)
    return ObservationBatch(0, request, observations, no_outcomes(), last=False)


@contextmanager
def in_thread(body: Callable[[Callable[[Any], None]], Coroutine[Any, Any, None]]) -> Iterator[Any]:
    """Run a coroutine in a thread of its own until the block ends; gives what it reports."""
    loop, said, ready = asyncio.new_event_loop(), [], threading.Event()
    failures: list[Exception] = []

    def report(value: Any) -> None:
        said.append(value)
        ready.set()

    task = loop.create_task(body(report))

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        if failures:
            raise failures[0]
        yield said[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


@contextmanager
def serving(
    policy: Any = None,
    task: Task = REACH,
    cameras: tuple[str, ...] = CAMERAS,
    image_size: int = SIDE,
    history: int = 0,
    **config: Any,
) -> Iterator[int]:
    """The port of a server of `policy`."""
    server = PolicyServer(
        policy or MeanColour(task),
        {task.name: task},
        Served.of([task], cameras, image_size),
        ServerConfig(**{"port": 0} | config),
        history,
    )

    async def body(report: Callable[[int], None]) -> None:
        async with server.listening() as port:
            report(port)
            await asyncio.Event().wait()

    with in_thread(body) as port:
        yield port


@contextmanager
def robot(port: int, scheme: str = "ws", host: str = "127.0.0.1", **config: Any) -> Iterator[Any]:
    """A client of that port."""
    settings = {"server": f"{scheme}://{host}:{port}", "start_s": 20.0, "deadline_s": 20.0}
    policy = RemotePolicy(RemoteConfig(**settings | config), REACH, CAMERAS, SIDE)
    try:
        yield policy
    finally:
        policy.close()


def start_robot(*args: Any, **kwargs: Any) -> None:
    """For a start that is to fail."""
    with robot(*args, **kwargs):
        pass


def answers(policy: RemotePolicy, brightness: int = 120) -> bool:
    """Whether there is an answer now; if so, it is the right one."""
    asked = observation(brightness)
    try:
        actions = policy.act(asked)
    except NoAnswer:
        return False
    np.testing.assert_allclose(actions.target_M, MeanColour().act(asked).target_M, atol=1e-6)
    return True


class Network:
    """A TCP proxy: what lies between robot and server. It can be cut (connections are reset and
    refused) or go silent (everything is swallowed, as when a cable is pulled)."""

    def __init__(self, to_port: int):
        self.to_port, self.silent = to_port, False
        self._pairs: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.mend()

    def mend(self) -> None:
        self.silent = False
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            self._listener.close()
            self._listener = None
        self.break_connections()

    def break_connections(self) -> None:
        for end in self._pairs:
            _shut(end)
        self._pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.to_port))
            self._pairs += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if not self.silent:
                    other.sendall(data)
        _shut(one)
        _shut(other)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def network(to_port: int) -> Iterator[Network]:
    between = Network(to_port)
    try:
        yield between
    finally:
        between.cut()


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for an event; AssertionError where it does not come."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
