"""A whole run whose environments are in processes of their own, of which one is killed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rlrobo_core.types import ActionBatch, ObservationBatch
from rlrobo_sim.workers import Workers
from rlrobo_train import local
from rlrobo_train.assemble import check
from rlrobo_train.config import TrainConfig
from rlrobo_train.metrics import read_metrics
from rlrobo_train.rollout_metrics import served


def test_a_killed_worker_costs_its_groups_by_name_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    act = Workers.act

    def act_and_kill(self: Workers, actions: ActionBatch) -> ObservationBatch | None:
        if self.pending is not None and self.pending.request.phase == "train" and not self.restarts:
            self.workers[1].process.kill()
        return act(self, actions)

    monkeypatch.setattr(Workers, "act", act_and_kill)
    config = TrainConfig(
        algorithm="grpo",
        workers=2,
        num_envs=8,
        group_size=2,
        groups_per_iteration=4,
        episodes=2,
        eval_every=0,
        minutes=0.0,
        iterations=2,
        run_dir=str(tmp_path / "run"),
    )
    local.run(config)
    first, second = [row for row in read_metrics(tmp_path / "run") if "loss/policy" in row]
    assert first["graph/groups_dropped"] == 2.0 and second["graph/groups_dropped"] == 0.0
    assert first["groups/decisions"] > 0.0
    assert first["workers/restarts"] == second["workers/restarts"] == 1.0
    for row in (first, second):
        assert all(0.0 < row[f"workers/{i}/idle"] < 1.0 for i in (0, 1))
    said = capsys.readouterr().out
    assert "worker 1 ended with exit code -9: it is started anew, groups 2, 3 are dropped" in said
    assert "group 2 of iteration 0 dropped" in said and "group 3 of iteration 0 dropped" in said


def test_what_serves_several_learners_is_told_by_learner() -> None:
    assert served([(2.0, {"workers/0/idle": 0.5})]) == {"workers/0/idle": 0.5}
    told = served([(1.0, {}), (4.0, {"workers/0/idle": 0.5})])
    expected = {"learners/0/idle": 0.75, "learners/1/idle": 0.0, "learners/1/workers/0/idle": 0.5}
    assert told == expected


def test_shares_that_are_not_equal_are_refused() -> None:
    with pytest.raises(ValueError, match=r"among 3 workers in groups of 8; take num_envs:=240"):
        check(TrainConfig(workers=3))
    search = TrainConfig(mode="eval", best_of=4, workers=2, group_size=1, critic_from="nowhere")
    with pytest.raises(ValueError, match="holds no critic"):
        check(search)
