"""Which starts are drawn: as they come, or by how often those as hard have succeeded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rlrobo_core.task_set import make_tasks
from rlrobo_core.tasks import TASKS, VARIANTS, make_task
from rlrobo_core.tasks.difficulty import difficulty
from rlrobo_sim.states import initial_scene
from rlrobo_train import local
from rlrobo_train.assemble import check
from rlrobo_train.config import TrainConfig
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.metrics import read_metrics
from rlrobo_train.starts import BINS, Starts

NAMES = "reach,push"


def heard(curriculum, *success: float, task: str = "push", tau: float = 0.1) -> Starts:
    """Of the bins, from the easiest on."""
    rates = {f"{task}/{b}": s for b, s in enumerate(success)}
    return Starts(make_tasks(NAMES), curriculum, tau, seed=3, success=rates)


def group(group_id: int, success: float) -> RolloutGroup:
    none = np.zeros((1, 1))
    alive = np.ones((1, 1), bool)
    return RolloutGroup(group_id, (), none.astype(np.float32), alive, alive, success, {})


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", TASKS)
def test_every_task_says_how_hard_a_start_is(name: str, variant: str) -> None:
    if (name, variant) == ("drawer", "panda_gym"):
        pytest.skip("panda_gym has no drawer")
    task = make_task(name, variant)
    hard = [difficulty(task, initial_scene(task, 0, group)[0]) for group in range(50)]
    assert 0.0 <= min(hard) < max(hard) < 2.5
    assert len(set(hard)) == 50


def test_what_lies_further_away_is_harder() -> None:
    task = make_task("push")
    scene, _ = initial_scene(task, 0, 0)
    before = difficulty(task, scene)
    way = scene.object_pose["target"][:3] - scene.object_pose["cube"][:3]
    scene.object_pose["target"][:3] += way
    assert difficulty(task, scene) == pytest.approx(before + np.linalg.norm(way))


def test_without_a_curriculum_starts_come_as_they_always_did() -> None:
    starts = heard("none", 0.0, 0.0, 0.0, 0.0, 1.0)
    assert starts.group_ids("push", 0, 4) == (0, 1, 2, 3)
    assert starts.group_ids("push", 3, 4) == (12, 13, 14, 15)
    starts.hear("push", [group(0, 1.0)])
    assert starts.metrics("push", [group(0, 1.0)]) == {}


def test_bins_are_of_equal_size_and_ordered() -> None:
    starts = heard("paper")
    bins = np.array([starts.bin_of("reach", g) for g in range(1000)])
    np.testing.assert_allclose(np.bincount(bins, minlength=BINS) / 1000, 1 / BINS, atol=0.05)
    hard = np.array([starts.difficulty("reach", g, starts.seed) for g in range(1000)])
    for b in range(BINS - 1):
        assert hard[bins == b].max() <= hard[bins == b + 1].min()


@pytest.mark.parametrize(
    ("curriculum", "likeliest"), [("paper", 4), ("frontier", 2)]
)  # fmt: skip
def test_starts_are_drawn_as_the_chances_say(curriculum, likeliest) -> None:
    starts = heard(curriculum, 1.0, 0.9, 0.5, 0.1, 0.0)
    expected = starts.chances("push")
    assert expected.argmax() == likeliest
    drawn = [g for i in range(30) for g in starts.group_ids("push", i, 16)]
    assert len(set(drawn)) == 30 * 16
    found = np.bincount([starts.bin_of("push", g) for g in drawn], minlength=BINS) / len(drawn)
    # Not exactly: a bin may run out of starts before it is drawn no more.
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert found.argmax() == likeliest


def test_a_draw_depends_on_seed_iteration_and_rates_alone() -> None:
    one, other = (heard("paper", 0.9, 0.5, 0.5, 0.2, 0.1) for _ in range(2))
    other.group_ids("push", 7, 8)  # what was drawn before does not matter
    assert one.group_ids("push", 2, 8) == other.group_ids("push", 2, 8)
    assert one.group_ids("push", 2, 8) != replace(one, seed=4).group_ids("push", 2, 8)
    assert one.group_ids("push", 2, 8) != heard("paper").group_ids("push", 2, 8)


def test_rates_follow_what_is_heard_bin_by_bin_and_task_by_task() -> None:
    starts = heard("frontier")
    some = [g for g in range(200) if starts.bin_of("push", g) == 1][:2]
    hardest = next(g for g in range(200) if starts.bin_of("push", g) == 4)
    starts.hear("push", [group(some[0], 1.0), group(some[1], 0.5), group(hardest, 0.0)])
    assert starts.success == {"push/1": 0.75, "push/4": 0.0}
    starts.hear("push", [group(hardest, 1.0)])
    assert starts.success == {"push/1": 0.75, "push/4": pytest.approx(0.3)}
    np.testing.assert_allclose(starts.chances("reach"), 1 / BINS)


def test_a_resumed_run_draws_as_an_uninterrupted_one(tmp_path: Path) -> None:
    torch.set_num_threads(1)

    def train(name: str, iterations: int, **options: object) -> list[dict[str, float]]:
        settings: dict[str, object] = {
            "algorithm": "grpo",
            "num_envs": 4,
            "group_size": 2,
            "groups_per_iteration": 4,
            "curriculum_starts": "frontier",
            "eval_every": 0,
            "episodes": 1,
            "minutes": 0.0,
            "iterations": iterations,
            "run_dir": str(tmp_path / name),
        }
        local.run(TrainConfig(**settings | options))  # pyright: ignore[reportArgumentType]
        rows = [row for row in read_metrics(tmp_path / name) if "loss/policy" in row]
        told = ("starts/", "smoothed_success/", "rollout/success")
        return [{k: v for k, v in row.items() if k.startswith(told)} for row in rows]

    whole = train("whole", 3)
    train("parts", 2)
    assert train("parts", 3, resume=str(tmp_path / "parts"), run_dir="") == whole
    assert all(f"starts/reach/{b}" in whole[-1] for b in range(BINS))
    assert 0.0 < whole[0]["starts/difficulty/reach"] < 1.0
    assert any(key.startswith("smoothed_success/reach/") for key in whole[0])


def test_recorded_starts_cannot_be_drawn(tmp_path: Path) -> None:
    config = TrainConfig(curriculum_starts="paper", train_from="topics")
    with pytest.raises(ValueError, match=r"curriculum_starts:=paper draws starts.*leave it out"):
        check(config)
    with pytest.raises(ValueError, match=r"curriculum_tau:=0.0"):
        check(replace(config, train_from="simulation", curriculum_tau=0.0))
