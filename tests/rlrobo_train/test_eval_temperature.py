"""An evaluation takes the likeliest actions, or samples them as the training does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlrobo_train.assemble import check
from rlrobo_train.config import TrainConfig
from rlrobo_train.local import run


def judged(run_dir: Path, temperature: float, seed: int) -> dict[str, Any]:
    """The shipped warm start of Reach, on the same eight starts, by the policy's own `seed`."""
    config = TrainConfig(
        mode="eval",
        num_envs=8,
        group_size=1,
        episodes=8,
        eval_temperature=temperature,
        seed=seed,
        run_dir=str(run_dir),
    )
    run(config)
    return json.loads((run_dir / "eval.json").read_text())


def test_only_a_sampled_evaluation_depends_on_the_policys_seed(tmp_path: Path) -> None:
    first = {t: judged(tmp_path / f"first_{t}", t, seed=0) for t in (0.0, 1.0)}
    again = {t: judged(tmp_path / f"again_{t}", t, seed=1) for t in (0.0, 1.0)}
    assert first[0.0]["per_seed"] == again[0.0]["per_seed"]
    assert first[1.0]["per_seed"] != again[1.0]["per_seed"]
    assert first[1.0]["per_seed"] != first[0.0]["per_seed"]
    assert [first[t]["temperature"] for t in (0.0, 1.0)] == [0.0, 1.0]


def test_a_search_samples_at_a_temperature_of_its_own() -> None:
    with pytest.raises(ValueError, match=r"best_of:=4 .*set eval_temperature:=0 instead"):
        check(TrainConfig(mode="eval", best_of=4, eval_temperature=0.5, checkpoint="somewhere"))
