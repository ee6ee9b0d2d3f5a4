"""What holds for every task with cubes: seeds, ranges, distances, words that name one cube."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from task_scenes import scene_state

from rlrobo_core.tasks import TASKS, Task, make_task
from rlrobo_core.tasks.colors import COLORS
from rlrobo_core.tasks.reach import PANDA_GYM_ORIGIN

WITH_CUBES = ["push", "pick_and_place", "stack", "flip"]
EPISODES = 100


def scenes(task):
    return [task.sample(np.random.default_rng((7, i))) for i in range(EPISODES)]


def blocks(task):
    return [thing.name for thing in task.objects if thing.shape == "box"]


@pytest.mark.parametrize("name", WITH_CUBES)
def test_an_episode_is_a_function_of_its_seed(name):
    task = make_task(name)
    for one, two in zip(scenes(task), scenes(task), strict=True):
        assert one.instruction == two.instruction and one.object_rgba == two.object_rgba
        assert one.object_pose.keys() == {thing.name for thing in task.objects}
        for thing in task.objects:
            assert np.array_equal(one.object_pose[thing.name], two.object_pose[thing.name])
    starts = np.stack([scene.object_pose[task.objects[0].name] for scene in scenes(task)])
    assert len(np.unique(starts[:, 0])) == EPISODES


@pytest.mark.parametrize("name", WITH_CUBES)
@pytest.mark.parametrize("distractors", [0, 1, 2])
def test_objects_lie_in_their_range_and_apart(name, distractors):
    task = replace(make_task(name), distractors=distractors)
    for scene in scenes(task):
        assert sum(n.startswith("distractor") for n in scene.object_pose) == distractors
        xy_n2 = np.array([pose[:2] for pose in scene.object_pose.values()]) - PANDA_GYM_ORIGIN[:2]
        assert (xy_n2 >= np.array(task.low)).all() and (xy_n2 <= np.array(task.high)).all()
        distances = np.linalg.norm(xy_n2[:, None] - xy_n2[None], axis=-1)
        assert distances[~np.eye(len(xy_n2), dtype=bool)].min(initial=1.0) >= task.apart


@pytest.mark.parametrize("name", WITH_CUBES)
def test_the_words_name_one_cube(name):
    task = replace(make_task(name), distractors=2)
    meant, said = task.objects[0].name, set()
    for scene in scenes(task):
        color_of = {rgba: color for color, rgba in COLORS.items()}
        colors = [color_of[scene.object_rgba[block]] for block in blocks(task)]
        assert len(set(colors)) == len(colors)
        words = scene.instruction.split()
        assert color_of[scene.object_rgba[meant]] in words
        assert not any(
            color_of[scene.object_rgba[block]] in words
            for block in blocks(task)
            if block.startswith("distractor")
        )
        said.add(color_of[scene.object_rgba[meant]])
    assert said == set(task.palette)


@pytest.mark.parametrize("name", WITH_CUBES)
def test_shifts_are_one_replacement_away(name):
    task = make_task(name)
    assert not set(task.palette) & set(task.held_out_palette)
    assert not set(task.instructions) & set(task.held_out_instructions)
    shifted = replace(task, palette=task.held_out_palette, instructions=task.held_out_instructions)
    known = {COLORS[color] for color in task.held_out_palette}
    for scene in scenes(shifted):
        assert set(scene.object_rgba.values()) <= known


@pytest.mark.parametrize("name", WITH_CUBES)
@pytest.mark.parametrize("variant", ["default", "panda_gym"])
def test_each_reward_term_has_a_weight(name, variant):
    task = make_task(name, variant)
    scene = task.sample(np.random.default_rng(0))
    state = scene_state(task, **{n: tuple(p[:3]) for n, p in scene.object_pose.items()})
    terms = task.reward_terms(state, state)
    assert terms.keys() == task.reward_weights.keys()
    if variant == "default":
        assert all(term_N == 0.0 for term_N in terms.values()), "standing still earns nothing"


@pytest.mark.parametrize("name", WITH_CUBES)
def test_what_is_ambiguous_or_unknown_is_refused(name):
    task = make_task(name)
    with pytest.raises(ValueError, match=r"move it.*\{color\}"):
        replace(task, instructions=("move it",))
    with pytest.raises(ValueError, match=r"at least one instruction"):
        replace(task, instructions=())
    with pytest.raises(ValueError, match=r"'mauve'.*red"):
        replace(task, palette=("red", "blue", "mauve"))
    with pytest.raises(ValueError, match=r"different colours.*fewer"):
        replace(task, distractors=6)
    with pytest.raises(ValueError, match=r"no room.*fewer"):
        replace(task, apart=0.5).sample(np.random.default_rng(0))


@dataclass(frozen=True)
class Endless(Task):
    """Derives from the protocol and says neither how it starts nor when it is solved."""

    name: str = "endless"
    hold_width: float = 0.0


class Bare:
    """Has nothing of a task but its name."""

    name = "bare"


@pytest.mark.parametrize("kind", [Endless, Bare])
def test_a_task_that_leaves_out_what_success_is_is_refused(monkeypatch, kind):
    monkeypatch.setitem(TASKS, kind.__name__, kind)
    with pytest.raises(ValueError, match=rf"{kind.__name__} is no task yet.*sample.*success") as e:
        make_task(kind.__name__)
    assert "name," not in str(e.value)


def test_whoever_has_all_members_is_a_task(monkeypatch):
    kind = type("Derived", (type(make_task("reach")),), {})
    monkeypatch.setitem(TASKS, "derived", kind)
    assert make_task("derived").max_steps == make_task("reach").max_steps
