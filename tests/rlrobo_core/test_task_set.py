"""The names that `task:=` takes, and which tasks one policy can act for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlrobo_core.task_set import SUITES, make_tasks, task_names, widest_task
from rlrobo_core.tasks import TASKS, Reach

GRASP = replace(Reach(), name="grasp", action_dims=("x", "y", "z", "gripper"))


def test_a_name_a_list_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "again", Reach)
    assert task_names("reach") == ("reach",)
    assert task_names(" again, reach,again") == ("again", "reach")
    assert task_names("all") == tuple(TASKS)


def test_a_suite_stands_for_its_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SUITES["rlrobo4"]:
        monkeypatch.setitem(TASKS, name, Reach)
    assert task_names("rlrobo4") == ("reach", "pick_and_place", "slide", "stack")


@pytest.mark.parametrize("text", ["reech", "reach,reech", "", "reach,"])
def test_an_unknown_name_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(ValueError, match=r"unknown task '.*'; choose one of: reach.*rlrobo4, all"):
        task_names(text)


def test_every_task_is_of_the_variant() -> None:
    assert make_tasks("reach", "panda_gym") == {"reach": Reach.panda_gym()}
    assert make_tasks("reach")["reach"] != Reach.panda_gym()


def test_the_widest_action_space_serves_the_tasks_whose_dimensions_begin_it() -> None:
    assert widest_task([Reach(), GRASP]) is GRASP
    assert widest_task([GRASP, Reach()]) is GRASP


@pytest.mark.parametrize(
    "other", [replace(GRASP, action_dims=("y", "x")), replace(GRASP, max_step=0.1)]
)
def test_tasks_of_different_action_spaces_are_refused(other: Reach) -> None:
    with pytest.raises(ValueError, match=r"one policy cannot act for .*'grasp'"):
        widest_task([Reach(), other])
