"""The clipped surrogate of PPO, whatever the advantages.

Shape legend: N observations, S actions of each, T tokens of an action, V symbols.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from rlrobo_policy.tree import log_softmax


class LossTerms(NamedTuple):
    """Means over the tokens that train; `total` is differentiable, the others are detached."""

    total: torch.Tensor
    policy: torch.Tensor
    entropy: torch.Tensor
    kl: torch.Tensor
    """To the reference policy, estimator k3 (Schulman, "Approximating KL divergence", 2020)."""
    approx_kl: torch.Tensor
    """Of the current policy from the behaviour that sampled, the same estimator."""
    clip_fraction: torch.Tensor
    ratio_max: torch.Tensor
    value: torch.Tensor = torch.zeros(())
    """Of the critic, where there is one."""
    value_clip_fraction: torch.Tensor = torch.zeros(())


def k3(log_ratio: torch.Tensor) -> torch.Tensor:
    """exp(x) - 1 - x: an unbiased, never negative estimate of KL(p || q), x = log q - log p."""
    # exp(x) - 1 would be rounded below x for small x.
    return log_ratio.expm1() - log_ratio


def policy_loss(
    logits_NSTV: torch.Tensor,
    index_NST: torch.Tensor,
    behaviour_NST: torch.Tensor,
    advantage_NS: torch.Tensor,
    temperature: float,
    clip_low: float,
    clip_high: float,
    entropy_coef: float,
    kl_coef: float = 0.0,
    reference_NST: torch.Tensor | None = None,
    whole_actions: bool = False,
) -> LossTerms:
    """-min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), r the ratio of a token's probability
    under the current and the behaviour policy (PPO, arXiv 1707.06347, equation 7; separate
    bounds: DAPO, arXiv 2503.14476, section 3.1). Every token weighs the same whatever the
    length of its rollout (DAPO, section 3.3). `whole_actions`: the ratio is that of an action,
    whose log-probability is the sum over its tokens (VLA-RL, arXiv 2505.18719)."""
    logprob_NSTV = log_softmax(logits_NSTV, temperature)
    logprob_NST = logprob_NSTV.gather(-1, index_NST[..., None])[..., 0]
    log_ratio = logprob_NST - behaviour_NST
    if whole_actions:
        log_ratio = log_ratio.sum(-1, keepdim=True)
    ratio = log_ratio.exp()
    advantage = advantage_NS[..., None]
    clipped = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    policy = -torch.minimum(ratio * advantage, clipped * advantage).mean()
    entropy = -(logprob_NSTV.exp() * logprob_NSTV).sum(-1).mean()
    total = policy - entropy_coef * entropy
    kl = torch.zeros(())
    if reference_NST is not None:
        kl = k3(reference_NST - logprob_NST).mean()
        total = total + kl_coef * kl
    is_clipped = (ratio * advantage) > (clipped * advantage)
    return LossTerms(
        total=total,
        policy=policy.detach(),
        entropy=entropy.detach(),
        kl=kl.detach(),
        approx_kl=k3(log_ratio).mean().detach(),
        clip_fraction=is_clipped.float().mean().detach(),
        ratio_max=ratio.max().detach(),
    )


def value_loss(
    value_NS: torch.Tensor, before_NS: torch.Tensor, return_NS: torch.Tensor, clip: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Half the squared error of the critic, and the fraction that was clipped (detached).

    max((V - R)^2, (V_clip - R)^2) / 2, V_clip within `clip` of what the critic said `before`
    the update: what has moved so far is not pulled any further (PPO's own code; arXiv 2005.12729,
    section 3). `clip` 0: not clipped."""
    error = (value_NS - return_NS) ** 2
    if not clip:
        return 0.5 * error.mean(), torch.zeros(())
    clipped = before_NS + (value_NS - before_NS).clamp(-clip, clip)
    clipped_error = (clipped - return_NS) ** 2
    loss = 0.5 * torch.maximum(error, clipped_error).mean()
    return loss, (clipped_error > error).float().mean().detach()
