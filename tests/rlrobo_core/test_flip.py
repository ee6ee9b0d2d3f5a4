"""Flip: the block stands by itself; nothing else is a success."""

from __future__ import annotations

import numpy as np
import pytest
from task_scenes import scene_state

from rlrobo_core.tasks import Flip

TASK = Flip()
PLACE = (0.6, 0.0, 0.045)


def turned(pitch: float, place=PLACE, name="block", **scene):
    """The block turned by `pitch` [rad] about y: a quarter turn makes it stand."""
    state = scene_state(TASK, **{name: place}, **scene)
    state.object_pose[name][:, 3:] = 0.0, np.sin(pitch / 2), 0.0, np.cos(pitch / 2)
    return state


@pytest.mark.parametrize("pitch", [np.pi / 2, -np.pi / 2, np.pi / 2 + 0.1])
def test_a_block_that_stands_on_either_end_is_success(pitch):
    assert TASK.success(turned(pitch))[0]


@pytest.mark.parametrize(
    "near_miss",
    [
        pytest.param(turned(0.0, place=(0.6, 0.0, 0.015)), id="lies"),
        pytest.param(turned(np.pi, place=(0.6, 0.0, 0.015)), id="lies on its back"),
        pytest.param(turned(np.pi / 2 - 0.4), id="leans"),
        pytest.param(turned(np.pi / 2, tool=PLACE, width=0.036), id="still held"),
        pytest.param(turned(np.pi / 2, place=(0.6, 0.0, 0.09)), id="hangs in the air"),
        pytest.param(turned(np.pi / 2, velocity=(0.0, 0.0, -0.3)), id="falls"),
        pytest.param(turned(np.pi / 2, name="distractor1"), id="another block"),
    ],
)
def test_near_misses_are_no_success(near_miss):
    assert not TASK.success(near_miss)[0]


def test_raising_it_is_progress_and_letting_it_fall_back_is_not():
    lying, leaning = turned(0.0), turned(1.0)
    assert TASK.reward_terms(lying, leaning)["progress"] == pytest.approx(1.0)
    assert TASK.reward_terms(leaning, lying)["progress"] == pytest.approx(-1.0)
