"""The operator's side of the services, as a command for a terminal.

operate arm | disarm | stop | reset       the safety node's services
operate recover | home | restart          the arm's: out of a reflex; to its neutral posture (real);
                                          the next scene (simulated)
operate inject FAULT                      make a simulated arm fail: reflex, user_stop,
                                          stale_state, lost_gripper, frozen_camera; none
operate episode INSTRUCTION [SECONDS]     run an episode and tell how it went
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from rclpy.action import ActionClient
from rclpy.utilities import remove_ros_args
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rlrobo_core.robot.arm import INJECTIONS
from rlrobo_core.ros import QOS_COMMAND, PlainNode, run_and_exit
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

    def run(self) -> None:
        match self._words:
            case [name] if name in SERVICES:
                answer = self.call(name)
                if not answer.success:
                    raise ValueError(answer.message or f"{name} was refused")
                print(answer.message or "done", flush=True)
            case ["inject", fault] if fault in INJECTIONS:
                self.inject(fault)
            case ["episode", instruction, *limit] if len(limit) <= 1:
                result = self.episode(instruction, as_seconds(*limit))
                judged = "success" if result.success else "no success"
                judged = judged if result.judged else "nobody judged it"
                print(f"{judged}: {result.reason}; {result.steps} targets, {result.seconds:.1f} s")
            case _:
                raise ValueError(f"not a command: {' '.join(self._words)!r}\n{__doc__}")

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
        client = ActionClient(self, RunEpisode, "run_episode")
        if not client.wait_for_server(PATIENCE):
            raise ValueError("nobody serves run_episode; is real_robot.launch.py running?")
        goal = RunEpisode.Goal(instruction=instruction, max_seconds=max_seconds)
        handle = self._wait(client.send_goal_async(goal), PATIENCE, "run_episode")
        if not handle.accepted:
            raise ValueError("the episode was refused: see the log of the node episodes")
        result = self._wait(handle.get_result_async(), None, "run_episode").result
        client.destroy()
        return result

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


def as_seconds(text: str = "0") -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; give a number of seconds") from None


def main() -> None:
    words = tuple(remove_ros_args(sys.argv)[1:])
    run_and_exit(lambda: Operator(words))
