"""Pick and Place: the cube meant, at the goal, held or at rest; nothing else is a success."""

from __future__ import annotations

from itertools import pairwise

import pytest
from task_scenes import scene_state

from rlrobo_core.tasks import PickAndPlace, make_task

TASK = PickAndPlace()
GOAL = (0.65, 0.05, 0.15)
ON_TABLE = (0.65, 0.05, 0.02)


def succeeds(**scene):
    return bool(TASK.success(scene_state(TASK, **scene))[0])


def test_a_cube_held_at_the_goal_is_success():
    assert succeeds(cube=GOAL, target=GOAL, tool=GOAL, width=0.04)
    moving = {"velocity": (0.2, 0.0, 0.0), "tool_velocity": (0.2, 0.0, 0.0)}
    assert succeeds(cube=GOAL, target=GOAL, tool=GOAL, width=0.04, **moving)


def test_a_cube_at_rest_at_a_goal_on_the_table_is_success():
    assert succeeds(cube=ON_TABLE, target=ON_TABLE)


@pytest.mark.parametrize(
    "near_miss",
    [
        pytest.param({"cube": GOAL, "target": GOAL}, id="in the air, the hand elsewhere"),
        pytest.param({"velocity": (0.0, 0.0, -0.4), "cube": GOAL, "target": GOAL}, id="falls"),
        pytest.param(
            {"velocity": (0.5, 0.0, 0.0), "cube": ON_TABLE, "target": ON_TABLE}, id="slides through"
        ),
        pytest.param(
            {
                "velocity": (0.0, 0.0, -0.3),
                "cube": GOAL,
                "target": GOAL,
                "tool": GOAL,
                "width": 0.045,
            },
            id="just let go",
        ),
        pytest.param(
            {"cube": GOAL, "target": GOAL, "tool": GOAL, "width": 0.08}, id="between open fingers"
        ),
        pytest.param(
            {"cube": GOAL, "target": GOAL, "tool": GOAL, "width": 0.0},
            id="fingers closed on nothing",
        ),
        pytest.param(
            {"cube": (0.65, 0.05, 0.09), "target": GOAL, "tool": (0.65, 0.05, 0.09), "width": 0.04},
            id="held 6 cm away",
        ),
        pytest.param({"cube": ON_TABLE, "target": GOAL}, id="under the goal"),
        pytest.param(
            {"distractor1": GOAL, "target": GOAL, "tool": GOAL, "width": 0.04}, id="another cube"
        ),
    ],
)
def test_near_misses_are_no_success(near_miss):
    assert not succeeds(**near_miss)


def test_rewards_add_up_over_a_good_episode_and_cannot_be_farmed():
    """Each term is a difference of what is left: back where it was is worth nothing."""
    start = scene_state(TASK, cube=ON_TABLE, target=GOAL)
    above = scene_state(TASK, cube=ON_TABLE, target=GOAL, tool=(0.65, 0.05, 0.1))
    around = scene_state(TASK, cube=ON_TABLE, target=GOAL, tool=ON_TABLE)
    held = scene_state(TASK, cube=ON_TABLE, target=GOAL, tool=ON_TABLE, width=0.04)
    lifted = scene_state(TASK, cube=GOAL, target=GOAL, tool=GOAL, width=0.04)
    path = [start, above, around, held, lifted]
    for before, after in pairwise(path):
        good, bad = TASK.reward_terms(before, after), TASK.reward_terms(after, before)
        assert good["approach"] + good["carry"] > 0.0
        assert good["approach"] == -bad["approach"] and good["carry"] == -bad["carry"]
    assert TASK.reward_terms(held, lifted)["success"] == 1.0
    closed = scene_state(TASK, cube=ON_TABLE, target=GOAL, width=0.0)
    assert TASK.reward_terms(start, closed)["approach"] < 0.0, "closed fingers grasp nothing"


def test_panda_gym_counts_the_distance_alone():
    task = make_task("pick_and_place", "panda_gym")
    thrown = scene_state(task, velocity=(1.0, 0.0, 0.0), cube=(0.65, 0.05, 0.11), target=GOAL)
    assert task.success(thrown)[0]
    terms = task.reward_terms(thrown, thrown)
    assert terms["sparse"] == 0.0 and terms["dense"] == pytest.approx(-0.04)
