"""With LoRA only the adapter learns, travels and is saved; the base stays as it was."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLForConditionalGeneration

from rlrobo_core.tasks import make_task
from rlrobo_core.types import PolicyUpdate
from rlrobo_policy.inputs import PromptInputs
from rlrobo_policy.lora import fingerprint
from rlrobo_policy.policy import VlmPolicy, load_policy, shipped_checkpoint
from rlrobo_policy.tree import action_logits
from rlrobo_train.assemble import check
from rlrobo_train.checkpoint import publish_weights
from rlrobo_train.config import TrainConfig
from rlrobo_train.groups import Decision, RolloutGroup
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


def prompt(policy: VlmPolicy) -> PromptInputs:
    return policy.encode_prompts(images(), ("reach the green ball",))


@torch.no_grad()
def logits(policy: VlmPolicy, model: Qwen2_5_VLForConditionalGeneration | None = None):
    model = model or policy.vlm.model
    return action_logits(model, prompt(policy), indices(policy), policy.token_V)


def logprobs(
    policy: VlmPolicy, model: Qwen2_5_VLForConditionalGeneration | None = None
) -> torch.Tensor:
    index = indices(policy)
    return torch.log_softmax(logits(policy, model), -1).gather(-1, index[..., None])[..., 0]


def group(policy: VlmPolicy) -> RolloutGroup:
    """One step at which all members of a group act on the same image, rewarded differently."""
    index = indices(policy)
    everyone = np.ones((SAMPLES, 1), bool)
    decision = Decision(
        image_C=images()[0],
        instruction="reach the green ball",
        ee_pose=np.zeros(7, np.float32),
        gripper_width=0.0,
        step=0,
        rollout_S=np.arange(SAMPLES),
        token_ST=policy.token_V[index[0]].numpy(),
        logprob_ST=logprobs(policy)[0].numpy(),
    )
    reward = np.arange(SAMPLES, dtype=np.float32)[:, None]
    return RolloutGroup(0, (decision,), reward, everyone, everyone, 0.0, {})


def weights(policy: VlmPolicy) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in policy.vlm.model.named_parameters()}


def trained(policy: VlmPolicy) -> dict[str, torch.nn.Parameter]:
    return {n: p for n, p in policy.vlm.model.named_parameters() if p.requires_grad}


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


@pytest.mark.parametrize("rank", [0, 4])
def test_the_kl_reference_stays_where_the_run_began(tmp_path: Path, rank: int) -> None:
    """And is what a copy of the whole model would say, though only what trains is kept."""
    policy = adapted(rank=rank)
    copied = copy.deepcopy(policy.vlm.model)
    trainer = update(policy, tmp_path, kl_coef=0.1)
    after = logprobs(policy)
    reference = trainer._reference_logprobs(prompt(policy), indices(policy), 1.0)
    assert reference is not None and torch.equal(reference, logprobs(policy, copied))
    assert not torch.equal(reference, after) and torch.equal(logprobs(policy), after)
    assert trainer.reference and trainer.reference.keys() == trained(policy).keys()


def test_gradients_are_those_of_the_policy_although_the_reference_was_asked(tmp_path: Path) -> None:
    """Between a forward pass and its backward pass the model had other weights."""
    policy = adapted()
    trainer = update(policy, tmp_path, kl_coef=0.1)

    def gradients(ask: bool) -> list[torch.Tensor]:
        trainer.optimizer.zero_grad()
        said = action_logits(policy.vlm.model, prompt(policy), indices(policy), policy.token_V)
        if ask:
            trainer._reference_logprobs(prompt(policy), indices(policy), 1.0)
        said.square().sum().backward()
        return [p.grad.clone() for p in trained(policy).values() if p.grad is not None]

    pairs = list(zip(gradients(ask=False), gradients(ask=True), strict=True))
    assert pairs and all(torch.equal(one, other) for one, other in pairs)


def test_a_checkpoint_is_the_adapter_and_goes_on_training(tmp_path: Path) -> None:
    policy = adapted()
    update(policy, tmp_path)
    policy.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "model.safetensors").exists()
    again = load_policy(str(tmp_path / "saved"), REACH)
    assert torch.equal(logits(again), logits(policy))
    assert trained(again).keys() == trained(policy).keys()
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        tmp_path / "saved", dtype=torch.float32
    )
    assert (logits(policy, stock) - logits(policy)).abs().max() < 1e-4
    with pytest.raises(ValueError, match=r"rank 4, not 8: set lora_rank:=4"):
        load_policy(str(tmp_path / "saved"), REACH, lora_rank=8)


def test_an_adapter_is_refused_beside_another_base(tmp_path: Path) -> None:
    """Of the same shape, but one value of its frozen weights is another."""
    base, saved = tmp_path / "base", tmp_path / "saved"
    shutil.copytree(BASE, base)
    learner = adapted(str(base))
    learner.save(saved)
    told = publish_weights(tmp_path, 1, learner.vlm.model, learner.spec.to_json())
    assert load_policy(str(saved), REACH).spec.base == learner.spec.base != ""

    weights = load_file(base / "model.safetensors")
    next(value for name, value in weights.items() if "visual" in name).view(-1)[-1] += 0.1
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"saved is an adapter of another base.*put back"):
        load_policy(str(saved), REACH)
    actor = adapted(str(base))
    before = logits(actor)
    with pytest.raises(ValueError, match="an adapter of another base"):
        actor.load_weights(PolicyUpdate(1, str(told)))
    assert actor.version == -1 and torch.equal(logits(actor), before)


def test_an_adapter_without_its_base_names_it(tmp_path: Path) -> None:
    shutil.copytree(BASE, tmp_path / "base")
    adapted(str(tmp_path / "base")).save(tmp_path / "saved")
    (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(ValueError, match=r"saved is an adapter and its base model .*base does"):
        load_policy(str(tmp_path / "saved"), REACH)


def test_a_base_is_known_again_on_another_device() -> None:
    """There it is loaded as bfloat16."""
    policy = adapted()
    assert fingerprint(policy.vlm.model.bfloat16()) == policy.spec.base
    assert fingerprint(load_policy(BASE, REACH).vlm.model) == ""


def test_random_weights_are_not_adapted() -> None:
    with pytest.raises(ValueError, match=r"'tiny' are random.*lora_rank:=0"):
        load_policy("tiny", REACH, lora_rank=4)
    with pytest.raises(ValueError, match=r"lora_rank:=4.*checkpoint:=<dir>"):
        check(TrainConfig(lora_rank=4))
