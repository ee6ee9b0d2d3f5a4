"""The process reward model: a VLM of the policy's class, fine-tuned to say how far it is.

Asked "how far is it ?" beside the policy's own images, instruction and posture, it answers with a
digit, and the score is the digit that it expects, from 0 to 1: a number that grows along the way.
What that is worth, and how well it tells, stands in docs/vla_rl.md.

On disk it is a checkpoint like a policy's with a card beside it (`process_reward.json`).

Shape legend: N observations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlrobo_core.prompt import progress_question
from rlrobo_core.task_set import Senses, widest_task
from rlrobo_core.tasks import Task
from rlrobo_core.types import ObservationBatch, Observations, ScoreBatch
from rlrobo_policy.critic import size_of
from rlrobo_policy.policy import VlmPolicy, load_policy
from rlrobo_policy.spec import PolicySpec
from rlrobo_policy.tree import prompt_states, symbol_logits
from rlrobo_policy.vocabulary import word_token_ids

CARD = "process_reward.json"
OLD_HEAD = "process_reward.safetensors"
"""Stands beside models of before, which were a head on a frozen VLM and cannot answer in digits."""
DIGITS = tuple("0123456789")
"""Words of any VLM's language; each is one token."""
BATCH = 64
"""Observations of one forward pass: bounds memory, changes nothing else."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a process reward model was made for, and how well it tells."""

    tasks: tuple[str, ...]
    backbone: str
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    """task -> what was measured on held-out trajectories."""
    config: dict[str, Any] = field(default_factory=dict)

    def save(self, directory: Path) -> None:
        text = json.dumps(asdict(self), indent=2, default=str)
        (directory / CARD).write_text(text + "\n")

    @staticmethod
    def load(directory: Path) -> Card:
        """ValueError where the directory holds no process reward model."""
        try:
            values = json.loads((directory / CARD).read_text())
            return Card(**(values | {"tasks": tuple(values["tasks"])}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{directory} holds no process reward model ({CARD}): make one with `./rlrobo run "
                "rlrobo_train process_reward --task … --out DIRECTORY`, or leave process_reward out"
            ) from error


def check_fits(
    directory: Path, tasks: Iterable[str], spec: PolicySpec, backbone: str | None = None
) -> None:
    """ValueError, which names what differs and the cure, where the model in the directory was made
    for another task, observation or action space, on another backbone (None: any), or is of the
    form before."""
    card, made_for = Card.load(directory), PolicySpec.load(directory)
    if (directory / OLD_HEAD).exists():
        raise ValueError(
            f"process_reward:={directory} is of the form before ({OLD_HEAD}): make it anew with "
            f"--task {','.join(card.tasks)}"
        )
    if missing := [task for task in tasks if task not in card.tasks]:
        raise ValueError(
            f"process_reward:={directory} was made for {', '.join(card.tasks)}, not for "
            f"{', '.join(missing)}: make one with --task {','.join(tasks)}"
        )
    if made_for is None:
        raise ValueError(f"process_reward:={directory} does not say what it sees: make it anew")
    replace(spec, history=0).check(made_for, str(directory))  # it judges one observation
    if backbone and card.backbone != backbone:
        raise ValueError(
            f"process_reward:={directory} has another backbone than the policy, {card.backbone} "
            f"there and {backbone} here: make one with --model set to the policy's checkpoint"
        )


class ProcessReward:
    """Scores observations. The policy that it is made from lends eyes, prompts and spaces."""

    def __init__(self, policy: VlmPolicy):
        self.policy = policy
        self.digit_V = word_token_ids(policy.vlm, DIGITS).to(policy.device)
        self._sequence = 0

    def score(self, batch: ObservationBatch) -> ScoreBatch:
        """Of the rows of this batch, those of rollouts that were cut off included."""
        obs = batch.observations
        self._sequence += 1
        return ScoreBatch(
            sequence=self._sequence,
            request_id=batch.request.request_id,
            group_N=obs.group_N,
            rollout_N=obs.rollout_N,
            step_N=obs.step_N,
            score_N=self.values(obs),
        )

    def values(self, obs: Observations) -> NDArray[np.float32]:
        """f32[N], the score of each."""
        return self.judge(obs.image_NC, obs.instruction_N, obs.ee_pose_N, obs.gripper_width_N)

    @torch.no_grad()
    def judge(
        self,
        image_NC: NDArray[np.uint8],
        instruction_N: Sequence[str],
        ee_pose_N: NDArray[np.float32],
        gripper_width_N: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """f32[N] in [0, 1]."""
        model, policy = self.policy.vlm.model, self.policy
        text_N = self.questions(instruction_N, ee_pose_N, gripper_width_N)
        level_V = torch.linspace(0.0, 1.0, len(DIGITS), device=policy.device)
        score_N = np.zeros(len(text_N), np.float32)
        for first in range(0, len(text_N), BATCH):
            rows = slice(first, first + BATCH)
            inputs = policy.encode_prompts(image_NC[rows], text_N[rows]).to(policy.device)
            state_NH = prompt_states(model, inputs, self.digit_V)
            chance_NV = symbol_logits(model, state_NH, self.digit_V).softmax(-1)
            score_N[rows] = (chance_NV @ level_V).cpu().numpy()
        return score_N

    def questions(
        self,
        instruction_N: Sequence[str],
        ee_pose_N: NDArray[np.float32],
        gripper_width_N: NDArray[np.float32],
    ) -> tuple[str, ...]:
        """The words beside the images: who learns and who judges ask here, and so read the same."""
        asked_N = tuple(map(progress_question, instruction_N))
        return self.policy.prompts(asked_N, ee_pose_N, gripper_width_N)

    def save(self, directory: Path, card: Card) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / OLD_HEAD).unlink(missing_ok=True)
        self.policy.save(directory)
        card.save(directory)


def load_process_reward(
    directory: Path,
    tasks: Mapping[str, Task],
    codec: str,
    senses: Senses,
    image_size: int,
    device: str = "cpu",
) -> ProcessReward:
    """The model in the directory, for these tasks as they are seen. ValueError as `check_fits`."""
    task, (cameras, told) = widest_task(tasks.values()), senses
    check_fits(directory, tasks, PolicySpec.of(task, codec, cameras, image_size, told))
    return ProcessReward(
        load_policy(
            str(directory),
            task,
            codec,
            cameras,
            image_size,
            device=device,
            proprioception=told,
            others=tasks.values(),
        )
    )


def backbone_of(policy: VlmPolicy) -> str:
    return size_of(policy.vlm.model)
