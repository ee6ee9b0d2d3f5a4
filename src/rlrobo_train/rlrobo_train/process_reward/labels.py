"""What a trajectory teaches the process reward model, without anybody's judging its steps.

VLA-RL labels trajectories by two things that every robot measures (arXiv 2505.18719): segments are
cut where the gripper's openness changes, keyframes are where the end effector nearly stands still,
and a step that leads to a keyframe has made progress. So here

    succeeded   the steps of a segment up to its last keyframe: yes; after it: not labelled. The
                end is a keyframe too, for a simulation ends an episode that moves on as it succeeds
    failed      the steps of the last segment, which led nowhere: no; before it: not labelled, for
                a gripper that changed did reach something, and nobody knows what

Shape legend: L steps of a trajectory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

YES, NO, UNKNOWN = 1, 0, -1
"""A step's label."""


@dataclass(frozen=True, slots=True)
class LabelConfig:
    openness: float = 0.02
    """Change of the gripper's width that cuts a segment [m]; a tiny model's own noise on an open
    gripper is up to 0.015."""
    still: float = 0.1
    """Speed of the end effector below which it nearly stands still [m/s]. A segment in which it
    never is that slow has its slowest step for a keyframe."""


def label(
    position_L3: NDArray[np.floating],
    width_L: NDArray[np.floating],
    success: bool,
    control_hz: float,
    config: LabelConfig,
) -> NDArray[np.int8]:
    """i8[L], YES, NO or UNKNOWN. `position_L3`: of the end effector [m]; `width_L`: of the gripper
    [m]; `control_hz`: steps a second."""
    label_L = np.full(len(width_L), UNKNOWN, np.int8)
    bounds = segments(width_L, config.openness)
    if not success:
        label_L[slice(*bounds[-1])] = NO
        return label_L
    speed_L = speeds(position_L3, control_hz)
    for begin, end in bounds[:-1]:
        label_L[begin : begin + last_keyframe(speed_L[begin:end], config.still) + 1] = YES
    label_L[slice(*bounds[-1])] = YES
    return label_L


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


def last_keyframe(speed_L: NDArray[np.floating], still: float) -> int:
    """The last step of a segment that is slower than `still`, else the slowest."""
    slow = np.flatnonzero(speed_L < still)
    return int(slow[-1] if len(slow) else speed_L.argmin())
