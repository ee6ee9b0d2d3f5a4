"""An episode as a conversation: read in one pass it says what it says turn by turn, and what the
stock model says; and a policy never answers to another past than the recorded one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import Qwen2_5_VLForConditionalGeneration

from rlrobo_core.tasks import make_task
from rlrobo_core.types import NO_ACTION, ObservationBatch, PolicyUpdate
from rlrobo_policy.inputs import Past, PromptEncoder, PromptInputs, Turn
from rlrobo_policy.policy import VlmPolicy, load_policy
from rlrobo_policy.robot.readings import Readings, Stamped
from rlrobo_policy.tiny import save_tiny
from rlrobo_policy.tree import action_logits, log_softmax, sample_actions
from rlrobo_policy.vlm import Vlm, load_vlm
from rlrobo_policy.vocabulary import new_token_ids

TURNS, SAMPLES, TOKENS, SYMBOLS = 6, 2, 3, 17
TEXTS = tuple(f"reach the green ball. gripper up {n}.5" for n in (3, 12, 7, 88, 9, 10))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"), seed=1)


@pytest.fixture(scope="module")
def vlm(checkpoint: Path) -> Vlm:
    torch.set_num_threads(1)
    return load_vlm(str(checkpoint))


@pytest.fixture(scope="module")
def token_V(vlm: Vlm) -> torch.Tensor:
    return new_token_ids(vlm, 64, SYMBOLS)


def images(cameras: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (TURNS, cameras, 112, 112, 3), dtype=np.uint8)


def pasts(token_LT: np.ndarray, history: int, cameras: int = 1) -> list[Past]:
    """Of every turn of one episode the turns before it that its prompt tells."""
    turns = [Turn(*it) for it in zip(images(cameras), TEXTS, token_LT, strict=True)]
    return [tuple(turns[max(0, t - history) : t]) for t in range(TURNS)]


def said(token_V: torch.Tensor) -> np.ndarray:
    return token_V[
        torch.from_numpy(np.random.default_rng(3).integers(SYMBOLS, size=(TURNS, 3)))
    ].numpy()


def packed(vlm: Vlm, token_V: torch.Tensor, history: int, cameras: int = 1) -> PromptInputs:
    past_N = pasts(said(token_V), history, cameras)
    return PromptEncoder(vlm)(images(cameras), TEXTS, past_N, fold=True)


def logprobs(logits: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return log_softmax(logits, 1.0).gather(-1, index[..., None])[..., 0]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("cameras", [1, 2])
@pytest.mark.parametrize("history", [0, 1, 3, 99])
def test_one_pass_over_an_episode_is_turn_by_turn_decoding(
    vlm: Vlm, token_V: torch.Tensor, history: int, cameras: int, side: str
) -> None:
    encode, past_N = PromptEncoder(vlm, side), pasts(said(token_V), history, cameras)  # pyright: ignore
    uniform = torch.from_numpy(np.random.default_rng(0).random((TURNS, SAMPLES, TOKENS)))
    answers = [
        sample_actions(
            vlm.model,
            encode(images(cameras)[t : t + 1], TEXTS[t : t + 1], past_N[t : t + 1]),
            token_V,
            uniform[t : t + 1],
            1.0,
        )
        for t in range(TURNS)
    ]
    index_NST, turn_by_turn = (torch.cat(it) for it in zip(*answers, strict=True))
    inputs = encode(images(cameras), TEXTS, past_N, fold=True)
    with torch.no_grad():
        at_once = logprobs(action_logits(vlm.model, inputs, index_NST, token_V), index_NST)
    assert (at_once - turn_by_turn).abs().max() < 1e-5
    # The first turns, which all begin with the episode, are one row; every image is there once.
    assert len(inputs.token_NP) == max(1, TURNS - history)
    assert len(inputs.grid_I3) == TURNS * cameras


def test_another_past_is_another_action(vlm: Vlm, token_V: torch.Tensor) -> None:
    index = torch.zeros(TURNS, 1, TOKENS, dtype=torch.long)
    with torch.no_grad():
        one, two = (
            action_logits(vlm.model, packed(vlm, token_V, history), index, token_V)
            for history in (1, 2)
        )
    assert (one[:2] - two[:2]).abs().max() < 1e-4
    assert ((one[2:] - two[2:]).abs().amax(dim=(1, 2, 3)) > 1e-3).all()


def test_the_logprob_of_an_action_is_the_sum_over_its_tokens(
    vlm: Vlm, checkpoint: Path, token_V: torch.Tensor
) -> None:
    """By the stock model, which reads the whole conversation and knows nothing of ours."""
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    past_N = pasts(said(token_V), 2)
    inputs = PromptEncoder(vlm)(images()[-1:], TEXTS[-1:], past_N[-1:])
    uniform = torch.from_numpy(np.random.default_rng(1).random((1, 1, TOKENS)))
    index, behaviour = sample_actions(vlm.model, inputs, token_V, uniform, 1.0)
    action = token_V[index[0, 0]]
    likelihood = torch.zeros(())
    for t in range(TOKENS):
        ids = torch.cat([inputs.token_NP[0], action[:t]])[None]
        with torch.no_grad():
            logits = stock(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=inputs.pixel_QD,
                image_grid_thw=inputs.grid_I3,
                mm_token_type_ids=(ids == stock.config.image_token_id).int(),
            ).logits[0, -1, token_V]
        likelihood = likelihood + torch.log_softmax(logits, -1)[index[0, 0, t]]
    assert float(behaviour.sum()) == pytest.approx(float(likelihood), abs=3e-5)


@pytest.mark.parametrize("history", [0, 1, 99])
def test_only_the_tokens_of_actions_are_learned_from(
    vlm: Vlm, token_V: torch.Tensor, history: int
) -> None:
    """The gradient of the loss reaches those outputs that predict a token of an action that was
    asked for, and no other: neither words nor images, nor the actions that are told again."""
    states: list[torch.Tensor] = []

    def keep(_module, _inputs, output) -> None:
        output.last_hidden_state.retain_grad()
        states.append(output.last_hidden_state)

    inputs = packed(vlm, token_V, history)
    asked_N = torch.tensor([0, 2, 5])  # the turns whose actions are in the batch
    index = torch.zeros(TURNS, 1, TOKENS, dtype=torch.long)
    hook = vlm.model.model.register_forward_hook(keep)
    logits = action_logits(vlm.model, inputs, index, token_V)
    hook.remove()
    logprobs(logits, index)[asked_N].sum().backward()
    vlm.model.zero_grad()
    assert states[0].grad is not None
    reached = states[0].grad.abs().amax(-1) > 0
    assert int(reached.sum()) == len(asked_N) * TOKENS
    prompt = inputs.token_NP
    ends = torch.where(reached[:, : prompt.shape[1]])
    after = PromptEncoder(vlm)._frame(images()).after  # what an action follows
    for row, column in zip(*ends, strict=True):
        assert prompt[row, column - len(after) + 1 : column + 1].tolist() == after.tolist()
    assert len(ends[0]) == len(asked_N)


def test_turns_are_the_chat_templates(vlm: Vlm) -> None:
    """With words for actions, which a template can say."""
    words = ("left up", "right", "down down down")
    turns = []
    for text, action in zip(TEXTS[:3], words, strict=True):
        content = [{"type": "image"}, {"type": "text", "text": text}]
        turns += [{"role": "user", "content": content}]
        turns += [{"role": "assistant", "content": [{"type": "text", "text": action}]}]
    chat = vlm.tokenizer.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True)
    whole = vlm.tokenizer.encode(str(chat), add_special_tokens=False)
    small_NC = images()[:3, :, :56, :56]  # an image is one token
    encode = PromptEncoder(vlm)
    past = tuple(
        Turn(image_C, text, encode.tokenise(action))
        for image_C, text, action in zip(small_NC, TEXTS, words[:2], strict=False)
    )
    inputs = encode(small_NC[2:], TEXTS[2:3], [past])
    assert inputs.token_NP.tolist() == [whole]
    assert encode.length(small_NC[2:], TEXTS[0], 2, past=0) < len(whole)


@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_of_several_turns_are_the_models(
    vlm: Vlm, token_V: torch.Tensor, side: str
) -> None:
    past_N = pasts(said(token_V), 3)
    inputs = PromptEncoder(vlm, side)(images(), TEXTS, past_N)  # pyright: ignore
    stock, _ = vlm.model.model.get_rope_index(
        inputs.token_NP,
        mm_token_type_ids=(inputs.token_NP == vlm.model.config.image_token_id).int(),
        image_grid_thw=inputs.grid_I3[list(inputs.shown_I)],
        attention_mask=inputs.mask_NP.long(),
    )
    assert torch.equal(stock[:, inputs.mask_NP], inputs.position_3NP[:, inputs.mask_NP])


def test_the_length_of_a_prompt_is_foreseen(vlm: Vlm, token_V: torch.Tensor) -> None:
    encode = PromptEncoder(vlm)
    past_N = pasts(said(token_V), 2)
    inputs = encode(images()[-1:], TEXTS[-1:], past_N[-1:])
    foreseen = encode.length(images()[-1:], TEXTS[-1], TOKENS, past=2)
    assert foreseen == inputs.token_NP.shape[1] + TOKENS


# ---------------------------------------------------------------- what a policy with one refuses


def reader(history: int, model: str = "tiny", **options: Any) -> VlmPolicy:
    return load_policy(model, make_task("reach"), history=history, **options)


def test_a_checkpoint_knows_its_history(tmp_path: Path) -> None:
    reader(2).save(tmp_path)
    assert reader(2, str(tmp_path)).spec.history == 2
    for history in (0, 1, 3):
        with pytest.raises(ValueError, match=rf"history is 2 there and {history} here"):
            reader(history, str(tmp_path), to_train=True)


def test_single_turns_may_go_on_to_several_but_only_by_training(tmp_path: Path) -> None:
    reader(0).save(tmp_path)
    assert reader(2, str(tmp_path), to_train=True).spec.history == 2
    with pytest.raises(ValueError, match=r"history is 0 there and 2 here"):
        reader(2, str(tmp_path))


def test_weights_of_another_history_are_not_taken_up(tmp_path: Path) -> None:
    there = reader(1)
    weights = {n: p.detach().clone() for n, p in there.vlm.model.named_parameters()}
    save_file(weights, tmp_path / "w", metadata={"spec": there.spec.to_json()})
    with pytest.raises(ValueError, match=r"history is 1 there and 0 here"):
        reader(0).load_weights(PolicyUpdate(1, str(tmp_path / "w")))


def test_a_history_beyond_the_context_is_refused_with_the_longest_that_fits() -> None:
    with pytest.raises(ValueError, match=r"history:=500 is longer than.*of 2048.*at most") as told:
        reader(500, proprioception=True)
    longest = int(str(told.value).rsplit("history:=", 1)[1].split(",")[0])
    assert reader(longest, proprioception=True).spec.history == longest
    with pytest.raises(ValueError, match="longer than the model's context"):
        reader(longest + 1, proprioception=True)


def test_a_robots_new_episode_is_a_new_conversation() -> None:
    policy = reader(2)
    first = [policy.act(robots(step)) for step in range(3)]
    assert all(actions.said_M.all() for actions in first)
    again = policy.act(robots(0, episode=1))
    np.testing.assert_array_equal(again.logprob_MT, first[0].logprob_MT)
    assert (policy.act(robots(1, episode=1)).token_MT != NO_ACTION).all()
    # The first episode is over: it is not known any more.
    assert (policy.act(robots(3)).token_MT == NO_ACTION).all()


def test_a_robot_that_began_elsewhere_gets_no_action() -> None:
    policy = reader(1)
    assert (policy.act(robots(5)).token_MT == NO_ACTION).all()
    assert (policy.act(robots(0)).token_MT != NO_ACTION).all()


def robots(step: int, episode: int = 0) -> ObservationBatch:
    readings = Readings(("front",), 112, 1.0, instruction="reach the green ball")
    image = np.random.default_rng(step).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    readings.images["front"] = Stamped(image, 0.0)
    readings.ee_pose = Stamped(np.float32([0.5, 0.0, 0.2, 1, 0, 0, 0]), 0.0)
    readings.gripper_width = Stamped(0.04, 0.0)
    return readings.observe("reach", episode, step, seed=0)
