"""The words around an instruction, and the questions of the seeing stage. Simulation, policy,
trainer and robot all read them here.

Directions are the robot's own (REP-103): x forward, y left, z up. The tiny model's tokenizer
learns the words below (`CORPUS` in `rlrobo_policy/tiny.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

AXES = (("forward", "backward"), ("left", "right"), ("up", "down"))
"""(positive, negative) of x, y, z."""
YES_NO = ("yes", "no")
"""The answers to questions that begin with "is"; each is one token."""


def instruction_prompt(
    instruction: str,
    ee_pose: NDArray[np.floating[Any]],
    gripper_width: float,
    proprioception: bool,
) -> str:
    """The user's turn beside the camera images. `ee_pose` f[7], measured, base frame [m];
    `gripper_width` [m]. With `proprioception` the prompt tells them too."""
    if not proprioception:
        return instruction
    return f"{instruction}. {posture(ee_pose, gripper_width)}"


def posture(ee_pose: NDArray[np.floating[Any]], gripper_width: float) -> str:
    """Where the gripper is and how far it is open, in centimetres without minus signs:
    "gripper forward 55.3 left 3.1 up 21.4 open 8.0"."""
    places = [
        f"{negative if metres < 0 else positive} {abs(metres) * 100:.1f}"
        for (positive, negative), metres in zip(AXES, ee_pose[:3].tolist(), strict=True)
    ]
    # As Python's floats, so that f32 and f64 round alike.
    return " ".join(["gripper", *places, f"open {max(float(gripper_width), 0.0) * 100:.1f}"])


def location_question(thing: str) -> str:
    """Of a thing ("red cube") or of the gripper. The answer is a place in the base frame."""
    return f"where is the {thing} ?"


def offset_question(thing: str) -> str:
    """The answer is the way from the gripper to the thing, along x, y and z."""
    return f"how far is the gripper from the {thing} ?"


def held_question(thing: str) -> str:
    """The answer is one of `YES_NO`: whether the gripper holds the thing."""
    return f"is the {thing} held ?"


def left_question(one: str, other: str) -> str:
    """The answer is one of `YES_NO`: whether the one lies further left (larger y)."""
    return f"is the {one} left of the {other} ?"


def progress_question(instruction: str) -> str:
    """The answer is a digit: 0 where what is asked for has not come nearer, 9 where it is done."""
    return f"{instruction}. how far is it ?"
