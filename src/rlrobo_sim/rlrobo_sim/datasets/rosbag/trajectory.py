"""An arm's episodes out of its topics: what was seen, what was commanded, how it was judged.

    for each command, at most as often as the control rate:
        of every other topic, the message whose own stamp is nearest to the command's

The policy stamps a target with the image that it answers, so image and target pair exactly. The
pose is the one that was measured as the image was taken, a few milliseconds before the one that
the policy counted its action from: an action here leads from what is shown to what was commanded.

Shape legend: L control steps of an episode, C cameras, D action dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.bag_decoding import Complain
from rlrobo_core.codec import normalised_action
from rlrobo_core.tasks import Task
from rlrobo_sim.datasets.rosbag.format import (
    ACTION,
    GRIPPER,
    GRIPPER_TARGET,
    POSE,
    TARGET,
    image_topic,
)

EARLY = 0.75
"""Of a control period: a command that comes sooner after the last one is passed over, as the
policy passes over images."""
GAP = 2.0
"""Control periods between two commands from which on it is told."""


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """One episode."""

    instruction: str
    image_LC: NDArray[np.uint8]
    """u8[L, C, H, W, 3]"""
    ee_pose_L: NDArray[np.float32]
    """f32[L, 7]"""
    gripper_width_L: NDArray[np.float32]
    """f32[L] [m]"""
    action_LD: NDArray[np.float32]
    """f32[L, D] in [-1, 1]"""
    judged: bool
    success: bool


@dataclass(slots=True)
class Track:
    """What one topic said, by its own stamps [ns]."""

    stamps: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, stamp: int, value: Any) -> None:
        self.stamps.append(stamp)
        self.values.append(value)

    def clear(self) -> None:
        self.stamps.clear()
        self.values.clear()

    def keep_last(self) -> None:
        del self.stamps[:-1], self.values[:-1]

    def nearest(self, stamp_L: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """i64[L], which value is the nearest, and i64[L], how far it is off [ns]."""
        if not self.stamps:
            return np.zeros_like(stamp_L), np.full_like(stamp_L, np.iinfo(np.int64).max)
        off_LN = np.abs(np.array(self.stamps)[None] - stamp_L[:, None])
        return off_LN.argmin(1), off_LN.min(1)

    def take(self, index_L: NDArray[np.int64]) -> NDArray[Any]:
        return np.stack([self.values[index] for index in index_L.tolist()])


class Episodes:
    """Told what was recorded, in that order, it gives an episode when one has ended."""

    def __init__(
        self, task: Task, cameras: tuple[str, ...], labelled: bool, complain: Complain
    ) -> None:
        """`labelled`: the bag holds the actions themselves."""
        self.task, self.cameras, self.complain = task, cameras, complain
        names = [TARGET, POSE, GRIPPER, *map(image_topic, cameras)]
        names += [GRIPPER_TARGET] if "gripper" in task.action_dims else []
        names += [ACTION] if labelled else []
        self._tracks = {name: Track() for name in names}
        self._instruction, self._ended = "", 0

    def hear(self, topic: str, stamp: int, value: Any) -> None:
        """A message on one of the topics, as a number, an array or an image."""
        track = self._tracks[topic]
        track.add(stamp, value)
        if not self._instruction:  # between episodes
            track.keep_last()

    def begin(self, instruction: str) -> None:
        """The image that the first command answers may have come before."""
        self.close()
        self._instruction = instruction
        for track in self._tracks.values():
            track.keep_last()
        self._tracks[TARGET].clear()

    def end(self, episode: Any) -> Iterator[Trajectory]:
        """With its result (rlrobo_msgs/Episode); none where nothing was commanded in it, or where
        its beginning is not in the bag."""
        name = f"episode {self._ended + 1} ({episode.instruction!r})"
        begun, self._instruction, self._ended = self._instruction, "", self._ended + 1
        if begun != episode.instruction:
            self.complain(f"{name} is left out: its instruction is not in the bag")
        elif rows := self._steps(name):
            yield Trajectory(
                instruction=episode.instruction,
                image_LC=np.stack([rows[image_topic(it)] for it in self.cameras], axis=1),
                ee_pose_L=rows[POSE].astype(np.float32),
                gripper_width_L=rows[GRIPPER].astype(np.float32),
                action_LD=self._actions(rows),
                judged=episode.judged,
                success=episode.success,
            )

    def close(self) -> None:
        """What was commanded in an episode whose end was not recorded is told, and left out."""
        if self._instruction and (count := len(self._tracks[TARGET].stamps)):
            self.complain(
                f"{count} commands for {self._instruction!r} are left out: that episode's end is "
                "not in the bag, so nobody knows how it went"
            )
        self._instruction = ""

    def _steps(self, name: str) -> dict[str, NDArray[Any]]:
        """topic -> [L, …], what belongs to each control step; empty where there is none."""
        period = 1e9 / self.task.control_hz
        stamp_L = np.array(_thinned(self._tracks[TARGET].stamps, EARLY * period), np.int64)
        if not len(stamp_L):
            self.complain(f"{name} is left out: nothing was commanded in it")
            return {}
        found = {topic: track.nearest(stamp_L) for topic, track in self._tracks.items()}
        near_L = np.ones(len(stamp_L), bool)
        for topic, (_, off_L) in found.items():
            near_L &= off_L <= period / 2
            if far := int((off_L > period / 2).sum()):
                self.complain(
                    f"{far} of the {len(off_L)} commands of {name} are left out: there is no "
                    f"{topic} within {period / 2e6:.0f} ms of them"
                )
        if (apart := np.diff(stamp_L).max(initial=0)) > GAP * period:
            self.complain(
                f"the commands of {name} are up to {apart * 1e-9:.2f} s apart, and a control step "
                f"is {period * 1e-9:.2f} s: what was done between them is not shown"
            )
        if not near_L.any():
            return {}
        return {it: self._tracks[it].take(index_L[near_L]) for it, (index_L, _) in found.items()}

    def _actions(self, rows: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        if ACTION in rows:
            return rows[ACTION]
        width_L = rows.get(GRIPPER_TARGET, rows[GRIPPER])  # the second is not looked at then
        target_L8 = np.column_stack([rows[TARGET], width_L])
        return np.clip(normalised_action(self.task, rows[POSE], target_L8), -1.0, 1.0)


def _thinned(stamps: list[int], least: float) -> list[int]:
    """Those that are at least so much after the last one that is kept."""
    kept = stamps[:1]
    for stamp in stamps[1:]:
        if stamp - kept[-1] >= least:
            kept.append(stamp)
    return kept
