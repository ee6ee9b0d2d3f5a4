"""Pairs observations, actions and outcomes by id into groups of rollouts.

Messages may come in any order, twice, or not at all: a group with anything missing is
dropped by name and never trains.

Shape legend: G rollouts of a group, L steps of its longest rollout, S rollouts that share an
observation, T tokens of an action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.types import ActionBatch, ObservationBatch, Outcomes, RolloutRequest


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One observation."""

    image_C: NDArray[np.uint8]
    """u8[C, H, W, 3]"""
    instruction: str
    ee_pose: NDArray[np.float32]
    """f32[7], as the policy was told it: its prompt may have said so."""
    gripper_width: float
    """[m], likewise."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision(Seen):
    """One observation and the S actions that were sampled for it."""

    step: int
    rollout_S: NDArray[np.int64]
    token_ST: NDArray[np.int64]
    logprob_ST: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class RolloutGroup:
    """G rollouts from one initial state."""

    group_id: int
    decisions: tuple[Decision, ...]
    reward_GL: NDArray[np.float32]
    alive_GL: NDArray[np.bool_]
    """Whether rollout g acted at step l; rewards are 0 where it did not."""
    chosen_GL: NDArray[np.bool_]
    """Steps on the path that the episode went (all of a trajectory's; one branch of each step)."""
    success: float
    """Fraction of the group's episodes that succeeded (of its one episode in branch form)."""
    terms: dict[str, float]
    """Unweighted reward terms, summed over the path, mean over rollouts."""
    end: Mapping[int, Seen] = field(default_factory=dict)
    """rollout -> what it saw where the limit of steps cut it off (form `episode`)."""

    @property
    def outline(self) -> RolloutGroup:
        """Without what was seen and said, which takes the room."""
        return replace(self, decisions=(), end={})

    @property
    def length(self) -> float:
        """Mean number of steps of an episode."""
        return float(self.chosen_GL.any(0).sum() if self.branching else self.alive_GL.sum(1).mean())

    @property
    def branching(self) -> bool:
        return not bool((self.chosen_GL == self.alive_GL).all())

    @property
    def reward(self) -> float:
        """Return of an episode without discount, mean over rollouts."""
        total = float((self.reward_GL * self.chosen_GL).sum())
        return total if self.branching else total / len(self.reward_GL)


@dataclass(slots=True)
class _Asked:
    """An observation row as it came in."""

    image_C: NDArray[np.uint8]
    instruction: str
    ee_pose: NDArray[np.float32]
    gripper_width: float
    samples: int

    @property
    def seen(self) -> Seen:
        return Seen(self.image_C, self.instruction, self.ee_pose, self.gripper_width)


@dataclass(slots=True)
class _Answer:
    token_T: NDArray[np.int32]
    logprob_T: NDArray[np.float32]
    policy_version: int


@dataclass(slots=True)
class Result:
    """What became of one action."""

    reward: float
    terms: NDArray[np.float32]
    """f32[K], unweighted, in the order of the buffer's `term_names`."""
    terminated: bool
    truncated: bool
    success: bool
    chosen: bool


THUMBNAIL = 112
"""Largest height and width of the images of an episode that is only watched [px]."""

Key = tuple[int, int, int]
"""(group, rollout, step)"""


@dataclass(slots=True)
class RolloutBuffer:
    """What has come in for one request."""

    request: RolloutRequest
    keep_images: int | None = None
    """Keep the images of that many groups only (evaluation), of the others u8[C, 0]; None: of
    all."""
    watch: int = 0
    """Of so many groups after those, thumbnails of the first camera, u8[1, h, w, 3], as long as
    they have not succeeded: so that there is something to see of an episode that fails."""
    closed: bool = False
    """The simulation said that this was the last batch."""
    steps: int = 0
    """Control steps executed, branches included."""
    term_names: tuple[str, ...] = ()
    versions: set[int] = field(default_factory=set)
    _asked: dict[int, dict[tuple[int, int], _Asked]] = field(default_factory=dict)
    _answers: dict[Key, _Answer] = field(default_factory=dict)
    _results: dict[int, dict[tuple[int, int], Result]] = field(default_factory=dict)

    def add_observations(self, batch: ObservationBatch) -> None:
        """Take in a batch of this request; one that was sent again changes nothing. One that
        only asks what to go on with is passed over: its outcomes come again with the choice."""
        if batch.judges:
            return
        obs = batch.observations
        for n in range(len(obs)):
            group = int(obs.group_N[n])
            rows = self._asked.setdefault(group, {})
            key = (int(obs.step_N[n]), int(obs.rollout_N[n]))
            if key not in rows:
                rows[key] = _Asked(
                    self._kept(group, obs.image_NC[n]),
                    obs.instruction_N[n],
                    obs.ee_pose_N[n].copy(),
                    float(obs.gripper_width_N[n]),
                    int(obs.samples_N[n]),
                )
        self._add_outcomes(batch.outcomes)
        self.closed |= batch.last

    def _kept(self, group: int, image_C: NDArray[np.uint8]) -> NDArray[np.uint8]:
        ids, first = self.request.group_ids, self.keep_images
        if first is None or group in ids[:first]:
            return image_C.copy()
        if group in ids[first : first + self.watch]:
            stride = -(-max(image_C.shape[1:3]) // THUMBNAIL)
            return image_C[:1, ::stride, ::stride].copy()
        return _blank(image_C)

    def _forget(self, group: int) -> None:
        """The images of a group that was only watched."""
        if self.keep_images is not None and group not in self.request.group_ids[: self.keep_images]:
            for row in self._asked.get(group, {}).values():
                row.image_C = _blank(row.image_C)

    def _add_outcomes(self, out: Outcomes) -> None:
        if len(out):
            self.term_names = out.reward_term_names
        for m in range(len(out)):
            rows = self._results.setdefault(int(out.group_M[m]), {})
            key = (int(out.step_M[m]), int(out.rollout_M[m]))
            if key not in rows:
                self.steps += 1
                rows[key] = Result(
                    float(out.reward_M[m]),
                    out.reward_term_MK[m],
                    bool(out.terminated_M[m]),
                    bool(out.truncated_M[m]),
                    bool(out.success_M[m]),
                    bool(out.chosen_M[m]),
                )
                if out.success_M[m]:
                    self._forget(int(out.group_M[m]))

    def add_actions(self, batch: ActionBatch) -> None:
        self.versions.add(batch.policy_version)
        if not batch.token_MT.shape[1]:
            return  # it says what to go on with
        for m in range(len(batch)):
            key = (int(batch.group_M[m]), int(batch.rollout_M[m]), int(batch.step_M[m]))
            self._answers.setdefault(
                key, _Answer(batch.token_MT[m], batch.logprob_MT[m], batch.policy_version)
            )

    @property
    def complete(self) -> bool:
        """Every group of the request is whole."""
        return self.closed and not self.dropped()

    def dropped(self) -> dict[int, str]:
        """group -> what it lacks."""
        problems = {group: self._problem(group) for group in self.request.group_ids}
        return {group: problem for group, problem in problems.items() if problem}

    def _problem(self, group: int) -> str:
        asked, results = self._asked.get(group, {}), self._results.get(group, {})
        if not results:
            return "no outcome came"
        last = max(step for step, _ in results)
        ended = [
            key
            for key, result in results.items()
            if (result.terminated or result.truncated) and result.chosen
        ]
        members = 1 if self.request.one_episode else self.request.group_size
        if len(ended) != members:
            return f"{len(ended)} of {members} rollouts reached their end"
        for step in range(last + 1):
            if not any(key[0] == step for key in asked):
                return f"the observation of step {step} is missing"
        if self.request.form == "episode" and (cut := self._cut_off(group) - asked.keys()):
            return f"what rollout {min(cut)[1]} saw where it was cut off is missing"
        for (step, first), row in asked.items():
            for rollout in range(first, first + row.samples):
                if (group, rollout, step) not in self._answers:
                    return f"the action of rollout {rollout}, step {step} is missing"
                if (step, rollout) not in results:
                    return f"the outcome of rollout {rollout}, step {step} is missing"
        return ""

    def _cut_off(self, group: int) -> set[tuple[int, int]]:
        """(step, rollout) of what was seen after the last step of those that were truncated."""
        results = self._results[group].items()
        return {(step + 1, rollout) for (step, rollout), result in results if result.truncated}

    def groups(self) -> list[RolloutGroup]:
        """The whole groups, in the request's order."""
        dropped = self.dropped()
        return [self._group(group) for group in self.request.group_ids if group not in dropped]

    def result(self, group: int, rollout: int, step: int) -> Result:
        """Of one action of a whole group."""
        return self._results[group][step, rollout]

    def _group(self, group: int) -> RolloutGroup:
        results = self._results[group]
        shape = (self.request.group_size, 1 + max(step for step, _ in results))
        reward_GL, alive_GL = np.zeros(shape, np.float32), np.zeros(shape, bool)
        chosen_GL = np.zeros(shape, bool)
        for (step, rollout), result in results.items():
            reward_GL[rollout, step] = result.reward
            alive_GL[rollout, step] = True
            chosen_GL[rollout, step] = result.chosen
        asked = sorted(self._asked[group].items())
        path = [result for _, result in sorted(results.items()) if result.chosen]
        episodes = 1 if self.request.one_episode else self.request.group_size
        terms = np.sum([result.terms for result in path], axis=0) / episodes
        return RolloutGroup(
            group_id=group,
            decisions=tuple(self._decision(group, *key, row) for key, row in asked if row.samples),
            reward_GL=reward_GL,
            alive_GL=alive_GL,
            chosen_GL=chosen_GL,
            success=sum(result.success for result in path) / episodes,
            terms=dict(zip(self.term_names, terms.tolist(), strict=True)),
            end={rollout: row.seen for (_, rollout), row in asked if not row.samples},
        )

    def _decision(self, group: int, step: int, first: int, row: _Asked) -> Decision:
        rollout_S = np.arange(first, first + row.samples)
        answers = [self._answers[group, int(rollout), step] for rollout in rollout_S]
        return Decision(
            image_C=row.image_C,
            instruction=row.instruction,
            ee_pose=row.ee_pose,
            gripper_width=row.gripper_width,
            step=step,
            rollout_S=rollout_S,
            token_ST=np.stack([answer.token_T for answer in answers]).astype(np.int64),
            logprob_ST=np.stack([answer.logprob_T for answer in answers]),
        )


def _blank(image_C: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.zeros((len(image_C), 0), np.uint8)
