"""Push: the cube meant lies on the pad and is slow; nothing else is a success."""

from __future__ import annotations

import pytest
from task_scenes import scene_state

from rlrobo_core.tasks import Push, make_task

TASK = Push()
PAD = (0.65, 0.05, 0.0)
ON_PAD = (0.67, 0.03, 0.02)


def succeeds(**scene):
    return bool(TASK.success(scene_state(TASK, **{"target": PAD, "cube": ON_PAD} | scene))[0])


def test_a_cube_at_rest_on_the_pad_is_success():
    assert succeeds()
    assert succeeds(velocity=(0.03, 0.0, 0.0)), "slow"


@pytest.mark.parametrize(
    "near_miss",
    [
        pytest.param({"velocity": (0.3, 0.0, 0.0)}, id="slides past"),
        pytest.param({"velocity": (0.0, 0.0, -0.3)}, id="falls"),
        pytest.param({"cube": (0.67, 0.03, 0.05)}, id="on top of something"),
        pytest.param({"cube": (0.71, 0.05, 0.02)}, id="at the edge of the pad"),
        pytest.param({"cube": (0.5, 0.0, 0.02), "distractor1": ON_PAD}, id="another cube"),
    ],
)
def test_near_misses_are_no_success(near_miss):
    assert not succeeds(**near_miss)


def test_the_way_behind_the_cube_and_the_push_are_paid_once():
    cube = (0.55, 0.05, 0.02)
    above = scene_state(TASK, target=PAD, cube=cube)
    behind = scene_state(TASK, target=PAD, cube=cube, tool=(0.495, 0.05, 0.02))
    touching = scene_state(TASK, target=PAD, cube=cube, tool=(0.52, 0.05, 0.02))
    pushed = scene_state(TASK, target=PAD, cube=(0.60, 0.05, 0.02), tool=(0.57, 0.05, 0.02))
    assert TASK.reward_terms(above, behind)["approach"] > 0.2
    assert TASK.reward_terms(behind, touching)["approach"] == pytest.approx(0.0)
    terms = TASK.reward_terms(touching, pushed)
    assert terms["approach"] == pytest.approx(0.0) and terms["progress"] == pytest.approx(0.05)
    assert TASK.reward_terms(pushed, touching)["progress"] == pytest.approx(-0.05)


def test_panda_gym_counts_the_distance_alone():
    task = make_task("push", "panda_gym")
    sliding = scene_state(task, velocity=(1.0, 0.0, 0.0), cube=(0.69, 0.05, 0.02), target=PAD)
    assert task.success(sliding)[0]
    assert task.reward_terms(sliding, sliding)["dense"] == pytest.approx(-0.04)
