"""What a robot's topics said last, and the observation that they make up together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.preprocess import policy_image
from rlrobo_core.types import ObservationBatch, Observations, Outcomes, RolloutRequest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stamped(Generic[T]):
    value: T
    stamp: float
    """[s], when it was measured"""


@dataclass(slots=True)
class Readings:
    """Of one robot. `problem` says what is missing or too old for an observation."""

    cameras: tuple[str, ...]
    image_size: int
    """[px]"""
    max_age: float
    """[s] of everything in an observation"""
    temperature: float = 0.0
    """That the policy shall draw its action at; 0: the likeliest one."""
    images: dict[str, Stamped[NDArray[np.uint8]]] = field(default_factory=dict)
    """camera -> u8[H, W, 3], RGB, as it came"""
    ee_pose: Stamped[NDArray[np.float32]] | None = None
    """f32[7], base frame"""
    gripper_width: Stamped[float] | None = None
    """[m]"""
    instruction: str = ""

    def problem(self, now: float) -> str:
        """In words; "" where an observation can be made."""
        if not self.instruction:
            return "no instruction"
        heard = {f"image of camera {it!r}": self.images.get(it) for it in self.cameras}
        heard |= {"current_pose": self.ee_pose, "gripper state": self.gripper_width}
        for name, it in heard.items():
            if it is None:
                return f"no {name} yet"
            if not now - it.stamp <= self.max_age:
                return f"no {name} newer than {self.max_age:g} s"
        assert self.gripper_width and self.ee_pose
        if not (math.isfinite(self.gripper_width.value) and np.isfinite(self.ee_pose.value).all()):
            return "a measured pose or gripper width that is not a number"
        return ""

    def seen_at(self) -> float:
        """The stamp of the oldest image: how old an action from these observations is."""
        return min((it.stamp for it in self.images.values()), default=-math.inf)

    def observe(self, task: str, episode: int, step: int, seed: int) -> ObservationBatch:
        """Where there is no `problem`: one observation, as the simulation would send it."""
        assert self.ee_pose and self.gripper_width
        images_C = [policy_image(self.images[it].value, self.image_size) for it in self.cameras]
        return ObservationBatch(
            sequence=step,
            request=RolloutRequest(
                request_id=0,
                iteration=0,
                phase="eval",
                form="trajectory",
                task=task,
                seed=seed,
                group_ids=(episode,),
                group_size=1,
                min_policy_version=-1,
                temperature=self.temperature,
            ),
            observations=Observations(
                image_NC=np.stack(images_C)[None],
                ee_pose_N=self.ee_pose.value[None],
                gripper_width_N=np.array([self.gripper_width.value], np.float32),
                instruction_N=(self.instruction,),
                group_N=np.array([episode], np.int64),
                rollout_N=np.zeros(1, np.int32),
                samples_N=np.ones(1, np.int32),
                step_N=np.array([step], np.int32),
            ),
            outcomes=nothing_done(),
            last=False,
        )


def nothing_done() -> Outcomes:
    """Of no action: nobody rewards on a robot."""
    ids, flags = np.zeros(0, np.int32), np.zeros(0, np.bool_)
    return Outcomes(
        group_M=np.zeros(0, np.int64),
        rollout_M=ids,
        step_M=ids,
        reward_M=np.zeros(0, np.float32),
        reward_term_names=(),
        reward_term_MK=np.zeros((0, 0), np.float32),
        terminated_M=flags,
        truncated_M=flags,
        success_M=flags,
        chosen_M=flags,
    )
