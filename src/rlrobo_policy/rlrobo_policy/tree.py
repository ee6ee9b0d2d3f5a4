"""S actions share one prompt: a tree that is sampled and trained with the same mask.

The sequence of a row is [prompt (P)] [first tokens of the S actions] [second tokens] …; the
last token of an action is never fed back, so L = P + S * (T - 1). A token sees the prompt and
the earlier tokens of its own action. The prompt and its image are encoded once, whatever S.

Shape legend: N rows (prompts), P prompt tokens, S samples of a prompt, T tokens of an action,
L whole sequence, V symbols of the codec.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import Qwen2_5_VLForConditionalGeneration, StaticCache

from rlrobo_policy.inputs import PromptInputs


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Positions and mask of N trees; the block of prompt or of t-th tokens is a slice of both."""

    samples: int
    prompt_length: int
    position_3NL: torch.Tensor
    mask_N1LL: torch.Tensor
    """f32[N, 1, L, L], 0 where a query (row) may see a key (column), else the lowest float."""
    last_N: torch.Tensor
    """i64[N], column of each prompt's last token."""

    def block(self, t: int) -> slice:
        """Columns of the tokens with which the t-th token is predicted: the prompt for t = 0."""
        if t == 0:
            return slice(0, self.prompt_length)
        start = self.prompt_length + (t - 1) * self.samples
        return slice(start, start + self.samples)


def plant(inputs: PromptInputs, samples: int, num_tokens: int, dtype: torch.dtype) -> Tree:
    """The tree of `samples` actions of `num_tokens` tokens over each prompt."""
    rows, prompt_length = inputs.mask_NP.shape
    device = inputs.mask_NP.device
    continued = num_tokens - 1
    columns = torch.arange(prompt_length, device=device)
    last_N = torch.where(inputs.mask_NP, columns, -1).amax(-1)
    after_N = inputs.position_3NP.amax(dim=(0, 2)) + 1
    depth = torch.arange(continued, device=device).repeat_interleave(samples)
    branch = torch.arange(samples, device=device).repeat(continued)
    grown_3N = (after_N[:, None] + depth).expand(3, rows, -1)

    length = prompt_length + continued * samples
    sees = torch.zeros(rows, length, length, dtype=torch.bool, device=device)
    causal = columns[:, None] >= columns
    sees[:, :prompt_length, :prompt_length] = causal & inputs.mask_NP[:, None, :]
    sees[:, prompt_length:, :prompt_length] = inputs.mask_NP[:, None, :]
    sees[:, prompt_length:, prompt_length:] = (branch[:, None] == branch) & (
        depth[:, None] >= depth
    )
    sees |= torch.eye(length, dtype=torch.bool, device=device)  # padding sees itself: no NaN
    mask = torch.zeros(sees.shape, dtype=dtype, device=device)
    mask.masked_fill_(~sees, torch.finfo(dtype).min)
    return Tree(
        samples=samples,
        prompt_length=prompt_length,
        position_3NL=torch.cat([inputs.position_3NP, grown_3N], dim=-1),
        mask_N1LL=mask[:, None],
        last_N=last_N,
    )


def symbol_logits(
    model: Qwen2_5_VLForConditionalGeneration, hidden: torch.Tensor, token_V: torch.Tensor
) -> torch.Tensor:
    """f32[..., V], logits of the codec's symbols alone: the others are never allowed."""
    return F.linear(hidden, model.lm_head.weight[token_V]).float()


def action_logits(
    model: Qwen2_5_VLForConditionalGeneration,
    inputs: PromptInputs,
    index_NST: torch.Tensor,
    token_V: torch.Tensor,
) -> torch.Tensor:
    """f32[N, S, T, V], logits of every token of given actions in one pass (teacher forcing).

    `index_NST` are symbols of the codec, `token_V` their token ids."""
    return symbol_logits(model, action_states(model, inputs, index_NST, token_V), token_V)


def action_states(
    model: Qwen2_5_VLForConditionalGeneration,
    inputs: PromptInputs,
    index_NST: torch.Tensor,
    token_V: torch.Tensor,
) -> torch.Tensor:
    """[N, S, T, H], the last hidden state from which each token of given actions is predicted.
    That of the first token, [:, :, 0], is the prompt's last and the same for all S."""
    rows, samples, num_tokens = index_NST.shape
    tree = plant(inputs, samples, num_tokens, model.dtype)
    grown_NL = token_V[index_NST[:, :, :-1]].transpose(1, 2).reshape(rows, -1)
    hidden_NLH = model.model(
        input_ids=torch.cat([inputs.token_NP, grown_NL], dim=1),
        pixel_values=inputs.pixel_QD,
        image_grid_thw=inputs.grid_I3,
        position_ids=tree.position_3NL,
        attention_mask={"full_attention": tree.mask_N1LL},
        use_cache=False,
    ).last_hidden_state
    first_NH = hidden_NLH[torch.arange(rows, device=hidden_NLH.device), tree.last_N]
    rest_NTSH = hidden_NLH[:, tree.prompt_length :].unflatten(1, (num_tokens - 1, samples))
    return torch.cat(
        [first_NH[:, None, None].expand(-1, samples, 1, -1), rest_NTSH.transpose(1, 2)], dim=2
    )


def prompt_states(
    model: Qwen2_5_VLForConditionalGeneration, inputs: PromptInputs, token_V: torch.Tensor
) -> torch.Tensor:
    """[N, H], the last hidden state of each prompt's last token, without any action."""
    unsaid_N11 = torch.zeros(len(inputs.token_NP), 1, 1, dtype=torch.long, device=model.device)
    return action_states(model, inputs, unsaid_N11, token_V)[:, 0, 0]


def log_softmax(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """The one definition of a log-probability: behaviour policy and trainer both use it.
    `temperature` 0 (the most likely action) is scored at temperature 1."""
    return torch.log_softmax(logits / (temperature or 1.0), dim=-1)


@torch.no_grad()
def sample_actions(
    model: Qwen2_5_VLForConditionalGeneration,
    inputs: PromptInputs,
    token_V: torch.Tensor,
    uniform_NST: torch.Tensor,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(index i64[N, S, T], logprob f32[N, S, T]): S actions for every prompt.

    The prompt fills a static key-value cache once; each step then decodes the S next tokens
    of every row. `uniform_NST` in [0, 1) are the random numbers, drawn by inverse CDF, so that
    the caller's seed alone decides; temperature 0 takes the most likely token."""
    rows, samples, num_tokens = uniform_NST.shape
    tree = plant(inputs, samples, num_tokens, model.dtype)
    text_config = model.config.get_text_config()
    cache = StaticCache(config=text_config, max_cache_len=tree.mask_N1LL.shape[-1])
    tokens, images = inputs.token_NP, (inputs.pixel_QD, inputs.grid_I3)
    indices, logprobs = [], []
    for t in range(num_tokens):
        block = tree.block(t)
        hidden = model.model(
            input_ids=tokens,
            pixel_values=images[0],
            image_grid_thw=images[1],
            position_ids=tree.position_3NL[:, :, block],
            attention_mask={"full_attention": tree.mask_N1LL[:, :, block]},
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        if t == 0:
            hidden = hidden[torch.arange(rows, device=hidden.device), tree.last_N][:, None]
            hidden = hidden.expand(-1, samples, -1)
        logprob_NSV = log_softmax(symbol_logits(model, hidden, token_V), temperature)
        index_NS = choose(logprob_NSV, uniform_NST[:, :, t], temperature)
        indices.append(index_NS)
        logprobs.append(logprob_NSV.gather(-1, index_NS[..., None])[..., 0])
        tokens, images = token_V[index_NS], (None, None)
    return torch.stack(indices, -1), torch.stack(logprobs, -1)


def choose(logprob_NSV: torch.Tensor, uniform_NS: torch.Tensor, temperature: float) -> torch.Tensor:
    """i64[N, S]: the most likely symbol at temperature 0, else inverse-CDF sampling."""
    if temperature == 0:
        return logprob_NSV.argmax(-1)
    cdf_NSV = logprob_NSV.exp().cumsum(-1)
    cdf_NSV = cdf_NSV / cdf_NSV[..., -1:]
    below = (cdf_NSV <= uniform_NS[..., None]).sum(-1)
    return below.clamp(max=logprob_NSV.shape[-1] - 1)
