"""Judging a policy on held-out episodes: success, its interval, and every episode by its seed."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlrobo_core.intervals import SuccessRate
from rlrobo_train.groups import RolloutGroup

Rates = Mapping[str, SuccessRate]
"""Task -> how often it succeeded."""


class Evaluation(NamedTuple):
    success: SuccessRate
    mean_length: float
    """[steps]"""
    mean_return: float
    per_seed: list[dict[str, Any]]
    """seed, group, success, length, return of each episode."""

    @property
    def metrics(self) -> dict[str, float]:
        low, high = self.success.ci95
        return {
            "eval/success": self.success.rate,
            "eval/ci_low": low,
            "eval/ci_high": high,
            "eval/episodes": float(self.success.episodes),
            "eval/length": self.mean_length,
            "eval/return": self.mean_return,
        }


def evaluate(groups: list[RolloutGroup], seed: int) -> Evaluation:
    """The episodes of a request with group_size 1, all of them whole."""
    per_seed = [
        {
            "seed": seed,
            "group": group.group_id,
            "success": bool(group.success),
            "length": int(group.length),
            "return": group.reward,
        }
        for group in groups
    ]
    n = max(len(groups), 1)
    return Evaluation(
        success=SuccessRate(sum(bool(g.success) for g in groups), len(groups)),
        mean_length=sum(g.length for g in groups) / n,
        mean_return=sum(g.reward for g in groups) / n,
        per_seed=per_seed,
    )


def episodes_told(episodes: int, temperature: float) -> str:
    """What a success is of, in words."""
    sampled = f", actions sampled at temperature {temperature:g}" if temperature else ""
    return f"{episodes} held-out episodes{sampled}"


def pooled(rates: Rates) -> SuccessRate:
    """Over the episodes of all tasks: their mean, for each has as many."""
    return SuccessRate(
        sum(rate.successes for rate in rates.values()),
        sum(rate.episodes for rate in rates.values()),
    )


def told(rate: SuccessRate) -> dict[str, Any]:
    """As the JSON files have it."""
    return {"success": rate.rate, "ci95": list(rate.ci95), "episodes": rate.episodes}


def summary(rates: Rates) -> dict[str, Any]:
    """As summary.json has it: over all tasks, and each where there are several."""
    each = {"tasks": {task: told(rate) for task, rate in rates.items()}}
    return told(pooled(rates)) | (each if len(rates) > 1 else {})


def write_eval(path: Path, evaluation: Evaluation, **facts: Any) -> None:
    """eval.json: `success`, `ci95`, `per_seed` and what else is worth knowing."""
    result = {
        "success": evaluation.success.rate,
        "ci95": list(evaluation.success.ci95),
        "episodes": evaluation.success.episodes,
        "mean_length": evaluation.mean_length,
        "mean_return": evaluation.mean_return,
        **facts,
        "command": shlex.join(sys.argv),
        "per_seed": evaluation.per_seed,
    }
    path.write_text(json.dumps(result, indent=2) + "\n")
