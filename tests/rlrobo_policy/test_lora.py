"""With LoRA only the adapter learns, travels and is saved; the base stays as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from rlrobo_core.tasks import make_task
from rlrobo_core.types import PolicyUpdate
from rlrobo_policy.policy import VlmPolicy, load_policy, shipped_checkpoint
from rlrobo_policy.tree import action_logits
from rlrobo_train.assemble import check
from rlrobo_train.buffer import Decision, RolloutGroup
from rlrobo_train.checkpoint import publish_weights
from rlrobo_train.config import TrainConfig
from rlrobo_train.grpo import GrpoConfig, GrpoTrainer

REACH = make_task("reach")
BASE = str(shipped_checkpoint(["reach"]))
SAMPLES = 8


def adapted(model: str = BASE, rank: int = 4) -> VlmPolicy:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return load_policy(model, REACH, lora_rank=rank)


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (1, 1, 112, 112, 3), dtype=np.uint8)


def indices(policy: VlmPolicy) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(len(policy.token_V), (1, SAMPLES, 3), generator=generator)


@torch.no_grad()
def logits(policy: VlmPolicy, model: Qwen2_5_VLForConditionalGeneration | None = None):
    inputs = policy.encode_prompts(images(), ("reach the green ball",))
    return action_logits(model or policy.vlm.model, inputs, indices(policy), policy.token_V)


def group(policy: VlmPolicy) -> RolloutGroup:
    """One step at which all members of a group act on the same image, rewarded differently."""
    index = indices(policy)
    logprob = torch.log_softmax(logits(policy), -1).gather(-1, index[..., None])[0, ..., 0]
    everyone = np.ones((SAMPLES, 1), bool)
    decision = Decision(
        image_C=images()[0],
        instruction="reach the green ball",
        ee_pose=np.zeros(7, np.float32),
        gripper_width=0.0,
        step=0,
        rollout_S=np.arange(SAMPLES),
        token_ST=policy.token_V[index[0]].numpy(),
        logprob_ST=logprob.numpy(),
    )
    reward = np.arange(SAMPLES, dtype=np.float32)[:, None]
    return RolloutGroup(0, (decision,), reward, everyone, everyone, 0.0, {})


def weights(policy: VlmPolicy) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in policy.vlm.model.named_parameters()}


def update(policy: VlmPolicy, tmp_path: Path, kl_coef: float = 0.0) -> GrpoTrainer:
    policy.version = 0
    trainer = GrpoTrainer(policy, GrpoConfig(kl_coef=kl_coef), seed=0)
    trainer.update([group(policy)], temperature=1.0, dump=tmp_path)
    return trainer


def test_a_new_adapter_changes_nothing() -> None:
    assert torch.equal(logits(adapted()), logits(load_policy(BASE, REACH)))


def test_an_update_moves_the_language_models_adapter_alone(tmp_path: Path) -> None:
    policy = adapted()
    before = weights(policy)
    update(policy, tmp_path)
    moved = {n for n, p in weights(policy).items() if not torch.equal(p, before[n])}
    # The other factor of a new adapter has no gradient yet: its partner is zero.
    assert moved == {n for n in before if ".lora_B." in n}
    assert all(name.startswith("model.language_model.layers.") for name in moved)


def test_the_adapter_alone_travels(tmp_path: Path) -> None:
    learner, actor = adapted(), adapted()
    update(learner, tmp_path)
    path = publish_weights(tmp_path, 1, learner.vlm.model)
    assert path.stat().st_size < 0.2 * (Path(BASE) / "model.safetensors").stat().st_size
    assert not torch.equal(logits(learner), logits(actor))
    actor.load_weights(PolicyUpdate(1, str(path)))
    assert torch.equal(logits(learner), logits(actor))
    with pytest.raises(ValueError, match="another model"):
        load_policy(BASE, REACH).load_weights(PolicyUpdate(1, str(path)))


def test_the_kl_reference_stays_where_the_run_began(tmp_path: Path) -> None:
    policy = adapted()
    before = logits(policy)
    trainer = update(policy, tmp_path, kl_coef=0.1)
    assert torch.equal(logits(policy, trainer.reference), before)
    assert not torch.equal(logits(policy), before)


def test_a_checkpoint_is_the_adapter_and_goes_on_training(tmp_path: Path) -> None:
    policy = adapted()
    update(policy, tmp_path)
    policy.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "model.safetensors").exists()
    again = load_policy(str(tmp_path / "saved"), REACH)
    assert torch.equal(logits(again), logits(policy))
    trains = [
        {n for n, p in x.vlm.model.named_parameters() if p.requires_grad} for x in (again, policy)
    ]
    assert trains[0] == trains[1]
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        tmp_path / "saved", dtype=torch.float32
    )
    assert (logits(policy, stock) - logits(policy)).abs().max() < 1e-4
    with pytest.raises(ValueError, match=r"rank 4, not 8: set lora_rank:=4"):
        load_policy(str(tmp_path / "saved"), REACH, lora_rank=8)


def test_random_weights_are_not_adapted() -> None:
    with pytest.raises(ValueError, match=r"'tiny' are random.*lora_rank:=0"):
        load_policy("tiny", REACH, lora_rank=4)
    with pytest.raises(ValueError, match=r"lora_rank:=4.*checkpoint:=<dir>"):
        check(TrainConfig(lora_rank=4))
