"""The run directory: held by one process, refused where it would mix runs up, resumed exactly."""

from __future__ import annotations

import json
import logging
import multiprocessing
import signal
import sys
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import Qwen2_5_VLForConditionalGeneration

from rlrobo_train.metrics import read_metrics
from rlrobo_train.run import RunDirectory

Model = Qwen2_5_VLForConditionalGeneration
CONFIG = {"task": "reach", "seed": 3, "cameras": ["front"], "grpo": {"clip_low": 0.2}}


def no_files(directory: Path) -> None:
    pass


def save(run: RunDirectory, version: int, model: Model) -> None:
    run.save_checkpoint(version, model, no_files, {"iteration": version})


def iterations(run: Path) -> list[float]:
    return [row["iteration"] for row in read_metrics(run)]


def test_a_run_says_what_it_is(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "runs" / "a", CONFIG) as run:
        assert yaml.safe_load((run.path / "config.yaml").read_text()) == CONFIG == run.config
        versions = json.loads((run.path / "versions.json").read_text())
    assert {"python", "torch", "transformers", "mujoco", "numpy", "git_commit"} <= set(versions)
    assert versions["python"] == sys.version.split()[0]


def test_rows_are_on_disk_at_once_and_in_tensorboard(tmp_path: Path) -> None:
    rows = [{"reward/mean": 0.5 * i, "loss/policy": float("nan")} for i in range(3)]
    with RunDirectory.create(tmp_path / "a", CONFIG) as run:
        for i, row in enumerate(rows):
            run.log(row, i)
        lines = (run.path / "metrics.jsonl").read_text().splitlines()
        board = EventAccumulator(str(run.path / "tensorboard")).Reload()
    logged = [json.loads(line) for line in lines]
    assert [row["reward/mean"] for row in logged] == [0.0, 0.5, 1.0]
    assert [row["iteration"] for row in logged] == [0, 1, 2]
    assert all(row["loss/policy"] is None for row in logged)
    clock = [row["wall_s"] for row in logged]
    assert clock == sorted(clock) and clock[0] >= 0
    assert [scalar.value for scalar in board.Scalars("reward/mean")] == [0.0, 0.5, 1.0]


def hold(path: Path, held: Event) -> None:
    with RunDirectory.create(path, CONFIG):
        held.set()
        signal.pause()


def test_a_busy_directory_names_its_holder(tmp_path: Path) -> None:
    path, fork = tmp_path / "a", multiprocessing.get_context("fork")
    held = fork.Event()
    holder = fork.Process(target=hold, args=(path, held))
    holder.start()
    try:
        assert held.wait(60)
        for attempt in (lambda: RunDirectory.resume(path), lambda: RunDirectory.create(path, {})):
            with pytest.raises(ValueError, match=f"is busy .process {holder.pid} on .*run_dir"):
                attempt()
    finally:
        holder.kill()
        holder.join()
    RunDirectory.resume(path).close()  # The lock went with its process.


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "a", CONFIG) as run:
        pass
    with pytest.raises(ValueError, match=f"holds an interrupted run.*resume:={run.path}"):
        RunDirectory.create(run.path, CONFIG)


def test_a_refused_directory_is_free_again(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "a", CONFIG) as run:
        pass
    for _ in range(2):
        with pytest.raises(ValueError, match="already holds"):
            RunDirectory.create(run.path, CONFIG)


def test_other_files_do_not_make_a_run(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a bag may be recorded into it before")
    RunDirectory.create(tmp_path, CONFIG).close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot write to run directory .*file.*run_dir"):
        RunDirectory.create(tmp_path / "file" / "a", CONFIG)


def test_no_space_is_said_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no disk space .* MiB are free"):
        RunDirectory.create(tmp_path / "a", CONFIG, needs_bytes=2**60)
    RunDirectory.create(tmp_path / "a", CONFIG, needs_bytes=1).close()


def test_what_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "good", CONFIG) as run:
        (run.path / "checkpoints" / "000001").mkdir(parents=True)
    with pytest.raises(ValueError, match="no run directory .*the runs in .* are: good"):
        RunDirectory.resume(tmp_path / "missing")
    with pytest.raises(ValueError, match=f"resume:={run.path}$"):
        RunDirectory.resume(run.path / "checkpoints" / "000001")


def test_resuming_goes_back_to_the_last_checkpoint(tmp_path: Path, tiny_model: Model) -> None:
    with RunDirectory.create(tmp_path / "a", CONFIG) as run:
        for i in range(1, 6):
            run.publish_weights(i, tiny_model)
            run.log({"x": float(i)}, i)
            if i in (2, 3):
                save(run, i, tiny_model)
    with (run.path / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"iteration": 6, "wal')  # Cut off by the crash.
    wall_s = read_metrics(run.path)[2]["wall_s"]

    with RunDirectory.resume(run.path) as again:
        assert again.config == CONFIG
        assert again.wall_s >= wall_s
        checkpoint = again.latest_checkpoint()
        assert checkpoint is not None and checkpoint.load_state()["iteration"] == 3
        assert iterations(run.path) == [1, 2, 3]
        assert [path.stem for path in (run.path / "weights").iterdir()] == ["000003"]
        for i in range(4, 7):
            again.log({"x": float(i)}, i)
        events = max((run.path / "tensorboard").iterdir(), key=lambda file: file.stat().st_mtime_ns)
        board = EventAccumulator(str(events)).Reload()
    assert iterations(run.path) == [1, 2, 3, 4, 5, 6]
    assert [scalar.step for scalar in board.Scalars("x")] == [4, 5, 6]


def test_resuming_steps_over_a_corrupt_checkpoint(
    tmp_path: Path, tiny_model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    with RunDirectory.create(tmp_path / "a", CONFIG) as run:
        for i in (1, 2):
            run.log({"x": float(i)}, i)
            save(run, i, tiny_model)
    (run.path / "checkpoints" / "000002" / "model.safetensors").write_bytes(b"")
    with caplog.at_level(logging.WARNING), RunDirectory.resume(run.path) as again:
        assert iterations(run.path) == [1]
        save(again, 2, tiny_model)
        checkpoint = again.latest_checkpoint()
    assert checkpoint is not None and checkpoint.version == 2
    assert (run.path / "checkpoints" / "000002.corrupt").is_dir()
    assert "000002 is corrupt" in caplog.text and "000001 instead" in caplog.text


def test_the_same_checkpoint_may_be_corrupt_twice(tmp_path: Path, tiny_model: Model) -> None:
    with RunDirectory.create(tmp_path / "a", CONFIG) as run:
        save(run, 1, tiny_model)
        save(run, 2, tiny_model)
    for _ in range(2):
        (run.path / "checkpoints" / "000002" / "manifest.json").unlink()
        with RunDirectory.resume(run.path) as again:
            save(again, 2, tiny_model)
    kept = sorted(path.name for path in (run.path / "checkpoints").iterdir())
    assert kept == ["000001", "000002", "000002.corrupt"]


def test_with_all_checkpoints_corrupt_nothing_is_cut(tmp_path: Path, tiny_model: Model) -> None:
    with RunDirectory.create(tmp_path / "a", CONFIG) as run:
        run.log({"x": 1.0}, 1)
        save(run, 1, tiny_model)
    (run.path / "checkpoints" / "000001" / "manifest.json").unlink()
    with pytest.raises(ValueError, match="every checkpoint .* is corrupt"):
        RunDirectory.resume(run.path)
    assert iterations(run.path) == [1]


def test_a_run_stopped_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "a", CONFIG) as run:
        run.log({"x": 0.0}, 0)
    with RunDirectory.resume(run.path) as again:
        assert again.latest_checkpoint() is None
        assert read_metrics(run.path) == []


def test_published_weights_are_the_last_three(tmp_path: Path, tiny_model: Model) -> None:
    with RunDirectory.create(tmp_path / "a", CONFIG) as run:
        paths = [run.publish_weights(version, tiny_model) for version in range(5)]
        assert [path.exists() for path in paths] == [False, False, True, True, True]
        assert load_file(paths[-1])


def test_a_finished_run_has_its_summary_and_curves_and_stays(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "a", CONFIG) as run:
        run.log({"rollout/success": 0.5, "reward/mean": 1.0}, 1)
        run.finish({"success_after": 0.9})
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary["success_after"] == 0.9 and summary["wall_s"] >= 0
    assert (run.path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="holds a finished run"):
        RunDirectory.create(run.path, CONFIG)
    with RunDirectory.resume(run.path):
        assert not (run.path / "summary.json").exists()  # It is unfinished again.


def test_other_versions_are_said_at_resume(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RunDirectory.create(tmp_path / "a", CONFIG) as run:
        file = run.path / "versions.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"torch": "0.4"}))
    with caplog.at_level(logging.WARNING), RunDirectory.resume(run.path):
        assert "torch 0.4 -> " in caplog.text


def test_metrics_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no metrics at"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 0}\nnot json\n')
    with pytest.raises(ValueError, match="line 2 is not a JSON object"):
        read_metrics(tmp_path)
