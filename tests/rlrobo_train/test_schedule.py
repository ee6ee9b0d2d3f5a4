"""Whose turn it is: one after the other, or by chances that follow what succeeds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlrobo_train.assemble import check, make_conductor
from rlrobo_train.config import TrainConfig
from rlrobo_train.report.panels import panels
from rlrobo_train.schedule import Schedule

TASKS = ("reach", "push", "stack")
rates = st.lists(st.floats(0, 1), min_size=3, max_size=3)
taus = st.floats(0.05, 5)


def heard(curriculum, success, tau=0.25, seed=0) -> Schedule:
    return Schedule(TASKS, curriculum, tau, seed, dict(zip(TASKS, success, strict=True)))


def test_without_a_curriculum_tasks_take_turns_whatever_succeeds() -> None:
    schedule = heard("none", (0.0, 0.5, 1.0))
    assert [schedule.task_of(i) for i in range(5)] == ["reach", "push", "stack", "reach", "push"]
    assert not schedule.metrics


@given(rates, taus)
def test_the_chances_are_the_printed_ones(success, tau) -> None:
    s = np.array(success)
    for curriculum, score in (("paper", 0.5 - s), ("frontier", -np.abs(0.5 - s))):
        expected = np.exp(score / tau) / np.exp(score / tau).sum()
        np.testing.assert_allclose(heard(curriculum, success, tau).chances(), expected, atol=1e-12)


def test_paper_wants_the_hardest_and_frontier_what_succeeds_half_of_the_time() -> None:
    success = (0.05, 0.5, 0.95)
    assert np.argmax(heard("paper", success).chances()) == 0
    assert np.argmin(heard("paper", success).chances()) == 2
    hard, half, easy = heard("frontier", success).chances()
    assert half > hard == pytest.approx(easy)


@pytest.mark.parametrize("curriculum", ["paper", "frontier"])
def test_tasks_are_drawn_as_often_as_their_chances_say(curriculum) -> None:
    schedule = heard(curriculum, (0.1, 0.6, 0.9))
    drawn = Counter(schedule.task_of(i) for i in range(4000))
    frequency = np.array([drawn[task] for task in TASKS]) / 4000
    np.testing.assert_allclose(frequency, schedule.chances(), atol=0.03)
    other = replace(schedule, seed=1)
    assert [other.task_of(i) for i in range(50)] != [schedule.task_of(i) for i in range(50)]


def test_every_task_has_its_turn_before_any_is_drawn() -> None:
    schedule = Schedule(TASKS, "paper")
    for i, task in enumerate(TASKS):
        assert schedule.task_of(i) == task
        schedule.hear(task, 0.2 * i)
    assert schedule.success == pytest.approx({"reach": 0.0, "push": 0.2, "stack": 0.4})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_smoothed_success_stays_among_what_was_heard_and_follows_it(successes) -> None:
    schedule = Schedule(TASKS, "paper")
    for success in successes:
        before = schedule.success.get("push", success)
        schedule.hear("push", success)
        low, high = min(before, success), max(before, success)
        assert low - 1e-9 <= schedule.success["push"] <= high + 1e-9
    for _ in range(40):
        schedule.hear("push", 1.0)
    assert schedule.success["push"] > 0.99


def test_chances_and_rates_are_logged_and_drawn() -> None:
    schedule = heard("frontier", (0.1, 0.5, 0.9))
    row = schedule.metrics
    assert sum(row[f"curriculum/{task}"] for task in TASKS) == pytest.approx(1.0)
    assert [row[f"smoothed_success/{task}"] for task in TASKS] == [0.1, 0.5, 0.9]
    rows = [row | {"iteration": float(i), "wall_s": 10.0 * i} for i in range(3)]
    drawn = {panel.title: panel for panel in panels({"": [rows]})}
    chance = drawn["Curriculum: chance that a task is next"]
    assert sorted(series.label for series in chance.series) == sorted(TASKS)


def test_tasks_and_bins_of_starts_are_drawn_apart() -> None:
    tasks = {"smoothed_success/push": 0.5, "curriculum/push": 1.0}
    bins = {"smoothed_success/push/0": 0.9, "smoothed_success/push/1": 0.1, "starts/push/0": 0.3}
    row = tasks | bins | {"starts/push/1": 0.7, "starts/difficulty/push": 0.2}
    rows = [row | {"iteration": float(i), "wall_s": 10.0 * i} for i in range(3)]
    labels = {
        panel.title: [series.label for series in panel.series] for panel in panels({"": [rows]})
    }
    assert labels["Curriculum: success of each task, smoothed"] == ["push"]
    assert labels["Starts: success from each bin, smoothed, 0 the easiest"] == ["push/0", "push/1"]
    assert labels["Starts: chance that one is of the bin"] == ["push/0", "push/1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "reach"}, "curriculum:=paper draws from several tasks and task:=reach is one"),
        ({"curriculum_tau": 0.0}, r"curriculum_tau:=0.0 .*take 0.25"),
        ({"train_from": "topics"}, "train_from:=topics they were drawn already"),
    ],
)
def test_a_curriculum_that_cannot_work_names_the_cure(options, message) -> None:
    config = TrainConfig(task="reach,push", curriculum="paper")
    with pytest.raises(ValueError, match=message):
        check(replace(config, **options))


def test_a_resumed_run_draws_on_as_an_uninterrupted_one(tmp_path: Path) -> None:
    config = TrainConfig(
        task="reach,push", curriculum="paper", run_dir=str(tmp_path / "run"), iterations=9
    )
    conductor = make_conductor(config)
    conductor.schedule.hear("reach", 0.9)
    conductor.schedule.hear("push", 0.2)
    conductor.schedule.hear("push", 0.7)
    conductor.close()  # with a checkpoint, for it is not done
    again = make_conductor(TrainConfig(resume=str(conductor.run.path), iterations=9))
    again.close()
    assert again.schedule == conductor.schedule
    drawn = [it.schedule.task_of(i) for it in (conductor, again) for i in range(20)]
    assert drawn[:20] == drawn[20:] and set(drawn) == {"reach", "push"}
