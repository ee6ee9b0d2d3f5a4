"""What a trainer learns from: groups of rollouts, and the decisions that they are made of.

Shape legend: G rollouts of a group, L steps of its longest rollout, S rollouts that share an
observation, T tokens of an action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlrobo_train.process_reward.scores import GroupScore


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One observation."""

    image_C: NDArray[np.uint8]
    """u8[C, H, W, 3]"""
    instruction: str
    ee_pose: NDArray[np.float32]
    """f32[7], as the policy was told it: its prompt may have said so."""
    gripper_width: float
    """[m], likewise."""
    past: tuple[Said, ...] = field(default=(), kw_only=True)
    """The turns before it that the policy read as well, the oldest first."""


class Said(NamedTuple):
    """A turn that is over."""

    seen: Seen
    token_T: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Decision(Seen):
    """One observation and the S actions that were sampled for it."""

    step: int
    rollout_S: NDArray[np.int64]
    token_ST: NDArray[np.int64]
    logprob_ST: NDArray[np.float32]
    explored: bool = True
    """Whether the actions were drawn; one that was taken for being the most likely does not train.
    """


@dataclass(frozen=True, slots=True, eq=False)
class RolloutGroup:
    """G rollouts from one initial state."""

    group_id: int
    decisions: tuple[Decision, ...]
    reward_GL: NDArray[np.float32]
    alive_GL: NDArray[np.bool_]
    """Whether rollout g acted at step l; rewards are 0 where it did not."""
    chosen_GL: NDArray[np.bool_]
    """Steps on the path that the episode went (all of a trajectory's; one branch of each step)."""
    success: float
    """Fraction of the group's episodes that succeeded (of its one episode in branch form)."""
    terms: dict[str, float]
    """Unweighted reward terms, summed over the path, mean over rollouts."""
    partings: tuple[int, ...] = (0,)
    """Steps at which all members were in one state and went on from it by themselves."""
    end: Mapping[int, Seen] = field(default_factory=dict)
    """rollout -> what it saw where the limit of steps cut it off (form `episode`)."""
    score: GroupScore | None = None
    """What the process reward model says of it; None where nobody asked."""

    @property
    def outline(self) -> RolloutGroup:
        """Without what was seen and said, which takes the room."""
        return replace(self, decisions=(), end={})

    @property
    def length(self) -> float:
        """Mean number of steps of an episode."""
        return float(self.chosen_GL.any(0).sum() if self.branching else self.alive_GL.sum(1).mean())

    @property
    def branching(self) -> bool:
        return not bool((self.chosen_GL == self.alive_GL).all())

    @property
    def reward(self) -> float:
        """Return of an episode without discount, mean over rollouts."""
        total = float((self.reward_GL * self.chosen_GL).sum())
        return total if self.branching else total / len(self.reward_GL)
