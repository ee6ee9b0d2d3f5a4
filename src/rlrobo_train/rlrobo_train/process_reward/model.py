"""The process reward model: a small head on a frozen VLM of the policy's class, which says of an
observation how likely the rollout is on its way to success.

Of a moment it knows what the VLM makes of image and instruction (the last hidden state of the
policy's own prompt), where the gripper is and how far it is open. It reads the present moment and
how it differs from the one `MEMORY` steps ago, for progress is a change. What that is worth, and
how well it tells, stands in docs/vla_rl.md.

On disk it is a checkpoint like a policy's, with two files beside it: the head
(`process_reward.safetensors`) and a card (`process_reward.json`).

Shape legend: N observations, L steps of a trajectory, P numbers of a moment.
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

from rlrobo_core.task_set import Senses, widest_task
from rlrobo_core.tasks import Task
from rlrobo_core.types import ObservationBatch, ScoreBatch
from rlrobo_policy.conversation import speakers
from rlrobo_policy.critic import size_of
from rlrobo_policy.policy import VlmPolicy, load_policy
from rlrobo_policy.spec import PolicySpec
from rlrobo_policy.tree import prompt_states
from rlrobo_train.process_reward.head import FILE as HEAD
from rlrobo_train.process_reward.head import Head

CARD = "process_reward.json"
MEMORY = 8
"""Control steps between the two moments that a score comes from: most of a second."""
POSTURE = 4
"""The last numbers of a moment: the gripper's place and width."""
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
    for another task, observation or action space, on another backbone (None: any), or before it had
    a head of its own."""
    card, made_for = Card.load(directory), PolicySpec.load(directory)
    if not (directory / HEAD).is_file():
        raise ValueError(
            f"process_reward:={directory} lacks its head ({HEAD}), as models do that answered "
            f"in words: make it anew with --task {','.join(card.tasks)} --out {directory}"
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
        self._width = policy.vlm.model.config.get_text_config().hidden_size
        self.head = Head(2 * (self._width + POSTURE) + 1)
        self._sequence = 0
        self._request_id = -1
        self._tracks: dict[tuple[int, int], dict[int, NDArray[np.float32]]] = {}
        """(group, rollout) -> step -> that moment, of the last steps of those that the newest batch
        asks of: after a parting, of the one that was gone on with."""

    def score(self, batch: ObservationBatch) -> ScoreBatch:
        """Of the rows of this batch, those of rollouts that were cut off included. A row is left
        out, and so has no score, where an earlier batch of its rollout never came."""
        obs = batch.observations
        now_NP = self.moments(obs.image_NC, obs.instruction_N, obs.ee_pose_N, obs.gripper_width_N)
        then_N = self._earlier(batch, now_NP)
        rows = np.array([n for n, then in enumerate(then_N) if then is not None], np.int64)
        then_NP = np.array([then for then in then_N if then is not None], np.float32)
        self._sequence += 1
        return ScoreBatch(
            sequence=self._sequence,
            request_id=batch.request.request_id,
            group_N=obs.group_N[rows],
            rollout_N=obs.rollout_N[rows],
            step_N=obs.step_N[rows],
            score_N=self.judge(now_NP[rows], then_NP.reshape(len(rows), now_NP.shape[1])),
        )

    def _earlier(
        self, batch: ObservationBatch, now_NP: NDArray[np.float32]
    ) -> list[NDArray[np.float32] | None]:
        """Row by row the moment `MEMORY` steps ago, or the first; None where it is not known."""
        if batch.request.request_id != self._request_id:
            self._request_id, self._tracks = batch.request.request_id, {}
        obs, found = batch.observations, []
        tracks: dict[tuple[int, int], dict[int, NDArray[np.float32]]] = {}
        ids = zip(obs.group_N.tolist(), speakers(batch).tolist(), obs.step_N.tolist(), strict=True)
        for n, (group, rollout, step) in enumerate(ids):
            before = self._tracks.get((group, rollout), {})
            track = {t: it for t, it in before.items() if t >= step - MEMORY} | {step: now_NP[n]}
            for member in range(obs.rollout_N[n], obs.rollout_N[n] + obs.samples_N[n]):
                tracks[group, member] = track
            found.append(track.get(max(step - MEMORY, 0)))
        self._tracks = tracks
        return found

    @torch.no_grad()
    def moments(
        self,
        image_NC: NDArray[np.uint8],
        instruction_N: Sequence[str],
        ee_pose_N: NDArray[np.float32],
        gripper_width_N: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """f32[N, P]: the hidden state, then where the gripper is and how far it is open [m]."""
        text_N = self.policy.prompts(instruction_N, ee_pose_N, gripper_width_N)
        state_NH = np.zeros((len(text_N), self._width), np.float32)
        for first in range(0, len(text_N), BATCH):
            rows = slice(first, first + BATCH)
            inputs = self.policy.encode_prompts(image_NC[rows], text_N[rows]).to(self.policy.device)
            state = prompt_states(self.policy.vlm.model, inputs, self.policy.token_V)
            state_NH[rows] = state.float().cpu().numpy()
        return np.concatenate([state_NH, ee_pose_N[:, :3], gripper_width_N[:, None]], axis=1)

    @torch.no_grad()
    def judge(
        self, now_NP: NDArray[np.float32], then_NP: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """f32[N] in [0, 1], of the moments and those `MEMORY` steps before them."""
        return torch.sigmoid(self.head(numbers(now_NP, then_NP))).numpy()

    def save(self, directory: Path, card: Card) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.policy.save(directory)
        self.head.save(directory)
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
    model = ProcessReward(
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
    model.head.load(directory)
    return model


def numbers(now_NP: NDArray[np.float32], then_NP: NDArray[np.float32]) -> torch.Tensor:
    """f32[N, 2P + 1], what the head reads: the moment, how it has changed, and how far the gripper
    has come [m]."""
    change_NP = now_NP - then_NP
    place_N3 = change_NP[:, -POSTURE:-1]
    way_N1 = np.linalg.norm(place_N3, axis=-1, keepdims=True)
    return torch.from_numpy(np.concatenate([now_NP, change_NP, way_N1], axis=1))


def earlier(moment_LP: NDArray[np.float32]) -> NDArray[np.float32]:
    """f32[L, P], of each moment of a trajectory the one `MEMORY` steps before it, or the first."""
    return moment_LP[np.maximum(np.arange(len(moment_LP)) - MEMORY, 0)]


def backbone_of(policy: VlmPolicy) -> str:
    return size_of(policy.vlm.model)
