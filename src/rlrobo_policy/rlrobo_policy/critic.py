"""The critic: what an observation is worth, read off the hidden state of the prompt's last token.

`shared`: off the policy's own backbone, which then learns from both losses; one pass serves both.
`separate`: off a copy of the backbone as it was at the beginning, which learns by itself.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import Qwen2_5_VLForConditionalGeneration

from rlrobo_policy.inputs import PromptInputs
from rlrobo_policy.policy import VlmPolicy
from rlrobo_policy.tree import prompt_states

FILE = "critic.safetensors"

Backbone = Literal["shared", "separate"]


class Critic(nn.Module):
    """A small network on the hidden state; its value is 0 everywhere before it has learned."""

    def __init__(self, policy: VlmPolicy, backbone: Backbone):
        super().__init__()
        model = policy.vlm.model
        width = model.config.get_text_config().hidden_size
        self.token_V = policy.token_V
        says = nn.Linear(width, 1)
        nn.init.zeros_(says.weight)
        nn.init.zeros_(says.bias)
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), says).to(policy.device)
        self.backbone = copy.deepcopy(model) if backbone == "separate" else None
        self.spec = {"critic": backbone, "backbone": size_of(model), **asdict(policy.spec)}

    def forward(self, state_NH: torch.Tensor | None, inputs: PromptInputs) -> torch.Tensor:
        """f32[N]. `state_NH`: the policy's hidden states of these prompts; a critic with a backbone
        of its own does not look at them."""
        if self.backbone is not None:
            state_NH = prompt_states(self.backbone, inputs, self.token_V)
        assert state_NH is not None
        return self.read(state_NH)

    def read(self, state_NH: torch.Tensor) -> torch.Tensor:
        """f32[N], the values that are read off these hidden states of its backbone."""
        return self.head(state_NH.float())[:, 0]

    @torch.no_grad()
    def states(
        self, model: Qwen2_5_VLForConditionalGeneration, inputs: PromptInputs
    ) -> torch.Tensor:
        """[N, H], what it reads off, of prompts that no action follows, `model` being the
        policy's."""
        return prompt_states(self.backbone or model, inputs, self.token_V)

    @torch.no_grad()
    def judge(
        self, model: Qwen2_5_VLForConditionalGeneration, inputs: PromptInputs
    ) -> torch.Tensor:
        """f32[N], the values of such prompts."""
        return self.read(self.states(model, inputs))

    def trained(self) -> dict[str, nn.Parameter]:
        """By name; with LoRA of the backbone the adapter alone."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def save(self, directory: Path) -> None:
        """`critic.safetensors`, which says whose critic it is."""
        weights = {name: p.detach().cpu().contiguous() for name, p in self.trained().items()}
        save_file(weights, directory / FILE, metadata={"spec": json.dumps(self.spec)})

    def load(self, directory: Path) -> None:
        """ValueError, naming each difference, where the directory holds no critic, or one of
        another backbone, observation or action space; then nothing has changed."""
        path = directory / FILE
        if not path.is_file():
            raise ValueError(
                f"{directory} holds no critic ({FILE}): name a checkpoint of a run with "
                "algorithm:=ppo, or leave critic_from out and a new one learns (critic_warmup)"
            )
        spec, weights = _read(path)
        there = {"history": 0} | spec
        there.setdefault("base", "")  # files that are older than adapters' fingerprints lack it
        here = json.loads(json.dumps(self.spec))
        differences = [
            f"{name} is {there.get(name)!r} there and {here[name]!r} here"
            for name in here
            if there.get(name) != here[name]
        ]
        if not differences and weights.keys() != self.trained().keys():
            differences = ["one of both trains an adapter (lora_rank)"]
        if differences:
            raise ValueError(
                f"the critic {path} is of another backbone or action space: "
                f"{'; '.join(differences)}. Choose the arguments it was trained with, or leave "
                "critic_from out and a new one learns (critic_warmup)"
            )
        self.load_state_dict(weights, strict=False)


def _read(path: Path, weights: bool = True) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Whose critic it is, and its weights, unless they are not asked for."""
    try:
        with safe_open(path, "pt") as file:
            spec = json.loads((file.metadata() or {}).get("spec", "{}"))
            names = file.keys() if weights else ()
            return spec, {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}): name another checkpoint") from error


def load_critic(policy: VlmPolicy, directory: Path) -> Critic:
    """The critic that the directory holds, on whichever backbone. ValueError as `Critic.load`."""
    path = directory / FILE
    spec = _read(path, weights=False)[0] if path.is_file() else {}
    critic = Critic(policy, "separate" if spec.get("critic") == "separate" else "shared")
    critic.load(directory)
    return critic


def size_of(model: Qwen2_5_VLForConditionalGeneration) -> str:
    """What tells one backbone from another."""
    text: Any = model.config.get_text_config()
    vision: Any = model.config.vision_config
    return (
        f"{text.num_hidden_layers} layers of width {text.hidden_size}, vision {vision.depth} of "
        f"width {vision.hidden_size}"
    )
