"""A run that is stopped and resumed is the run that was not: the real simulation, the real tiny
model, both forms, without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from rlrobo_core.tasks import make_task
from rlrobo_core.types import PolicyUpdate
from rlrobo_policy.policy import load_policy, shipped_checkpoint
from rlrobo_policy.spec import PolicySpec
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.assemble import make_conductor
from rlrobo_train.config import TrainConfig
from rlrobo_train.local import run_local
from rlrobo_train.metrics import read_metrics


def train(config: TrainConfig) -> Path:
    """The run's directory, after all its iterations."""
    torch.set_num_threads(1)
    conductor = make_conductor(config)
    policy = conductor.trainer.policy
    simulator = MujocoSimulator(
        policy.task, config.num_envs, image_size=config.image_size, num_render_workers=0
    )
    try:
        engine = RolloutEngine(simulator, policy.task, config.group_size)
        run_local(conductor, engine, policy)
    finally:
        simulator.close()
        conductor.close()
    return conductor.run.path


def small(run_dir: Path, iterations: int, **options: object) -> TrainConfig:
    return TrainConfig(
        num_envs=8,
        group_size=4,
        groups_per_iteration=2,
        minibatch_size=32,
        episodes=4,
        eval_every=0,
        minutes=0.0,
        iterations=iterations,
        run_dir=str(run_dir),
        **options,  # pyright: ignore[reportArgumentType]
    )


def curve(run: Path) -> list[dict[str, float]]:
    """The updates' rows without what a clock says."""
    rows = [row for row in read_metrics(run) if "loss/policy" in row]
    timed = ("time/", "wall_s", "rollout/steps_per_s")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows]


ADAPTER = {"checkpoint": str(shipped_checkpoint(["reach"])), "lora_rank": 2, "kl_coef": 0.5}


@pytest.mark.parametrize(
    ("options", "file"),
    [
        ({"algorithm": "branch_grpo"}, "model.safetensors"),
        ({"algorithm": "grpo", **ADAPTER}, "adapter_model.safetensors"),
    ],
)
def test_resumed_run_has_the_same_curve_and_weights(
    tmp_path: Path, options: dict[str, Any], file: str
) -> None:
    whole = train(small(tmp_path / "whole", 3, **options))
    parts = train(small(tmp_path / "parts", 2, **options))
    train(TrainConfig(resume=str(parts), iterations=3, minutes=0.0))
    assert curve(parts) == curve(whole)
    last = f"checkpoints/000003/{file}"
    a, b = load_file(whole / last), load_file(parts / last)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_published_weights_say_whom_they_are_for(tmp_path: Path) -> None:
    run = train(small(tmp_path / "run", 1))
    weights = run / "weights" / "000001.safetensors"
    policy = load_policy(str(run / "checkpoints" / "000001"), make_task("reach"))
    policy.load_weights(PolicyUpdate(1, str(weights)))
    with safe_open(weights, "pt") as file:
        assert PolicySpec.from_json(file.metadata()["spec"]) == policy.spec


def test_first_pass_is_on_policy(tmp_path: Path) -> None:
    run = train(small(tmp_path / "run", 1, algorithm="grpo"))
    assert curve(run)[0]["policy/ratio_first"] == pytest.approx(1.0, abs=1e-4)


def test_other_seed_other_curve(tmp_path: Path) -> None:
    a = train(small(tmp_path / "a", 1, seed=0))
    b = train(small(tmp_path / "b", 1, seed=1))
    assert curve(a) != curve(b)
