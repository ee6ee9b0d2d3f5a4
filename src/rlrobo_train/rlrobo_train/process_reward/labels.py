"""What a trajectory teaches the process reward model, without anybody's judging its steps.

VLA-RL labels trajectories by two things that every robot measures (arXiv 2505.18719): segments are
cut where the gripper's openness changes, keyframes are where the end effector nearly stands still,
and what leads to a keyframe is progress. So here the keyframes of a trajectory that succeeded are
its milestones (its end is one too, for a simulation ends an episode that moves on as it succeeds),
and how far a step has come is told by the way that is left over them:

    way(t) = |x_t - k_1| + |k_1 - k_2| + … + |k_n-1 - k_n| + (n - 1) * gripping
    progress(t) = 1 - way(t) / far

in which k_1 … k_n are the places of the keyframes still ahead. Trajectories that failed have no
labels: nobody knows how far a step of theirs was from where it should have gone.

Shape legend: L steps of a trajectory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LabelConfig:
    openness: float = 0.02
    """Change of the gripper's width that cuts a segment [m]; a tiny model's own noise on an open
    gripper is up to 0.015."""
    still: float = 0.1
    """Speed of the end effector below which it nearly stands still [m/s]. A segment in which it
    never is that slow has its slowest step for a keyframe."""
    gripping: float = 0.05
    """Way that a change of the gripper counts for [m], so that it is progress too."""
    far: float = 0.5
    """Way to go at which progress is 0 [m]."""


def progress(
    position_L3: NDArray[np.floating],
    width_L: NDArray[np.floating],
    control_hz: float,
    config: LabelConfig,
) -> NDArray[np.float64]:
    """f64[L] in [0, 1], of a trajectory that succeeded. `position_L3`: of the end effector [m];
    `width_L`: of the gripper [m]; `control_hz`: steps a second."""
    bounds = segments(width_L, config.openness)
    ahead = keyframes(bounds, speeds(position_L3, control_hz), config.still)
    way_L = ways_to_go(position_L3, ahead, config.gripping)
    return np.clip(1.0 - way_L / config.far, 0.0, 1.0)


def ways_to_go(
    position_L3: NDArray[np.floating], keyframe: list[int], gripping: float
) -> NDArray[np.float64]:
    """f64[L] [m], from each step over the keyframes that are ahead of it, or that it is."""
    way_L = np.zeros(len(position_L3))
    for step, position in enumerate(position_L3):
        stops = position_L3[[k for k in keyframe if k >= step]]
        legs = np.diff(stops, axis=0, prepend=position[None])
        way_L[step] = np.linalg.norm(legs, axis=-1).sum() + gripping * (len(stops) - 1)
    return way_L


def segments(width_L: NDArray[np.floating], openness: float) -> list[tuple[int, int]]:
    """(begin, end) of each segment. One begins where the width has come further than `openness`
    from where the last one began; a gripper that goes on moving cuts once, where it stops."""
    cuts, reference = [0], width_L[0]
    for step in range(1, len(width_L)):
        if abs(width_L[step] - reference) > openness:
            if cuts[-1] == step - 1 and step > 1:
                cuts.pop()
            cuts.append(step)
            reference = width_L[step]
    return list(zip(cuts, [*cuts[1:], len(width_L)], strict=True))


def speeds(position_L3: NDArray[np.floating], control_hz: float) -> NDArray[np.float64]:
    """f64[L] [m/s], of the step that leaves each position; the last is as fast as the one before
    it."""
    way_L = np.linalg.norm(np.diff(position_L3, axis=0), axis=-1) * control_hz
    return np.append(way_L, way_L[-1:] if len(way_L) else 0.0)


def keyframes(
    bounds: list[tuple[int, int]], speed_L: NDArray[np.floating], still: float
) -> list[int]:
    """One a segment: its last step that is slower than `still`, else its slowest; of the last
    segment the end."""
    inner = [begin + _last_keyframe(speed_L[begin:end], still) for begin, end in bounds[:-1]]
    return [*inner, bounds[-1][1] - 1]


def _last_keyframe(speed_L: NDArray[np.floating], still: float) -> int:
    slow = np.flatnonzero(speed_L < still)
    return int(slow[-1] if len(slow) else speed_L.argmin())
