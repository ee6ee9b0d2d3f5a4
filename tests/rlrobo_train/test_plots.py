"""Curves are drawn from metrics.jsonl alone, whatever of it there is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rlrobo_core.intervals import SuccessRate
from rlrobo_train.plots import main, plot_curves


def write_run(path: Path, seed: int, updates: int = 40) -> Path:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(updates + 1):
        row = {"iteration": i, "wall_s": 5.0 * i}
        if i:
            row |= {"rollout/success": rng.random(), "reward/mean": rng.normal()}
            row |= {"reward/distance": rng.normal(), "time/rollout": 3.0, "time/update": 2.0}
            row |= {"loss/policy": rng.normal(), "policy/entropy": rng.random()}
            row |= {"policy/approx_kl": rng.random(), "policy/clip_fraction": rng.random()}
        if i % 10 == 0:
            success = SuccessRate(int(rng.integers(201)), 200)
            low, high = success.ci95
            row |= {"eval/success": success.rate, "eval/ci_low": low, "eval/ci_high": high}
        rows.append(row)
    path.mkdir()
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_a_directory_its_file_and_several_runs_are_drawn(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(seed), seed) for seed in range(3)]
    pictures = []
    for shown in (runs[:1], [runs[0] / "metrics.jsonl"], runs):
        plot_curves(shown, tmp_path / "curves.png")
        pictures.append(pixels(tmp_path / "curves.png"))
        assert pictures[-1].std() > 10
    assert (pictures[0] == pictures[1]).all()
    assert pictures[0].shape != pictures[2].shape or (pictures[0] != pictures[2]).any()


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"iteration": 0, "wall_s": 1.0, "eval/success": 0.5}\n',
        '{"iteration": 1, "wall_s": 1.0, "loss/policy": null, "reward/mean": 0.1}\n',
    ],
    ids=["empty", "one evaluation", "not a number"],
)
def test_a_run_that_ended_early_is_drawn(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(content)
    plot_curves([tmp_path], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").is_file()


def test_from_the_command_line(tmp_path: Path, monkeypatch, capsys) -> None:
    run, out = write_run(tmp_path / "a", 0), tmp_path / "curves.png"
    monkeypatch.setattr(sys, "argv", ["plots", str(run), "--out", str(out)])
    main()
    assert out.is_file() and str(out) in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["plots", str(tmp_path / "missing")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no metrics at" in capsys.readouterr().err
