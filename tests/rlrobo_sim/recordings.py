"""Bags as an arm's graph would be recorded, topic by topic, without the graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlrobo_core.bag import BagWriter, make_message
from rlrobo_core.bag_messages import gripper, header, image, pose_stamped, text
from rlrobo_core.tasks import make_task

MS = 10**6
TASK = make_task("pick_and_place")
START = 1_700_000_000 * 10**9 + 123_456_789
DOWN = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Take:
    """One episode of an arm: cameras at 30 Hz, arm at 50 Hz, the policy answers every third image
    60 ms after it was taken."""

    instruction: str = "put the red cube on the plate"
    success: bool = True
    judged: bool = True
    ended: bool = True
    steps: int = 8
    every: int = 3
    """Images from one command to the next."""
    silent: range = range(0)
    """Steps at which the policy says nothing."""
    without: tuple[str, ...] = ()
    """Topics that fell silent after `heard_ms`."""
    heard_ms: int = 200


def pose(at: int) -> np.ndarray:
    """Where the tool is at a time since the start [ns]: it goes along x at 0.1 m/s."""
    return np.array([0.4 + 0.1 * at * 1e-9, 0.0, 0.2, *DOWN], np.float32)


def commanded(step: int) -> np.ndarray:
    """f[4], the action that the policy takes."""
    return np.array([0.5, -0.25, 0.125 * (step % 8), (-1.0) ** step])


def pixels(number: int) -> np.ndarray:
    """An image of 40 x 30 whose brightness tells which one it is."""
    return np.full((30, 40, 3), number, np.uint8)


def said(take: Take, began: int) -> list[tuple[int, str, Any]]:
    """(when it was recorded, topic, message) of an episode that begins at `began` [ns]."""
    spoken: list[tuple[int, str, Any]] = [(began, "/instruction", text(take.instruction))]
    frames = take.steps * take.every
    for number in range(frames):
        at = began + number * 1000 * MS // 30
        spoken.append((at + 8 * MS, "/camera/image_raw", image(pixels(number), "c", at)))
        late = at + 3 * MS  # the wrist camera is not synchronous
        spoken.append((late + 9 * MS, "/wrist_camera/image_raw", image(pixels(100), "w", late)))
        if number % take.every == 0 and number // take.every not in take.silent:
            spoken += _command(number // take.every, at, began)
    for tick in range(frames * 50 // 30):
        at = began + tick * 20 * MS
        spoken.append((at + MS, "/current_pose", pose_stamped(pose(at - began), at)))
        spoken.append((at + 2 * MS, "/gripper/joint_states", gripper(0.04, at)))
    end = began + frames * 1000 * MS // 30 + 100 * MS
    spoken = [
        it for it in spoken if it[1] not in take.without or it[0] < began + take.heard_ms * MS
    ]
    spoken.append((end, "/instruction", text("")))
    return spoken + ([(end + MS, "/episode", _result(take, end))] if take.ended else [])


def _command(step: int, at: int, began: int) -> list[tuple[int, str, Any]]:
    target, action = pose(at - began), commanded(step)
    target[:3] += np.float32(action[:3] * TASK.max_step)
    stamp = round(at * 1e-9 * 1e9)  # seconds in a float, as the policy node keeps them
    return [
        (at + 60 * MS, "/gripper_command", gripper((action[3] + 1) * 0.04, stamp)),
        (at + 60 * MS, "/target_pose", pose_stamped(target, stamp)),
    ]


def _result(take: Take, stamp: int) -> Any:
    return make_message(
        "rlrobo_msgs/msg/Episode",
        header=header("", stamp),
        instruction=take.instruction,
        success=take.success,
        judged=take.judged,
        reason="success",
        steps=take.steps,
        seconds=1.0,
    )


def record(path: Path, *takes: Take, namespace: str = "") -> Path:
    """A bag with these episodes, 2 s apart."""
    with BagWriter(path) as bag:
        began = START
        for take in takes:
            spoken = sorted(said(take, began), key=lambda it: it[0])
            for stamp, topic, msg in spoken:
                bag.write(namespace + topic, msg, stamp)
            bag.flush()
            began = spoken[-1][0] + 2000 * MS
    return path
