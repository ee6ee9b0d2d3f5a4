"""Shifts: what they change in a task, what they leave, and how requests name them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from rlrobo_core.shifts import NO_SHIFT, SHIFTS, applies, parse_task, request_name, shift_names
from rlrobo_core.tasks import TASKS, InitialScene, Reach, SceneObject, Task, make_task

CUBE = SceneObject("cube", "box", (0.02, 0.02, 0.02), (1.0, 0.0, 0.0, 1.0), mass=0.06)


@dataclass(frozen=True)
class Sorting(Reach):
    """Has everything that a shift can change."""

    name: str = "sorting"
    objects: tuple[SceneObject, ...] = (CUBE, *Reach().objects)
    instructions: tuple[str, ...] = ("take the cube",)
    held_out_instructions: tuple[str, ...] = ("fetch the block",)
    palette: tuple[str, ...] = ("red",)
    held_out_palette: tuple[str, ...] = ("orange",)
    distractors: int = 1

    def sample(self, rng: np.random.Generator) -> InitialScene:
        pose = {thing.name: np.array([0.6, 0.0, 0.02, 0, 0, 0, 1.0]) for thing in self.objects}
        return InitialScene(pose, instruction=str(rng.choice(self.instructions)))


def shifted(task: Task, shift: str) -> Task:
    changed = SHIFTS[shift].of_task(task)
    assert changed is not None
    return changed


def test_a_shift_of_words_colours_or_number_changes_that_alone() -> None:
    task = Sorting()
    assert shifted(task, "phrasing") == replace(task, instructions=("fetch the block",))
    assert shifted(task, "colors") == replace(task, palette=("orange",))
    assert shifted(task, "distractors") == replace(task, distractors=3)


@pytest.mark.parametrize("shift", SHIFTS)
def test_no_shift_touches_name_reward_or_success(shift: str) -> None:
    task, other = Sorting(), shifted(Sorting(), shift)
    for member in ("name", "reward_weights", "threshold", "max_steps", "action_dims", "max_step"):
        assert getattr(other, member) == getattr(task, member)


def test_what_a_task_does_not_have_cannot_be_shifted() -> None:
    assert [shift for shift in SHIFTS if applies(Reach(), shift)] == ["camera", "lights"]
    assert all(applies(Sorting(), shift) for shift in SHIFTS)
    assert not applies(replace(Sorting(), distractors=3), "distractors")


@pytest.mark.parametrize("name", TASKS)
def test_every_task_takes_the_shifts_that_apply_to_it(name: str) -> None:
    task = make_task(name)
    for shift in SHIFTS.values():
        changed = shift.of_task(task)
        if changed is None:
            continue
        scene = changed.sample(np.random.default_rng(0))
        assert scene.object_pose.keys() == {thing.name for thing in changed.objects}
        assert changed != task or shift.scene != NO_SHIFT.scene


@pytest.mark.parametrize("shift", ["none", *SHIFTS])
def test_a_name_is_read_as_it_was_made(shift: str) -> None:
    task, parsed = parse_task(request_name("stack", shift))
    assert (task, parsed) == ("stack", SHIFTS.get(shift, NO_SHIFT))


def test_none_all_and_lists() -> None:
    assert shift_names("none") == ()
    assert shift_names("all") == tuple(SHIFTS)
    assert shift_names("lights, camera,lights") == ("lights", "camera")


@pytest.mark.parametrize("text", ["", "cameras", "camera,none"])
def test_an_unknown_shift_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(ValueError, match="unknown shift '.*'; choose from: none, all, camera"):
        shift_names(text)
    with pytest.raises(ValueError, match="unknown shift"):
        parse_task(f"reach+{text}")
