"""What a prompt says is what was measured, and only if the policy is to know it."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rlrobo_core.prompt import AXES, instruction_prompt

SIGN = {word: sign for words in AXES for word, sign in zip(words, (1.0, -1.0), strict=True)}
metres = st.floats(-0.99, 0.99, allow_subnormal=False)


def prompt(place: tuple[float, ...], width: float, proprioception: bool = True) -> str:
    pose = np.array([*place, 1.0, 0.0, 0.0, 0.0], np.float32)
    return instruction_prompt("reach the green ball", pose, width, proprioception)


def test_a_prompt_reads_like_english() -> None:
    expected = "reach the green ball. gripper forward 55.3 right 3.1 up 21.4 open 8.0"
    assert prompt((0.553, -0.031, 0.214), 0.08) == expected


@given(st.tuples(metres, metres, metres), st.floats(0.0, 0.08, allow_subnormal=False))
@settings(deadline=None, derandomize=True)
def test_the_measurement_can_be_read_back_to_half_a_millimetre(
    place: tuple[float, float, float], width: float
) -> None:
    words = prompt(place, width).split("gripper ")[1]
    assert "-" not in words
    told = re.fullmatch(r"(\w+) ([\d.]+) (\w+) ([\d.]+) (\w+) ([\d.]+) open ([\d.]+)", words)
    assert told
    back = [SIGN[told[i]] * float(told[i + 1]) / 100 for i in (1, 3, 5)]
    assert np.allclose([*back, float(told[7]) / 100], [*place, width], atol=5.01e-4)


@given(metres)
@settings(deadline=None, derandomize=True)
def test_one_measurement_has_one_wording(x: float) -> None:
    pose = np.array([x, 0.0, 0.2, 1.0, 0.0, 0.0, 0.0], np.float32)
    width = np.float32(abs(x) * 0.08)
    in_f32 = instruction_prompt("stay", pose, width, True)  # pyright: ignore[reportArgumentType]
    assert in_f32 == instruction_prompt("stay", pose.astype(np.float64), float(width), True)


def test_fingers_pressed_together_are_not_open() -> None:
    assert prompt((0.5, 0.0, 0.2), -0.0004).endswith("open 0.0")


def test_without_proprioception_only_the_words_are_left() -> None:
    assert prompt((0.5, 0.1, 0.2), 0.04, proprioception=False) == "reach the green ball"
