"""The policy's own opinion: what best-of-N gains where nobody knows more than the policy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rlrobo_policy.policy import VlmPolicy
from rlrobo_policy.search.candidates import Candidates
from rlrobo_policy.tree import action_logits, log_softmax


@dataclass(frozen=True)
class Likelihood:
    """The log-probability of the whole action at temperature 1. Not always highest for the most
    likely tokens, one by one: a likely beginning may have many unlikely ends."""

    policy: VlmPolicy

    @torch.no_grad()
    def score(self, candidates: Candidates) -> NDArray[np.float32]:
        policy, obs = self.policy, candidates.observations
        text_N = policy.prompts(obs.instruction_N, obs.ee_pose_N, obs.gripper_width_N)
        inputs = policy.encode_prompts(obs.image_NC, text_N).to(policy.device)
        index_NST = torch.from_numpy(policy.symbols(candidates.token_NST)).to(policy.device)
        logits = action_logits(policy.vlm.model, inputs, index_NST, policy.token_V)
        logprob_NST = log_softmax(logits, 1.0).gather(-1, index_NST[..., None])[..., 0]
        return logprob_NST.sum(-1).cpu().numpy()
