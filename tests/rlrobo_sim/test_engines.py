"""Requests for several tasks on real MuJoCo: each in its own scene, rewarded as asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from rlrobo_core.shifts import SHIFTS, SceneShift
from rlrobo_core.tasks import Reach, Task
from rlrobo_core.types import ActionBatch, ObservationBatch, RolloutRequest
from rlrobo_sim.engines import RolloutEngines
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.outcomes import reward_weights
from rlrobo_sim.rollout import RolloutEngine

GREEN = Reach(max_steps=2)
RED = replace(
    GREEN,
    name="red",
    objects=(replace(GREEN.objects[0], rgba=(0.9, 0.1, 0.1, 1.0)),),
    instructions=("reach the red ball",),
)
CAMERA = SHIFTS["camera"].scene
TASKS: dict[str, Task] = {"reach": GREEN, "red": RED}


def make_simulator(task: Task, shift: SceneShift) -> MujocoSimulator:
    return MujocoSimulator(
        task, num_worlds=2, image_size=56, num_render_workers=0, num_threads=1, shift=shift
    )


@pytest.fixture(scope="module")
def engines() -> Iterator[RolloutEngines]:
    engines = RolloutEngines(TASKS, 2, make_simulator)
    yield engines
    engines.close()


def request(task: str, number: int = 1) -> RolloutRequest:
    return RolloutRequest(number, 0, "train", "trajectory", task, 3, (0,), 2, 0, 1.0)


def hold(batch: ObservationBatch) -> ActionBatch:
    """Stay where you are."""
    asked, row_M = batch.observations, batch.observations.row_M
    count = len(row_M)
    return ActionBatch(
        sequence=0,
        request_id=batch.request.request_id,
        policy_version=0,
        group_M=asked.group_N[row_M],
        rollout_M=asked.rollout_M,
        step_M=asked.step_N[row_M],
        token_MT=np.zeros((count, 0), np.int32),
        logprob_MT=np.zeros((count, 0), np.float32),
        target_M=np.concatenate([asked.ee_pose_N[row_M], np.zeros((count, 1), np.float32)], axis=1),
    )


def redness(batch: ObservationBatch) -> int:
    """Pixels that are clearly redder than green."""
    image = batch.observations.image_NC.astype(int)
    return int((image[..., 0] - image[..., 1] > 60).sum())


def test_a_request_is_served_in_its_own_tasks_scene(engines: RolloutEngines) -> None:
    green, red = engines.start(request("reach")), engines.start(request("red", 2))
    assert green.observations.instruction_N == ("reach the green ball",)
    assert red.observations.instruction_N == ("reach the red ball",)
    assert redness(green) == 0 < redness(red)


def test_a_task_is_served_as_its_engine_alone_would(engines: RolloutEngines) -> None:
    simulator = make_simulator(RED, SceneShift())
    alone = RolloutEngine(simulator, RED, 2)
    engines.start(request("reach"))
    pairs = [(engines.start(request("red")), alone.start(request("red")))]
    while not pairs[-1][0].last:
        ours, others = (engines.act(hold(pairs[-1][0])), alone.act(hold(pairs[-1][1])))
        assert ours is not None and others is not None
        pairs.append((ours, others))
    simulator.close()
    for ours, others in pairs:
        np.testing.assert_array_equal(ours.observations.image_NC, others.observations.image_NC)
        np.testing.assert_array_equal(ours.outcomes.reward_M, others.outcomes.reward_M)


def test_an_answer_to_the_task_before_is_ignored(engines: RolloutEngines) -> None:
    late = hold(engines.start(request("reach", 8)))
    pending = engines.start(request("red", 9))
    assert engines.act(late) is None
    assert engines.pending is pending


def test_a_simulator_is_made_once_and_only_for_what_is_asked() -> None:
    made: list[str] = []

    def counting(task: Task, shift: SceneShift) -> MujocoSimulator:
        made.append(task.name)
        return make_simulator(task, shift)

    engines = RolloutEngines(TASKS, 2, counting)
    assert made == ["reach"]
    for number, task in enumerate(("reach", "red", "reach", "red")):
        engines.start(request(task, number))
    engines.close()
    assert made == ["reach", "red"]


def test_a_task_it_was_not_started_with_is_refused(engines: RolloutEngines) -> None:
    with pytest.raises(ValueError, match="'stack'.* started with reach, red; .*same task:="):
        engines.start(request("stack"))


def test_a_shift_is_served_in_the_place_of_the_task_as_it_was() -> None:
    made: list[tuple[str, SceneShift]] = []

    def counting(task: Task, shift: SceneShift) -> MujocoSimulator:
        made.append((task.name, shift))
        return make_simulator(task, shift)

    engines = RolloutEngines(TASKS, 2, counting)
    names = ("reach", "reach+camera", "reach+camera", "reach")
    batches = [engines.start(request(task, number)) for number, task in enumerate(names)]
    images = [batch.observations.image_NC for batch in batches]
    engines.close()
    assert made == [("reach", shift) for shift in (SceneShift(), CAMERA, SceneShift())]
    assert [batch.request.task for batch in batches] == list(names)
    np.testing.assert_array_equal(images[0], images[3])
    np.testing.assert_array_equal(images[1], images[2])
    assert (images[0] != images[1]).any()


def test_a_shift_of_what_a_task_has_not_is_refused(engines: RolloutEngines) -> None:
    with pytest.raises(ValueError, match="'red' has nothing that the shift 'mass' could change"):
        engines.start(request("red+mass"))
    with pytest.raises(ValueError, match="unknown shift 'cam'; choose from: none, all, camera"):
        engines.start(request("red+cam"))


def test_a_sparse_reward_is_success_and_nothing_else() -> None:
    easy = replace(GREEN, threshold=2.0)  # wherever the tool is
    for task, earned in ((easy, 1.0), (GREEN, 0.0)):
        engines = RolloutEngines({"reach": task}, 2, make_simulator, "sparse")
        batch = engines.act(hold(engines.start(request("reach"))))
        engines.close()
        assert batch is not None
        assert batch.outcomes.reward_M.tolist() == [earned, earned]
        assert set(batch.outcomes.reward_term_names) == set(task.reward_weights)


def test_what_cannot_be_rewarded_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown reward 'dens'; choose one of: dense, sparse"):
        reward_weights(GREEN, "dens")
    with pytest.raises(ValueError, match=r"\['success'\] for task 'reach'; choose from: progress"):
        reward_weights(replace(GREEN, reward_weights={"progress": 1.0}), "sparse")
