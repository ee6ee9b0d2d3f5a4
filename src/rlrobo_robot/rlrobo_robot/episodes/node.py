"""Episodes as a ROS action: it owns the instruction that the policy follows.

    run_episode (action)                       instruction (latched; empty: do nothing)
    success (std_msgs/Bool)     [episodes]     episode (its result, for who records)
    safety/state, target_pose

Whoever can judge publishes `success`: the simulated arm, an operator's button, a classifier.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from std_msgs.msg import Bool, Header, String

from rlrobo_core.ros.channels import QOS_COMMAND, QOS_LATCHED, QOS_TRAINING
from rlrobo_core.ros.nodes import PlainNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit
from rlrobo_msgs.action import RunEpisode  # pyright: ignore[reportAttributeAccessIssue]
from rlrobo_msgs.msg import Episode as EpisodeMsg  # pyright: ignore[reportAttributeAccessIssue]
from rlrobo_robot.episodes.episode import Episode

PERIOD = 0.1
"""[s] between feedback."""


@dataclass(frozen=True)
class EpisodesConfig:
    """The node's parameters."""

    instruction: str = ""
    """What the policy shall do from the start, without any episode."""
    max_seconds: float = field(default=30.0, metadata={"range": (0.1, 3600.0)})
    """Of an episode that names no limit [s]."""


class EpisodesNode(PlainNode):
    """One episode at a time. The goal is executed at its end: until then it is only watched, by a
    timer, so that nothing waits in a callback."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("episodes", **kwargs)
        self.config = declare_parameters(self, EpisodesConfig)
        self._safety_state = "unknown"
        self._episode: Episode | None = None
        self._goal: Any = None
        self._instruction = self.create_publisher(String, "instruction", QOS_LATCHED)
        self._ended_episodes = self.create_publisher(EpisodeMsg, "episode", QOS_TRAINING)
        self.create_subscription(Bool, "success", self._on_success, 10)
        self.create_subscription(String, "safety/state", self._on_state, QOS_LATCHED)
        self.create_subscription(PoseStamped, "target_pose", self._on_target, QOS_COMMAND)
        self._server = ActionServer(
            self,
            RunEpisode,
            "run_episode",
            execute_callback=self._finish,
            goal_callback=self._consider,
            handle_accepted_callback=self._begin,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )
        self.create_timer(PERIOD, self._watch)
        self._instruction.publish(String(data=self.config.instruction))
        self.facts["episodes"] = 0

    def close(self) -> None:
        self._server.destroy()

    def _on_success(self, msg: Bool) -> None:
        if self._episode:
            self._episode.judge(msg.data)

    def _on_state(self, msg: String) -> None:
        self._safety_state = msg.data
        if self._episode:
            self._episode.safety_state = msg.data

    def _on_target(self, _msg: PoseStamped) -> None:
        if self._episode:
            self._episode.steps += 1

    def _consider(self, goal: Any) -> GoalResponse:
        problem = "" if goal.instruction else "it has no instruction"
        problem = "another one is running: cancel it first" if self._episode else problem
        if problem:
            self.get_logger().warning(f"an episode was refused: {problem}")
        return GoalResponse.REJECT if problem else GoalResponse.ACCEPT

    def _begin(self, goal: Any) -> None:
        seconds = goal.request.max_seconds or self.config.max_seconds
        self._goal = goal
        self._episode = Episode(
            goal.request.instruction, seconds, time.monotonic(), self._safety_state
        )
        self._instruction.publish(String(data=goal.request.instruction))

    def _watch(self) -> None:
        episode = self._episode
        if not episode:
            return
        now = time.monotonic()
        self._goal.publish_feedback(
            RunEpisode.Feedback(
                steps=episode.steps,
                seconds=now - episode.began,
                safety_state=episode.safety_state,
            )
        )
        if self._goal.is_cancel_requested or episode.why_over(now):
            self._instruction.publish(String(data=""))
            self._episode, goal = None, self._goal
            self._result = result = self._result_of(episode, now)
            self._ended_episodes.publish(self._told(episode.instruction, result))
            self.facts["episodes"] += 1
            goal.execute()

    def _result_of(self, episode: Episode, now: float) -> RunEpisode.Result:
        return RunEpisode.Result(
            success=episode.success,
            judged=episode.judged,
            reason=episode.why_over(now) or "cancelled",
            steps=episode.steps,
            seconds=now - episode.began,
        )

    def _told(self, instruction: str, result: RunEpisode.Result) -> EpisodeMsg:
        """The result as a message: a recorder does not hear an action's."""
        return EpisodeMsg(
            header=Header(stamp=self.get_clock().now().to_msg()),
            instruction=instruction,
            success=result.success,
            judged=result.judged,
            reason=result.reason,
            steps=result.steps,
            seconds=result.seconds,
        )

    def _finish(self, goal: Any) -> RunEpisode.Result:
        """A failed episode is a result; only one that the arm could not go on with is aborted."""
        if goal.is_cancel_requested:
            goal.canceled()
        elif self._result.reason.startswith("the arm"):
            goal.abort()
        else:
            goal.succeed()
        return self._result


def main() -> None:
    run_and_exit(EpisodesNode)
