"""The operator's side of the services, as a command for a terminal.

operate arm | disarm | stop | reset       the safety node's services
operate recover | home | restart          the arm's: out of a reflex; to its neutral posture (real);
                                          the next scene (simulated)
operate inject FAULT                      make a simulated arm fail: reflex, user_stop,
                                          stale_state, lost_gripper, frozen_camera; none
operate episode INSTRUCTION [SECONDS]     run an episode and tell how it went
operate trials COUNT [SECONDS]            so many scenes of a simulated arm, each with the
                                          instruction that belongs to it: how many succeed
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from rclpy.action import ActionClient
from rclpy.utilities import remove_ros_args
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rlrobo_core.intervals import SuccessRate
from rlrobo_core.robot.arm import INJECTIONS
from rlrobo_core.ros.channels import QOS_COMMAND, QOS_LATCHED
from rlrobo_core.ros.nodes import PlainNode
from rlrobo_core.ros.running import run_and_exit
from rlrobo_msgs.action import RunEpisode  # pyright: ignore[reportAttributeAccessIssue]

SERVICES = {name: f"safety/{name}" for name in ("arm", "disarm", "stop", "reset")} | {
    name: f"arm/{name}" for name in ("recover", "home", "restart")
}
PATIENCE = 20.0
"""[s] for somebody to answer."""
WAY_HOME = 120.0
"""[s] that the arm may take to its neutral posture."""


class Operator(PlainNode):
    """Asks and waits for the answer, in a thread that is not the executor's."""

    def __init__(self, words: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__("operator", **kwargs)
        self._words = words
        self._episodes = ActionClient(self, RunEpisode, "run_episode")

    def close(self) -> None:
        self._episodes.destroy()

    def run(self) -> None:
        match self._words:
            case [name] if name in SERVICES:
                print(self.demand(name) or "done", flush=True)
            case ["inject", fault] if fault in INJECTIONS:
                self.inject(fault)
            case ["episode", instruction, *limit] if len(limit) <= 1:
                print(told(self.episode(instruction, as_seconds(*limit))))
            case ["trials", count, *limit] if len(limit) <= 1:
                self.trials(as_count(count), as_seconds(*limit))
            case _:
                raise ValueError(f"not a command: {' '.join(self._words)!r}\n{__doc__}")

    def demand(self, name: str) -> str:
        """What one of `SERVICES` answers. ValueError where it refuses."""
        answer = self.call(name)
        if not answer.success:
            raise ValueError(answer.message or f"{name} was refused")
        return answer.message

    def call(self, name: str) -> Trigger.Response:
        """One of `SERVICES`. ValueError where nobody answers."""
        service = SERVICES[name]
        client = self.create_client(Trigger, service)
        if not client.wait_for_service(PATIENCE):
            raise ValueError(
                f"nobody serves {service}; is real_robot.launch.py running, and in this namespace?"
            )
        patience = WAY_HOME if name == "home" else PATIENCE
        return self._wait(client.call_async(Trigger.Request()), patience, service)

    def inject(self, fault: str) -> None:
        publisher = self.create_publisher(String, "arm/inject", QOS_COMMAND)
        if not self._until(lambda: publisher.get_subscription_count() > 0):
            raise ValueError("nobody listens to arm/inject: is it a simulated arm?")
        publisher.publish(String(data=fault))
        publisher.wait_for_all_acked()

    def episode(self, instruction: str, max_seconds: float = 0.0) -> RunEpisode.Result:
        """0 s: as long as the episode node says. ValueError where it is refused."""
        if not self._episodes.wait_for_server(PATIENCE):
            raise ValueError("nobody serves run_episode; is real_robot.launch.py running?")
        goal = RunEpisode.Goal(instruction=instruction, max_seconds=max_seconds)
        handle = self._wait(self._episodes.send_goal_async(goal), PATIENCE, "run_episode")
        if not handle.accepted:
            raise ValueError("the episode was refused: see the log of the node episodes")
        return self._wait(handle.get_result_async(), None, "run_episode").result

    def trials(self, count: int, max_seconds: float = 0.0) -> SuccessRate:
        """The arm is armed for each and disarmed after it. ValueError where one is refused."""
        said: SimpleQueue[str] = SimpleQueue()
        self.create_subscription(String, "arm/instruction", partial(_note, said), QOS_LATCHED)
        self._next_said(said)  # of the scene that is there
        successes = 0
        for number in range(1, count + 1):
            self.demand("disarm")
            self.demand("restart")
            instruction = self._next_said(said)
            self.demand("arm")
            result = self.episode(instruction, max_seconds)
            successes += result.success
            print(f"trial {number}: {instruction}: {told(result)}", flush=True)
        rate = SuccessRate(successes, count)
        self.demand("disarm")
        print(f"{successes} of {count} succeeded: {rate} (95% interval)", flush=True)
        return rate

    def _next_said(self, said: SimpleQueue[str]) -> str:
        try:
            return said.get(timeout=PATIENCE)
        except Empty:
            raise ValueError("nobody says arm/instruction: is it a simulated arm?") from None

    def _wait(self, future: Any, patience: float | None, whom: str) -> Any:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        if not done.wait(patience):
            raise ValueError(f"{whom} did not answer within {patience:g} s")
        return future.result()

    def _until(self, holds: Any) -> bool:
        for _ in range(round(PATIENCE * 10)):
            if holds():
                return True
            self._ended.wait(0.1)
        return False


def _note(said: SimpleQueue[str], msg: String) -> None:
    said.put(msg.data)


def told(result: RunEpisode.Result) -> str:
    judged = "success" if result.success else "no success"
    judged = judged if result.judged else "nobody judged it"
    return f"{judged}: {result.reason}; {result.steps} targets, {result.seconds:.1f} s"


def as_count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise ValueError(f"{text!r} is no count; give a whole number of trials, at least 1")
    return int(text)


def as_seconds(text: str = "0") -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; give a number of seconds") from None


def main() -> None:
    words = tuple(remove_ros_args(sys.argv)[1:])
    run_and_exit(lambda: Operator(words))
