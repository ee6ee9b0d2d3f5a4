"""What branches led to is shown where it is asked for: the same observations that a rollout by
itself would have, and nothing else is another than without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scripted import random_actions

from rlrobo_core.tasks import Reach
from rlrobo_core.types import Form, ObservationBatch, RolloutRequest
from rlrobo_sim.engines import RolloutEngines
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_sim.workers import Recipe, Workers

TASK = Reach(max_steps=7)
G, GROUPS = 3, (3, 4, 5)
WINDOWS: list[tuple[Form, int]] = [("branch", 1), ("branch", 3), ("probe", 3)]
Id = tuple[int, int, int]
"""(group, rollout, step)"""


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    """Room for two groups: the third begins when one of them has ended."""
    simulator = MujocoSimulator(TASK, 2 * G, image_size=28, num_render_workers=0)
    yield simulator
    simulator.close()


def request(form: Form, branch_steps: int) -> RolloutRequest:
    return RolloutRequest(
        1, 0, "train", form, TASK.name, 2, GROUPS, G, 0, 1.0, branch_steps=branch_steps
    )


answer = partial(random_actions, TASK, reach=0.7)


def serve(
    engine: RolloutEngine | RolloutEngines | Workers, asked: RolloutRequest
) -> list[ObservationBatch]:
    batches = [engine.start(asked)]
    while not batches[-1].last:
        following = engine.act(answer(batches[-1]))
        assert following is not None
        batches.append(following)
    return batches


def rows(batches: list[ObservationBatch]) -> dict[Id, tuple]:
    return {
        (int(o.group_N[n]), int(o.rollout_N[n]), int(o.step_N[n])): (
            *(o.image_NC[n].tobytes(), o.ee_pose_N[n].tobytes(), o.gripper_width_N[n]),
            *(o.instruction_N[n], int(o.samples_N[n])),
        )
        for o in (batch.observations for batch in batches)
        for n in range(len(o))
    }


def results(batches: list[ObservationBatch]) -> dict[Id, tuple]:
    return {
        (int(o.group_M[m]), int(o.rollout_M[m]), int(o.step_M[m])): (
            *(float(o.reward_M[m]), bool(o.terminated_M[m]), bool(o.truncated_M[m])),
            bool(o.chosen_M[m]),
        )
        for o in (batch.outcomes for batch in batches)
        for m in range(len(o))
    }


def targets(batches: list[ObservationBatch]) -> dict[Id, np.ndarray]:
    said = map(answer, batches)
    return {
        (int(a.group_M[m]), int(a.rollout_M[m]), int(a.step_M[m])): a.target_M[m]
        for a in said
        for m in range(len(a))
    }


def ends_form(form: Form) -> Form:
    return "branch_ends" if form == "branch" else "probe_ends"


@pytest.mark.parametrize(("form", "branch_steps"), WINDOWS)
def test_all_else_is_what_it_is_without_ends(simulator, form, branch_steps):
    engine, asked = RolloutEngine(simulator, TASK, G), request(form, branch_steps)
    plain = serve(engine, asked)
    shown = serve(engine, replace(asked, form=ends_form(form)))
    assert results(shown) == results(plain)
    assert {key: row for key, row in rows(shown).items() if row[-1]} == rows(plain)
    assert not any((batch.observations.samples_N == 0).any() for batch in plain)
    for batch in shown:  # what waits comes first, so an answer's rows are in the order of before
        assert (np.diff((batch.observations.samples_N == 0).astype(int)) >= 0).all()


@pytest.mark.parametrize(("form", "branch_steps"), WINDOWS)
def test_shown_are_those_of_which_more_would_have_come(simulator, form, branch_steps):
    """That is, of all members that were followed to the end of a window, but for the one that goes
    on, whose end everybody sees next, and but for those that had succeeded."""
    asked = request(ends_form(form), branch_steps)
    shown = serve(RolloutEngine(simulator, TASK, G), asked)
    found, wanted = rows(shown), set()
    for (group, rollout, step), (_, terminated, truncated, chosen) in results(shown).items():
        since = step + 1 - asked.first_parting(group)
        window_ends = since > 0 and since % branch_steps == 0
        if not terminated and (truncated or (window_ends and not chosen)):
            wanted.add((group, G + rollout, step + 1))
        if not terminated and not truncated and window_ends and chosen:
            assert found[group, 0, step + 1][-1] == G
    assert {key for key, row in found.items() if row[-1] == 0} == wanted
    assert len(wanted) > 2 * len(GROUPS)


@pytest.mark.parametrize(("form", "branch_steps"), WINDOWS)
def test_an_end_is_what_a_rollout_by_itself_sees(simulator, form, branch_steps):
    asked = request(ends_form(form), branch_steps)
    engine = RolloutEngine(simulator, TASK, G)
    shown = serve(engine, asked)
    target, chosen = (
        targets(shown),
        {(g, s): r for (g, r, s), it in results(shown).items() if it[3]},
    )
    single = replace(asked, form="episode", group_size=1, branch_steps=1)
    ends = {key: row for key, row in rows(shown).items() if row[-1] == 0}
    for (group, end, step), row in list(ends.items())[::3]:
        parted = asked.parted(group, step - 1)
        batch = engine.start(replace(single, group_ids=(group,)))
        for t in range(step):
            who = chosen[group, t] if t < parted else end - G
            target_M = target[group, who, t][None]
            following = engine.act(replace(answer(batch), target_M=target_M))
            assert following is not None
            batch = following
        assert rows([batch])[group, 0, step][:-1] == row[:-1]


def test_workers_show_the_same_ends():
    asked = replace(request("branch_ends", 3), group_size=2)
    recipe = Recipe("reach", "default", 4, 2, 28, ("front",))
    engines, pool = recipe.engines(alone=False), Workers(recipe, 2)
    try:
        one, two = serve(engines, asked), serve(pool, asked)
    finally:
        engines.close()
        pool.close()
    assert rows(two) == rows(one) and results(two) == results(one)
    assert any(row[-1] == 0 for row in rows(one).values())
