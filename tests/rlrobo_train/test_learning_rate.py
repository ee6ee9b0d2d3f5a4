"""The learning rate rises over the first AdamW steps and falls with what is left of the budget, of
a resumed run too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlrobo_train.config import TrainConfig
from rlrobo_train.local import run
from rlrobo_train.metrics import read_metrics

RATE = 2e-4


def small(run_dir: Path, anneal_lr: bool = False, lr_warmup: int = 0) -> TrainConfig:
    return TrainConfig(
        num_envs=8,
        group_size=4,
        groups_per_iteration=2,
        minibatch_size=32,
        episodes=1,
        eval_every=0,
        minutes=0.0,
        iterations=4,
        learning_rate=RATE,
        anneal_lr=anneal_lr,
        lr_warmup=lr_warmup,
        run_dir=str(run_dir),
    )


def rates(directory: Path) -> list[float]:
    return [row["optim/lr"] for row in read_metrics(directory) if "optim/lr" in row]


def test_rate_falls_linearly_to_the_end_of_the_budget(tmp_path: Path) -> None:
    run(small(tmp_path / "falls", anneal_lr=True))
    assert rates(tmp_path / "falls") == pytest.approx([RATE * left / 4 for left in (4, 3, 2, 1)])
    run(small(tmp_path / "stays"))
    assert rates(tmp_path / "stays") == [RATE] * 4


def test_a_resumed_run_goes_by_what_is_left_of_its_whole_budget(tmp_path: Path) -> None:
    run(replace(small(tmp_path / "run", anneal_lr=True), iterations=2))
    run(TrainConfig(resume=str(tmp_path / "run"), iterations=4, minutes=0.0))
    assert rates(tmp_path / "run") == pytest.approx([RATE, RATE / 2, RATE / 2, RATE / 4])


def test_rate_rises_over_the_first_steps_that_are_made(tmp_path: Path) -> None:
    run(replace(small(tmp_path / "run", lr_warmup=6), iterations=2))
    run(TrainConfig(resume=str(tmp_path / "run"), iterations=4, minutes=0.0))
    rows = [row for row in read_metrics(tmp_path / "run") if "optim/lr" in row]
    made = np.cumsum([row["optim/steps"] for row in rows])
    assert made[1] < 6 < made[-1], "the resumed part goes on where the rate still rises"
    assert rates(tmp_path / "run") == pytest.approx(RATE * np.minimum(1.0, made / 6))


def test_beside_a_critic_that_warms_up_the_policys_rate_waits_for_its_first_step(
    tmp_path: Path,
) -> None:
    config = small(tmp_path / "run", lr_warmup=100)
    run(replace(config, algorithm="ppo", critic_warmup=2, groups_per_iteration=4))
    while_it_stands, first, *_ = rates(tmp_path / "run")[1:]
    assert while_it_stands == pytest.approx(RATE / 100)
    steps = [row["optim/steps"] for row in read_metrics(tmp_path / "run") if "optim/lr" in row]
    assert first == pytest.approx(RATE * steps[2] / 100)
