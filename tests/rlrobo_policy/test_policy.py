"""The policy's promises: determinism by ids, weights taken up whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rlrobo_core.errors import is_ours
from rlrobo_core.tasks import Reach, Task, make_task
from rlrobo_core.types import ObservationBatch, Observations, Outcomes, PolicyUpdate, RolloutRequest
from rlrobo_policy.policy import VlmPolicy, load_policy, shipped_checkpoint
from rlrobo_policy.spec import PolicySpec

REACH = make_task("reach")


def request(temperature: float = 1.0) -> RolloutRequest:
    return RolloutRequest(1, 0, "train", "trajectory", "reach", 0, (5, 6), 4, 0, temperature)


def outcomes() -> Outcomes:
    none = np.zeros(0)
    return Outcomes(
        none, none, none, none, (), np.zeros((0, 0)), *(none.astype(bool) for _ in range(4))
    )  # pyright: ignore[reportArgumentType]


def batch(samples: tuple[int, ...] = (4, 1, 1), temperature: float = 1.0) -> ObservationBatch:
    n = len(samples)
    images = np.random.default_rng(0).integers(0, 255, (n, 1, 112, 112, 3), dtype=np.uint8)
    observations = Observations(
        image_NC=images,
        ee_pose_N=np.tile(np.float32([0.6, 0, 0.2, 1, 0, 0, 0]), (n, 1)),
        gripper_width_N=np.zeros(n, np.float32),
        instruction_N=("reach the green ball",) * n,
        group_N=np.arange(5, 5 + n),
        rollout_N=np.zeros(n, np.int32),
        samples_N=np.array(samples, np.int32),
        step_N=np.zeros(n, np.int32),
    )
    return ObservationBatch(0, request(temperature), observations, outcomes(), last=False)


@pytest.fixture(scope="module")
def policy() -> VlmPolicy:
    torch.set_num_threads(1)
    return load_policy(str(shipped_checkpoint(["reach"])), REACH)


def test_it_acts_for_the_requests_task_whatever_the_shift(policy: VlmPolicy) -> None:
    slow = replace(REACH, name="slow", max_step=REACH.max_step / 2)
    several = VlmPolicy(policy.vlm, REACH, policy.spec, others=[slow])
    asked = batch()
    target, shifted, slower = (
        several.act(replace(asked, request=replace(asked.request, task=task))).target_M
        for task in ("reach", "reach+camera", "slow")
    )
    from_M = asked.observations.ee_pose_N[asked.observations.row_M, :3]
    np.testing.assert_array_equal(target, shifted)
    np.testing.assert_allclose(slower[:, :3] - from_M, (target[:, :3] - from_M) / 2, atol=1e-6)
    with pytest.raises(ValueError, match=r"task 'stack', but .* started with reach, slow"):
        several.act(replace(asked, request=replace(asked.request, task="stack")))


def test_writing_stops_where_the_actions_of_a_task_end() -> None:
    grasp = replace(REACH, name="grasp", action_dims=("x", "y", "z", "gripper"))
    several = load_policy("tiny", grasp, others=[REACH])
    asked = batch(temperature=0.0)
    actions = {
        task: several.act(replace(asked, request=replace(asked.request, task=task)))
        for task in ("grasp", "reach")
    }
    target, held = actions["grasp"].target_M, actions["reach"].target_M
    whole, begun = actions["grasp"].token_MT, actions["reach"].token_MT
    np.testing.assert_array_equal(whole[:, :3], begun)
    np.testing.assert_array_equal(target[:, :7], held[:, :7])
    assert (held[:, 7] == REACH.hold_width).all() and (target[:, 7] != REACH.hold_width).any()


def test_one_action_for_each_rollout_in_order(policy: VlmPolicy) -> None:
    asked = batch()
    actions = policy.act(asked)
    assert actions.group_M.tolist() == [5, 5, 5, 5, 6, 7]
    assert actions.rollout_M.tolist() == [0, 1, 2, 3, 0, 0]
    assert actions.token_MT.shape == (6, 3)
    assert np.isin(actions.token_MT, policy.token_V.numpy()).all()


def test_what_is_asked_again_is_answered_the_same(policy: VlmPolicy) -> None:
    first, again = policy.act(batch()), policy.act(batch())
    assert np.array_equal(first.token_MT, again.token_MT)
    assert np.array_equal(first.logprob_MT, again.logprob_MT)
    later = replace(batch(), request=replace(request(), iteration=1))
    assert not np.array_equal(first.token_MT, policy.act(later).token_MT)


def test_greedy_does_not_depend_on_the_neighbours(policy: VlmPolicy) -> None:
    together = policy.act(batch((1, 1, 1), temperature=0.0))
    alone = policy.act(batch((1,), temperature=0.0))
    assert np.array_equal(together.token_MT[:1], alone.token_MT)


def test_greedy_does_not_depend_on_the_order(policy: VlmPolicy) -> None:
    asked = batch((1, 1, 1), temperature=0.0)
    order = np.array([2, 0, 1])
    obs = asked.observations
    shuffled = replace(
        obs, image_NC=obs.image_NC[order], group_N=obs.group_N[order], step_N=obs.step_N[order]
    )
    actions = policy.act(replace(asked, observations=shuffled))
    assert np.array_equal(actions.token_MT, policy.act(asked).token_MT[order])
    assert np.array_equal(actions.group_M, obs.group_N[order])


def test_targets_step_from_the_measured_pose(policy: VlmPolicy) -> None:
    actions = policy.act(batch())
    delta = actions.target_M[:, :3] - np.float32([0.6, 0, 0.2])
    assert np.abs(delta).max() <= REACH.max_step + 1e-6


def test_new_weights_are_taken_up(policy: VlmPolicy, tmp_path: Path) -> None:
    fresh = load_policy(str(shipped_checkpoint(["reach"])), REACH)
    trained = {n: p * 1.01 for n, p in fresh.vlm.model.named_parameters()}
    save_file(trained, tmp_path / "w.safetensors")
    before = fresh.act(batch()).logprob_MT
    fresh.load_weights(PolicyUpdate(7, str(tmp_path / "w.safetensors")))
    assert fresh.version == 7
    assert not np.array_equal(before, fresh.act(batch()).logprob_MT)


@pytest.mark.parametrize("damage", ["missing", "half", "foreign", "shape"])
def test_weights_that_are_not_whole_are_refused(
    policy: VlmPolicy, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "w.safetensors"
    weights = {n: p.detach() * 1.01 for n, p in policy.vlm.model.named_parameters()}
    if damage == "foreign":
        weights = {"other": torch.zeros(3)}
    if damage == "shape":
        weights |= {list(weights)[-1]: torch.zeros(3)}
    if damage != "missing":
        save_file(weights, path)
    if damage == "half":
        path.write_bytes(path.read_bytes()[:1000])
    version, before = policy.version, policy.act(batch()).logprob_MT
    with pytest.raises(ValueError, match=str(path)):
        policy.load_weights(PolicyUpdate(9, str(path)))
    assert policy.version == version
    assert np.array_equal(before, policy.act(batch()).logprob_MT)


def test_weights_for_another_prompt_are_refused(policy: VlmPolicy, tmp_path: Path) -> None:
    path, told = tmp_path / "w.safetensors", replace(policy.spec, proprioception=True)
    weights = {n: p.detach() for n, p in policy.vlm.model.named_parameters()}
    save_file(weights, path, metadata={"spec": told.to_json()})
    version = policy.version
    with pytest.raises(ValueError, match="proprioception is True there and False here"):
        policy.load_weights(PolicyUpdate(9, str(path)))
    assert policy.version == version


def test_a_checkpoint_of_another_action_space_is_refused() -> None:
    with pytest.raises(ValueError, match=r"codec is 'tokens' there and 'words' here"):
        load_policy(str(shipped_checkpoint(["reach"])), REACH, codec="words")


@dataclass(frozen=True)
class Grasp(Reach):
    """Reach's observations; the policy commands the fingers too."""

    action_dims: tuple[str, ...] = ("x", "y", "z", "gripper")


def saved(path: Path, task: Task, model: str = "tiny", **options: Any) -> str:
    """A checkpoint: of random weights, or of what another one has become."""
    path.mkdir(exist_ok=True)
    load_policy(model, task, **options).save(path)
    return str(path)


def test_a_checkpoint_serves_a_task_that_its_dimensions_begin_with(tmp_path: Path) -> None:
    checkpoint, asked = saved(tmp_path, Grasp()), batch(temperature=0.0)
    four, three = (load_policy(checkpoint, task).act(asked) for task in (Grasp(), REACH))
    assert (four.token_MT.shape[1], three.token_MT.shape[1]) == (4, 3)
    assert np.array_equal(four.token_MT[:, :3], three.token_MT)
    assert np.allclose(four.logprob_MT[:, :3], three.logprob_MT, atol=1e-5)
    assert np.array_equal(four.target_M[:, :7], three.target_M[:, :7])


def test_what_it_is_trained_on_is_what_is_saved(tmp_path: Path) -> None:
    narrower = saved(tmp_path / "3", REACH, saved(tmp_path / "4", Grasp()))
    load_policy(narrower, REACH)
    with pytest.raises(ValueError, match=r"action_dims is \('x', 'y', 'z'\) there and .*gripper"):
        load_policy(narrower, Grasp())


def test_other_dimensions_are_not_the_first_ones(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, Grasp())
    with pytest.raises(ValueError, match=r"action_dims"):
        load_policy(checkpoint, Grasp(action_dims=("y", "z")))


def test_the_vocabulary_of_words_depends_on_the_dimensions(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, Grasp(), codec="words")
    with pytest.raises(ValueError, match=r"num_symbols is 9 there and 7 here; action_dims is"):
        load_policy(checkpoint, REACH, codec="words")


@pytest.mark.parametrize("there", [False, True])
def test_a_checkpoint_knows_whether_it_was_told_the_posture(tmp_path: Path, there: bool) -> None:
    checkpoint = saved(tmp_path, REACH, proprioception=there)
    load_policy(checkpoint, REACH, proprioception=there)
    with pytest.raises(ValueError, match=f"proprioception is {there} there and {not there} here"):
        load_policy(checkpoint, REACH, proprioception=not there)


def test_a_checkpoint_from_before_proprioception_was_told_nothing() -> None:
    spec = PolicySpec.load(shipped_checkpoint(["reach"]))
    assert spec is not None and not spec.proprioception


@pytest.mark.parametrize("proprioception", [False, True])
def test_only_a_policy_that_is_told_the_posture_acts_on_it(proprioception: bool) -> None:
    policy = load_policy("tiny", REACH, proprioception=proprioception)
    here, there = batch(), batch()
    there.observations.ee_pose_N[:, 1] += 0.1
    same = np.array_equal(policy.act(here).logprob_MT, policy.act(there).logprob_MT)
    assert same != proprioception


def test_words_act_too() -> None:
    actions = load_policy("tiny", REACH, codec="words").act(batch())
    assert actions.token_MT.shape == (6, 1)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "rlrobo.json"])
def test_a_checkpoint_that_is_cut_off_is_named(tmp_path: Path, file: str) -> None:
    """As one that was copied by hand and not to the end."""
    shutil.copytree(shipped_checkpoint(["reach"]), tmp_path / "cut")
    path = tmp_path / "cut" / file
    path.write_bytes(path.read_bytes()[: min(200, path.stat().st_size // 2)])
    with pytest.raises(ValueError, match=str(tmp_path / "cut")) as raised:
        load_policy(str(tmp_path / "cut"), REACH)
    assert is_ours(raised.value)


@pytest.mark.parametrize("device", ["tpu", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(ValueError, match=f"device:={device} is not to be had here.*Choose cpu"):
        load_policy("tiny", REACH, device=device)


def test_unknown_model_names_the_choices() -> None:
    with pytest.raises(ValueError, match=r"'no/such/place'.*'tiny'.*Qwen/Qwen2.5-VL-3B-Instruct"):
        load_policy("no/such/place", REACH)


def test_a_saved_policy_is_the_same_policy(policy: VlmPolicy, tmp_path: Path) -> None:
    policy.save(tmp_path)
    again = load_policy(str(tmp_path), REACH)
    assert np.array_equal(policy.act(batch()).logprob_MT, again.act(batch()).logprob_MT)
    saved = load_file(tmp_path / "model.safetensors")
    assert saved
