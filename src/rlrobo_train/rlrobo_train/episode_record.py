"""A few episodes step by step: what the policy saw, what it did, how sure it was, what came of it.

One JSON file an evaluation, and one a checkpoint for what training learned from; some hundred KB.
The report's film strips (`rlrobo_train.report`) are drawn from them alone.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import Task
from rlrobo_core.types import Form, Phase
from rlrobo_policy.policy import VlmPolicy
from rlrobo_train.buffer import THUMBNAIL, Result, RolloutBuffer
from rlrobo_train.groups import Decision, RolloutGroup

FOLDER = "episodes"
FAILED, SUCCEEDED = 4, 2
"""Episodes of an evaluation that are kept, at most."""
JPEG_QUALITY = 80

Advantages = Mapping[int, NDArray[np.float64]]
"""group -> f64[G, L]"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One action that was sampled for an observation, and what became of it."""

    action: dict[str, float]
    """x, y, z: where it sends the tool, counted from where it is [m]; gripper: the width [m]."""
    probability: float
    """Of the whole action, under the distribution that was sampled from (temperature 1 where
    the most likely action was taken)."""
    token_probabilities: list[float]
    """Of each token, given those before it."""
    reward: float
    terms: dict[str, float]
    """Unweighted."""
    advantage: float | None
    """None in an evaluation."""
    chosen: bool
    """False for a branch that the episode did not go on with."""


@dataclass(frozen=True, slots=True)
class Step:
    image: str
    """What the first camera saw before the action: a JPEG in base64; empty where it was not
    kept."""
    tool: list[float]
    """Measured position in the base frame [m]."""
    gripper: float
    """Measured width [m]."""
    samples: list[Sample]
    """In branch form all that were tried; else the one action."""


@dataclass(frozen=True, slots=True)
class RecordedEpisode:
    group: int
    rollout: int
    success: bool
    instruction: str
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    phase: Phase
    form: Form
    iteration: int
    """Updates that the policy had seen (evaluation), or the update that learned from these."""
    task: str
    seed: int
    """Group `g` starts from `default_rng((seed, g))`."""
    episodes: list[RecordedEpisode]


@dataclass(frozen=True, slots=True)
class Reader:
    """What it takes to say in metres what the tokens of a task's actions meant."""

    policy: VlmPolicy
    task: Task
    advantages: Advantages | None = None
    """Where training learned from the episodes."""


class Shown(NamedTuple):
    group: RolloutGroup
    rollout: int
    """Which member of the group; no meaning in branch form."""


def shown_of_evaluation(groups: Sequence[RolloutGroup]) -> list[Shown]:
    """Some that failed and some that succeeded, of those that were seen."""
    seen = [g for g in groups if all(d.image_C.size for d in g.decisions)]
    failed = [g for g in seen if not g.success][:FAILED]
    return [Shown(g, 0) for g in failed + [g for g in seen if g.success][:SUCCEEDED]]


def shown_of_training(groups: Sequence[RolloutGroup], branching: bool) -> list[Shown]:
    """The worst and the best episode: of all where a group has only one (branching, or no
    companions), else of the group whose members differ most, so that what told them apart is seen
    from one start."""
    if branching or len(groups[0].reward_GL) == 1:
        ranked = sorted(groups, key=lambda g: g.reward)
        return [Shown(g, 0) for g in dict.fromkeys((ranked[0], ranked[-1]))]
    group = max(groups, key=lambda g: np.ptp(g.reward_GL.sum(1)))
    return_G = group.reward_GL.sum(1)
    worst_and_best = dict.fromkeys((int(return_G.argmin()), int(return_G.argmax())))
    return [Shown(group, rollout) for rollout in worst_and_best]


def record(buffer: RolloutBuffer, shown: Sequence[Shown], reader: Reader) -> EpisodeRecord:
    """Of these episodes of the buffer's request."""
    request = buffer.request
    return EpisodeRecord(
        phase=request.phase,
        form=request.form,
        iteration=request.iteration + (request.phase == "train"),
        task=request.task,
        seed=request.seed,
        episodes=[_episode(buffer, it, reader) for it in shown],
    )


def write_record(run: Path, name: str, episodes: EpisodeRecord) -> Path:
    """`episodes/<name>.json` in the run directory."""
    path = run / FOLDER / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(episodes)) + "\n")
    return path


def _episode(buffer: RolloutBuffer, shown: Shown, reader: Reader) -> RecordedEpisode:
    group, rollout = shown
    branching = buffer.request.branching
    steps, success = [], False
    for _, decisions in groupby(group.decisions, key=lambda decision: decision.step):
        # Between two branching points every branch has an observation of its own.
        asked = [
            (decision, s, buffer.result(group.group_id, int(member), decision.step))
            for decision in decisions
            for s, member in enumerate(decision.rollout_S)
            if branching or member == rollout
        ]
        gone = next(((decision, result) for decision, _, result in asked if result.chosen), None)
        if gone is None:
            continue  # of other members of the group
        seen, result = gone
        success |= result.success
        steps.append(
            Step(
                image=_jpeg(seen.image_C),
                tool=_rounded(seen.ee_pose[:3]),
                gripper=round(seen.gripper_width, 5),
                samples=[_sample(group, *it, buffer.term_names, reader) for it in asked],
            )
        )
    instruction = group.decisions[0].instruction
    return RecordedEpisode(group.group_id, rollout, success, instruction, steps)


def _sample(
    group: RolloutGroup,
    decision: Decision,
    s: int,
    result: Result,
    term_names: Sequence[str],
    reader: Reader,
) -> Sample:
    advantage = None
    if reader.advantages is not None:
        advantage_GL = reader.advantages[group.group_id]
        advantage = round(float(advantage_GL[decision.rollout_S[s], decision.step]), 4)
    logprob_T = decision.logprob_ST[s].astype(np.float64)
    return Sample(
        action=_action(decision, s, reader),
        probability=float(f"{np.exp(logprob_T.sum()):.4g}"),
        token_probabilities=_rounded(np.exp(logprob_T)),
        reward=round(result.reward, 5),
        terms=dict(zip(term_names, _rounded(result.terms), strict=True)),
        advantage=advantage,
        chosen=result.chosen,
    )


def _action(decision: Decision, s: int, reader: Reader) -> dict[str, float]:
    action_1D = reader.policy.actions(decision.token_ST[s : s + 1], reader.task)
    target_8 = end_effector_target(reader.task, decision.ee_pose[None], action_1D)[0]
    moved = dict(zip("xyz", _rounded(target_8[:3] - decision.ee_pose[:3]), strict=True))
    said = moved | {"gripper": round(float(target_8[7]), 5)}
    return {dim: said[dim] for dim in reader.task.action_dims}


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 5) for value in values]


def _jpeg(image_C: NDArray[np.uint8]) -> str:
    if not image_C.size:
        return ""
    image, file = Image.fromarray(image_C[0]), io.BytesIO()
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return base64.b64encode(file.getvalue()).decode()
