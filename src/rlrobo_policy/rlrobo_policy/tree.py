"""S actions share one prompt: a tree that is sampled and trained with the same mask.

The sequence of a row is [prompt (P)] [first tokens of the S actions] [second tokens] …; the
last token of an action is never fed back, so L = P + S * (T - 1). A token sees the prompt and
the earlier tokens of its own action. The prompt and its image are encoded once, whatever S.

Shape legend: N rows (prompts), P prompt tokens, S samples of a prompt, T tokens of an action,
L whole sequence, V symbols of the codec.

A prompt that is the beginning of another one's (an earlier turn of the same conversation) is read
there: its actions grow from the column where it ends. R rows then hold N prompts, B of them each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    ask_NA: torch.Tensor
    """i64[N, A], the column that each sample grows from, A = S; or, A = 1, all from one: the
    prompt's last token."""

    def block(self, t: int) -> slice:
        """Columns of the tokens with which the t-th token is predicted: the prompt for t = 0."""
        if t == 0:
            return slice(0, self.prompt_length)
        start = self.prompt_length + (t - 1) * self.samples
        return slice(start, start + self.samples)


def plant(
    inputs: PromptInputs,
    samples: int,
    num_tokens: int,
    dtype: torch.dtype,
    ask_NS: torch.Tensor | None = None,
) -> Tree:
    """The tree of `samples` actions of `num_tokens` tokens over each row; over the columns `ask_NS`
    of its prompt where they do not all answer the last one."""
    rows, prompt_length = inputs.mask_NP.shape
    device = inputs.mask_NP.device
    continued = num_tokens - 1
    columns = torch.arange(prompt_length, device=device)
    last_N1 = torch.where(inputs.mask_NP, columns, -1).amax(-1, keepdim=True)
    ask_NA = last_N1 if ask_NS is None else ask_NS
    ask_NG = ask_NA.expand(-1, samples).repeat(1, continued)
    depth = torch.arange(continued, device=device).repeat_interleave(samples)
    branch = torch.arange(samples, device=device).repeat(continued)
    # A prompt ends with words, whose three positions are the same.
    grown_3N = (inputs.position_3NP[0].gather(1, ask_NG) + 1 + depth).expand(3, rows, -1)

    length = prompt_length + continued * samples
    sees = torch.zeros(rows, length, length, dtype=torch.bool, device=device)
    causal = columns[:, None] >= columns
    sees[:, :prompt_length, :prompt_length] = causal & inputs.mask_NP[:, None, :]
    sees[:, prompt_length:, :prompt_length] = inputs.mask_NP[:, None, :] & (
        columns <= ask_NG[..., None]
    )
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
        ask_NA=ask_NA,
    )


def images_of(model: Qwen2_5_VLForConditionalGeneration, inputs: PromptInputs) -> dict[str, Any]:
    """The prompts' images as the model's forward takes them: pixels, or, where prompts show the
    same ones, each encoded once and put into all its places."""
    if not inputs.shown_I:
        return {"pixel_values": inputs.pixel_QD, "image_grid_thw": inputs.grid_I3}
    encoded: Any = model.model.get_image_features(
        inputs.pixel_QD,
        inputs.grid_I3,  # pyright: ignore[reportArgumentType]
    )
    encoded.pooler_output = [encoded.pooler_output[i] for i in inputs.shown_I]
    return {"mm_encoder_outputs": {"image": encoded}}


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
    if inputs.folded is None:
        return _states(model, inputs, index_NST, token_V)
    row_N, place_N, column_N = inputs.folded
    shape = len(inputs.token_NP), int(place_N.max()) + 1
    index_RBST = index_NST.new_zeros(*shape, *index_NST.shape[1:])
    ask_RB = index_NST.new_zeros(shape)
    index_RBST[row_N, place_N], ask_RB[row_N, place_N] = index_NST, column_N
    samples = index_NST.shape[1]
    state_RATH = _states(
        model, inputs, index_RBST.flatten(1, 2), token_V, ask_RB.repeat_interleave(samples, dim=1)
    )
    return state_RATH.unflatten(1, (-1, samples))[row_N, place_N]


def _states(
    model: Qwen2_5_VLForConditionalGeneration,
    inputs: PromptInputs,
    index_NST: torch.Tensor,
    token_V: torch.Tensor,
    ask_NS: torch.Tensor | None = None,
) -> torch.Tensor:
    """[N, S, T, H] of N rows."""
    rows, samples, num_tokens = index_NST.shape
    tree = plant(inputs, samples, num_tokens, model.dtype, ask_NS)
    grown_NL = token_V[index_NST[:, :, :-1]].transpose(1, 2).reshape(rows, -1)
    hidden_NLH = model.model(
        input_ids=torch.cat([inputs.token_NP, grown_NL], dim=1),
        position_ids=tree.position_3NL,
        attention_mask={"full_attention": tree.mask_N1LL},
        use_cache=False,
        **images_of(model, inputs),
    ).last_hidden_state
    row_N1 = torch.arange(rows, device=hidden_NLH.device)[:, None]
    first_NSH = hidden_NLH[row_N1, tree.ask_NA].expand(-1, samples, -1)
    rest_NTSH = hidden_NLH[:, tree.prompt_length :].unflatten(1, (num_tokens - 1, samples))
    return torch.cat([first_NSH[:, :, None], rest_NTSH.transpose(1, 2)], dim=2)


def prompt_states(
    model: Qwen2_5_VLForConditionalGeneration, inputs: PromptInputs, token_V: torch.Tensor
) -> torch.Tensor:
    """[N, H], the last hidden state of each prompt's last token, without any action."""
    unsaid_N11 = torch.zeros(len(inputs), 1, 1, dtype=torch.long, device=model.device)
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
    tokens, images = inputs.token_NP, images_of(model, inputs)
    indices, logprobs = [], []
    for t in range(num_tokens):
        block = tree.block(t)
        hidden = model.model(
            input_ids=tokens,
            position_ids=tree.position_3NL[:, :, block],
            attention_mask={"full_attention": tree.mask_N1LL[:, :, block]},
            past_key_values=cache,
            use_cache=True,
            **images,
        ).last_hidden_state
        if t == 0:
            row_N1 = torch.arange(rows, device=hidden.device)[:, None]
            hidden = hidden[row_N1, tree.ask_NA].expand(-1, samples, -1)
        logprob_NSV = log_softmax(symbol_logits(model, hidden, token_V), temperature)
        index_NS = choose(logprob_NSV, uniform_NST[:, :, t], temperature)
        indices.append(index_NS)
        logprobs.append(logprob_NSV.gather(-1, index_NS[..., None])[..., 0])
        tokens, images = token_V[index_NS], {}
    return torch.stack(indices, -1), torch.stack(logprobs, -1)


def choose(logprob_NSV: torch.Tensor, uniform_NS: torch.Tensor, temperature: float) -> torch.Tensor:
    """i64[N, S]: the most likely symbol at temperature 0, else inverse-CDF sampling."""
    if temperature == 0:
        return logprob_NSV.argmax(-1)
    cdf_NSV = logprob_NSV.exp().cumsum(-1)
    cdf_NSV = cdf_NSV / cdf_NSV[..., -1:]
    below = (cdf_NSV <= uniform_NS[..., None]).sum(-1)
    return below.clamp(max=logprob_NSV.shape[-1] - 1)
