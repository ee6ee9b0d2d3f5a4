"""One policy, two tasks, without ROS: real MuJoCo, the real tiny model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from rlrobo_core.intervals import SuccessRate
from rlrobo_core.shifts import SceneShift
from rlrobo_core.task_set import make_tasks
from rlrobo_core.tasks import TASKS, Reach, SceneObject, Task
from rlrobo_core.types import ObservationBatch
from rlrobo_sim.engines import RolloutEngines
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_train.assemble import check, make_conductor
from rlrobo_train.conductor import GraphStalled
from rlrobo_train.config import TrainConfig
from rlrobo_train.examination import examined
from rlrobo_train.local import run_local
from rlrobo_train.metrics import read_metrics
from rlrobo_train.suite import print_suite

SHIPPED = Path(__file__).parents[2] / "src/rlrobo_policy/rlrobo_policy/warm_start/reach"


@dataclass(frozen=True)
class ReachRed(Reach):
    """The same with other colours and words."""

    name: str = "reach_red"
    objects: tuple[SceneObject, ...] = (
        SceneObject("target", "marker", (0.025,), (0.8, 0.1, 0.1, 1.0)),
    )
    instructions: tuple[str, ...] = ("reach the red ball",)


@pytest.fixture(autouse=True)
def two_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "reach_red", ReachRed)
    torch.set_num_threads(1)


def small(run_dir: Path, **options: object) -> TrainConfig:
    settings: dict[str, object] = {
        "task": "reach,reach_red",
        "checkpoint": str(SHIPPED),
        "num_envs": 4,
        "group_size": 2,
        "groups_per_iteration": 2,
        "minibatch_size": 32,
        "episodes": 2,
        "eval_every": 0,
        "minutes": 0.0,
        "iterations": 2,
        "run_dir": str(run_dir),
    }
    return TrainConfig(**settings | options)  # pyright: ignore[reportArgumentType]


def run(config: TrainConfig) -> Path:
    """The run's directory, after all its iterations."""
    conductor = make_conductor(config)
    config = conductor.config

    def make_simulator(task: Task, shift: SceneShift) -> MujocoSimulator:
        return MujocoSimulator(
            task, config.num_envs, config.image_size, num_render_workers=0, shift=shift
        )

    tasks = make_tasks(config.task, config.variant)
    engines = RolloutEngines(tasks, config.group_size, make_simulator, config.reward)
    try:
        run_local(conductor, engines, conductor.trainer.policy)
    finally:
        engines.close()
        conductor.close()
    return conductor.run.path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "reach_red", ReachRed)
        return run(small(tmp_path_factory.mktemp("runs") / "whole"))


def rollouts(path: Path) -> list[dict[str, float]]:
    return [row for row in read_metrics(path) if "loss/policy" in row]


def test_each_iteration_logs_its_task(whole: Path) -> None:
    turns = [
        [key.rsplit("/", 1)[1] for key in row if key.startswith("rollout/success/")]
        for row in rollouts(whole)
    ]
    assert turns == [["reach"], ["reach_red"]]
    for row, (task,) in zip(rollouts(whole), turns, strict=True):
        assert row["rollout/success"] == row[f"rollout/success/{task}"]
        assert row["reward/progress"] == row[f"reward/progress/{task}"]


def test_an_evaluation_judges_each_task_and_their_mean(whole: Path) -> None:
    last = [row for row in read_metrics(whole) if "eval/success" in row][-1]
    each = [last["eval/success/reach"], last["eval/success/reach_red"]]
    assert last["eval/success"] == pytest.approx(sum(each) / 2)
    assert last["eval/episodes"] == 4
    for task, rate in zip(("reach", "reach_red"), each, strict=True):
        told = json.loads((whole / f"eval_000002_{task}.json").read_text())
        assert (told["task"], told["success"], told["episodes"]) == (task, rate, 2)
        assert (whole / f"eval_000002_{task}.mp4").exists()
        recorded = json.loads((whole / "episodes" / f"eval_000002_{task}.json").read_text())
        assert recorded["task"] == task and len(recorded["episodes"]) == 2
    after = json.loads((whole / "summary.json").read_text())["after"]
    assert [after["tasks"][task]["success"] for task in ("reach", "reach_red")] == each


def test_the_first_iteration_leaves_what_it_taught(whole: Path) -> None:
    recorded = json.loads((whole / "episodes" / "train_000001.json").read_text())
    assert (recorded["task"], recorded["iteration"]) == ("reach", 1)
    samples = [s for e in recorded["episodes"] for step in e["steps"] for s in step["samples"]]
    assert any(sample["advantage"] for sample in samples)


def test_a_resumed_run_goes_on_with_the_task_whose_turn_it_is(whole: Path, tmp_path: Path) -> None:
    parts = run(small(tmp_path / "parts", iterations=1))
    run(TrainConfig(resume=str(parts), iterations=2, minutes=0.0))
    for row, other in zip(rollouts(parts), rollouts(whole), strict=True):
        timed = ("time/", "wall_s", "rollout/steps_per_s")
        assert {k: v for k, v in row.items() if not k.startswith(timed)} == {
            k: v for k, v in other.items() if not k.startswith(timed)
        }
    before = [json.loads((p / "summary.json").read_text())["before"] for p in (parts, whole)]
    assert before[0] == before[1]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "suite"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "reach_red", ReachRed)
        return run(small(path, mode="eval", group_size=1, shifts="lights,mass"))


def test_a_suite_judges_every_task_under_every_shift(suite: Path) -> None:
    told = json.loads((suite / "suite.json").read_text())
    for task in ("reach", "reach_red"):
        under = told["tasks"][task]
        assert under.keys() == {"none", "lights", "mass"}
        assert under["mass"] is None  # a ball on a stand cannot be heavier
        for shift, name in (("none", task), ("lights", f"{task}+lights")):
            one = json.loads((suite / f"eval_{name}.json").read_text())
            assert one["task"] == name
            assert under[shift] == {key: one[key] for key in ("success", "ci95", "episodes")}
            assert (suite / f"eval_{name}.mp4").exists()
    each = [told["tasks"][task]["none"]["success"] for task in told["tasks"]]
    assert told["mean"]["success"] == pytest.approx(sum(each) / 2)
    assert told["shifts"].keys() == {"lights", "mass"}


def test_a_suites_table_has_a_row_a_shift_and_a_dash_where_there_is_none(suite: Path) -> None:
    told = json.loads((suite / "suite.json").read_text())["tasks"]
    table = [line.strip("| ").split(" | ") for line in (suite / "suite.md").read_text().split("\n")]
    assert ["reach", "reach_red"] in table and ["mass", "–", "–"] in table
    (lights,) = [row for row in table if row[0] == "lights"]
    for task, cell in zip(told, lights[1:], strict=True):
        low, high = told[task]["lights"]["ci95"]
        assert cell == f"{told[task]['lights']['success']:.1%} [{100 * low:.1f}, {100 * high:.1f}]"


def test_the_terminals_table_tells_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    config = small(Path("run"), mode="eval", shifts="lights,mass")
    rates = {"reach": SuccessRate(1, 2), "reach_red": SuccessRate(2, 2)}
    print_suite(config, rates | {f"{task}+lights": SuccessRate(0, 2) for task in rates})
    shown = capsys.readouterr().out
    assert "50.0% [9.5, 90.5]" in shown and "as in training" in shown and "A dash:" in shown


def test_what_is_examined() -> None:
    evaluation = TrainConfig(mode="eval")
    assert examined(evaluation) == ("reach",)
    assert examined(replace(evaluation, shifts="all")) == ("reach", "reach+camera", "reach+lights")
    several = replace(evaluation, task="reach,reach_red")
    assert len(examined(several)) == 6
    assert examined(replace(several, shifts="none")) == ("reach", "reach_red")
    assert examined(replace(several, mode="train")) == ("reach", "reach_red")
    with pytest.raises(ValueError, match="shifts:=camera belongs to an evaluation"):
        check(TrainConfig(shifts="camera"))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("reach,push", "makes a model of one task, not of reach, push"),
        ("flip", r"task:=flip has none; those that have: reach, .*checkpoint:=<dir>"),
    ],
)
def test_a_warm_start_that_cannot_be_made_is_refused_before_it_begins(task, message) -> None:
    with pytest.raises(ValueError, match=message):
        check(TrainConfig(task=task, warm_start="scratch"))


def test_one_task_leaves_the_files_and_keys_of_one_task(tmp_path: Path) -> None:
    config = small(tmp_path / "one", task="reach_red", iterations=1, reward="sparse")
    path = run(config)
    assert (path / "eval_000001.json").exists()
    assert not any(key.endswith("/reach_red") for row in read_metrics(path) for key in row)
    assert "tasks" not in json.loads((path / "summary.json").read_text())["after"]
    row = rollouts(path)[0]
    assert row["reward/mean"] == row["reward/success"]


def test_a_scratch_warm_start_of_several_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one task, not of reach, reach_red"):
        make_conductor(small(tmp_path / "run", checkpoint="", warm_start="scratch"))


def test_a_graph_of_which_nothing_whole_comes_is_given_up(tmp_path: Path) -> None:
    conductor = make_conductor(replace(small(tmp_path / "run"), mode="eval", group_size=1))
    _, asked = conductor.start()
    engines = RolloutEngines(
        make_tasks("reach"), 1, lambda task, _: MujocoSimulator(task, 4, 112, num_render_workers=0)
    )
    first = engines.start(asked)
    engines.close()

    def nothing_came(request) -> ObservationBatch:
        observations = replace(first.observations, group_N=first.observations.group_N + 100)
        return replace(first, request=request, observations=observations, last=True)

    def answer(request) -> list:
        list(conductor.observe(nothing_came(request)))
        return list(conductor.tick(conductor._closed_at + 60.0))

    (again,) = answer(asked)
    assert again.request_id > asked.request_id and again.task == "reach"
    with pytest.raises(GraphStalled, match="none of the 2 groups of reach came whole in 2 tries"):
        answer(again)
    conductor.close()
