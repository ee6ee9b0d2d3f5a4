"""The process reward model: a VLM of the policy's class that is asked, observation by observation,
whether the robot is on its way, and answers with a token. Its score is p(yes) / (p(yes) + p(no)).

It is told how far the gripper has come in the last steps, for progress is a change: what that is
worth, and how well it tells, stands in docs/vla_rl.md.

On disk it is a checkpoint like a policy's, and a card beside it: `process_reward.json`.
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

from rlrobo_core.prompt import YES_NO, progress_question
from rlrobo_core.task_set import Senses, widest_task
from rlrobo_core.tasks import Task
from rlrobo_core.types import ObservationBatch, ScoreBatch
from rlrobo_policy.conversation import speakers
from rlrobo_policy.critic import size_of
from rlrobo_policy.policy import VlmPolicy, load_policy
from rlrobo_policy.spec import PolicySpec
from rlrobo_policy.tree import prompt_states, symbol_logits
from rlrobo_policy.vocabulary import word_token_ids

CARD = "process_reward.json"
MEMORY = 8
"""Control steps in which the gripper has come as far as the model is told: most of a second."""
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
    for another task, observation or action space, or on another backbone (None: any)."""
    card, made_for = Card.load(directory), PolicySpec.load(directory)
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
    """Scores observations. The policy that it is made from lends weights, prompts and spaces."""

    def __init__(self, policy: VlmPolicy):
        self.policy = policy
        self.token_V = word_token_ids(policy.vlm, YES_NO).to(policy.device)
        self._sequence = 0
        self._request_id = -1
        self._tracks: dict[tuple[int, int], dict[int, NDArray[np.float32]]] = {}
        """(group, rollout) -> step -> where the gripper was, of the last steps of those that the
        newest batch asks of: after a parting, of the one that was gone on with [m]."""

    def score(self, batch: ObservationBatch) -> ScoreBatch:
        """Of the rows of this batch, those of rollouts that were cut off included. A row is left
        out, and so has no score, where an earlier batch of its rollout never came."""
        obs, way_N = batch.observations, self._ways(batch)
        rows = np.array([n for n, way in enumerate(way_N) if way is not None], np.int64)
        score_N = self.judge(
            obs.image_NC[rows],
            [obs.instruction_N[row] for row in rows],
            obs.ee_pose_N[rows],
            obs.gripper_width_N[rows],
            np.array([way_N[row] for row in rows], np.float32),
        )
        self._sequence += 1
        return ScoreBatch(
            sequence=self._sequence,
            request_id=batch.request.request_id,
            group_N=obs.group_N[rows],
            rollout_N=obs.rollout_N[rows],
            step_N=obs.step_N[rows],
            score_N=score_N,
        )

    def _ways(self, batch: ObservationBatch) -> list[float | None]:
        """How far the gripper has come, row by row [m]; None where it is not known."""
        if batch.request.request_id != self._request_id:
            self._request_id, self._tracks = batch.request.request_id, {}
        obs, ways = batch.observations, []
        tracks: dict[tuple[int, int], dict[int, NDArray[np.float32]]] = {}
        ids = zip(obs.group_N.tolist(), speakers(batch).tolist(), obs.step_N.tolist(), strict=True)
        for n, (group, rollout, step) in enumerate(ids):
            here, before = obs.ee_pose_N[n, :3].copy(), self._tracks.get((group, rollout), {})
            track = {t: place for t, place in before.items() if t >= step - MEMORY} | {step: here}
            for member in range(obs.rollout_N[n], obs.rollout_N[n] + obs.samples_N[n]):
                tracks[group, member] = track
            then = track.get(max(step - MEMORY, 0))
            ways.append(None if then is None else float(np.linalg.norm(here - then)))
        self._tracks = tracks
        return ways

    @torch.no_grad()
    def judge(
        self,
        image_NC: NDArray[np.uint8],
        instruction_N: Sequence[str],
        ee_pose_N: NDArray[np.float32],
        gripper_width_N: NDArray[np.float32],
        way_N: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """f32[N] in [0, 1]. `way_N`: how far the gripper came in the last `MEMORY` steps [m]."""
        text_N = questions(self.policy, instruction_N, ee_pose_N, gripper_width_N, way_N)
        score_N, model = np.zeros(len(text_N), np.float32), self.policy.vlm.model
        for first in range(0, len(text_N), BATCH):
            rows = slice(first, first + BATCH)
            inputs = self.policy.encode_prompts(image_NC[rows], text_N[rows])
            state_NH = prompt_states(model, inputs.to(self.policy.device), self.token_V)
            logit_NV = symbol_logits(model, state_NH, self.token_V)
            score_N[rows] = torch.softmax(logit_NV, -1)[:, YES_NO.index("yes")].cpu().numpy()
        return score_N

    def save(self, directory: Path, card: Card) -> None:
        directory.mkdir(parents=True, exist_ok=True)
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


def questions(
    policy: VlmPolicy,
    instruction_N: Sequence[str],
    ee_pose_N: NDArray[np.float32],
    gripper_width_N: NDArray[np.float32],
    way_N: NDArray[np.float32],
) -> tuple[str, ...]:
    """The words beside the images: who learns and who judges ask here, and so read the same."""
    asked_N = [progress_question(*it) for it in zip(instruction_N, way_N.tolist(), strict=True)]
    return policy.prompts(asked_N, ee_pose_N, gripper_width_N)


def ways(position_L3: NDArray[np.float32]) -> NDArray[np.float32]:
    """f32[L], how far it has come at each step in the last `MEMORY`, or since it began [m]."""
    then_L = np.maximum(np.arange(len(position_L3)) - MEMORY, 0)
    return np.linalg.norm(position_L3 - position_L3[then_L], axis=-1)


def backbone_of(policy: VlmPolicy) -> str:
    return size_of(policy.vlm.model)
