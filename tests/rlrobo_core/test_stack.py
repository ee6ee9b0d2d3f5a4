"""Stack: one cube rests on the other and the gripper has let go; nothing else is a success."""

from __future__ import annotations

import pytest
from task_scenes import scene_state

from rlrobo_core.tasks import Stack, make_task

TASK = Stack()
BASE = (0.65, 0.05, 0.02)
ON_TOP = (0.65, 0.05, 0.06)


def succeeds(**scene):
    return bool(TASK.success(scene_state(TASK, **{"base": BASE, "cube": ON_TOP} | scene))[0])


def test_a_cube_that_rests_on_the_base_is_success():
    assert succeeds()
    assert succeeds(cube=(0.66, 0.06, 0.06), tool=ON_TOP, width=0.07)
    assert succeeds(tool=(0.65, 0.05, 0.2), width=0.0), "closed again, but elsewhere"


@pytest.mark.parametrize(
    "near_miss",
    [
        pytest.param({"tool": ON_TOP, "width": 0.04}, id="still held"),
        pytest.param({"tool": ON_TOP, "width": 0.047}, id="hardly let go"),
        pytest.param({"tool": BASE, "width": 0.04}, id="the base is held"),
        pytest.param({"velocity": (0.0, 0.0, -0.3)}, id="falls past"),
        pytest.param({"velocity": (0.2, 0.0, 0.0)}, id="slides off"),
        pytest.param({"cube": (0.65, 0.05, 0.08)}, id="2 cm above"),
        pytest.param({"cube": (0.65, 0.075, 0.06)}, id="on the edge"),
        pytest.param({"cube": (0.65, 0.09, 0.02)}, id="beside"),
        pytest.param({"cube": BASE, "base": ON_TOP}, id="the wrong way round"),
        pytest.param({"cube": (0.5, 0.0, 0.02), "distractor1": ON_TOP}, id="another cube"),
    ],
)
def test_near_misses_are_no_success(near_miss):
    assert not succeeds(**near_miss)


def test_letting_go_on_the_base_costs_nothing_and_elsewhere_the_way():
    held = scene_state(TASK, base=BASE, cube=ON_TOP, tool=ON_TOP, width=0.04)
    let_go = scene_state(TASK, base=BASE, cube=ON_TOP, tool=ON_TOP, width=0.08)
    terms = TASK.reward_terms(held, let_go)
    assert terms["approach"] == terms["carry"] == 0.0 and terms["success"] == 1.0
    aside = (0.5, 0.05, 0.1)
    held = scene_state(TASK, base=BASE, cube=aside, tool=aside, width=0.04)
    dropped = scene_state(TASK, base=BASE, cube=(*aside[:2], 0.02), tool=aside, width=0.08)
    assert TASK.reward_terms(held, dropped)["carry"] < -0.2


def test_panda_gym_counts_both_cubes_offsets_as_one_vector():
    task = make_task("stack", "panda_gym")
    pad = (0.6, 0.0, 0.0)
    state = scene_state(task, base=(0.66, 0.0, 0.02), cube=(0.6, 0.07, 0.06), target=pad)
    assert task.distance(state) == pytest.approx((0.06**2 + 0.07**2) ** 0.5)
    assert task.success(state)[0]
    other = scene_state(task, base=(0.68, 0.0, 0.02), cube=(0.6, 0.07, 0.06), target=pad)
    assert not task.success(other)[0]
