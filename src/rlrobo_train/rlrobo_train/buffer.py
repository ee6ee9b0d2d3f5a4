"""Pairs observations, actions and outcomes by id into groups of rollouts.

Messages may come in any order, twice, or not at all: a group with anything missing is
dropped by name and never trains.

Shape legend: G rollouts of a group, L steps of its longest rollout, S rollouts that share an
observation, T tokens of an action.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.types import (
    ActionBatch,
    ObservationBatch,
    Outcomes,
    RolloutRequest,
    ScoreBatch,
)
from rlrobo_train.groups import Decision, RolloutGroup, Said, Seen
from rlrobo_train.process_reward.scores import At, Scores


@dataclass(slots=True)
class _Asked:
    """An observation row as it came in."""

    image_C: NDArray[np.uint8]
    instruction: str
    ee_pose: NDArray[np.float32]
    gripper_width: float
    samples: int

    def seen(self, past: tuple[Said, ...] = ()) -> Seen:
        return Seen(self.image_C, self.instruction, self.ee_pose, self.gripper_width, past=past)


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
    scored: bool = False
    """Every observation is judged by the process reward model; without its score none trains."""
    history: int = 0
    """Turns before an observation that the policy reads with it."""
    closed: bool = False
    """The simulation said that this was the last batch."""
    steps: int = 0
    """Control steps executed, branches included."""
    term_names: tuple[str, ...] = ()
    versions: set[int] = field(default_factory=set)
    _asked: dict[int, dict[tuple[int, int], _Asked]] = field(default_factory=dict)
    _answers: dict[Key, _Answer] = field(default_factory=dict)
    _contradicted: dict[int, tuple[int, int]] = field(default_factory=dict)
    """group -> (rollout, step) that was answered twice, with different actions: a policy that was
    started again with newer weights (max_policy_lag). Nobody knows which one was followed."""
    _unsaid: dict[int, Key] = field(default_factory=dict)
    """group -> what the policy had no action for"""
    _results: dict[int, dict[tuple[int, int], Result]] = field(default_factory=dict)
    _scores: Scores = field(init=False)

    def __post_init__(self) -> None:
        self._scores = Scores(self.request)

    def add_observations(self, batch: ObservationBatch) -> None:
        """Take in a batch of this request; one that was sent again changes nothing. One that
        only asks what to go on with is passed over: its outcomes come again with the choice. So
        are the rows of branches' ends: that there are some is known from outcomes."""
        if batch.judges:
            return
        obs = batch.observations
        for n in range(len(obs)):
            group = int(obs.group_N[n])
            rows = self._asked.setdefault(group, {})
            key = (int(obs.step_N[n]), int(obs.rollout_N[n]))
            if key not in rows and key[1] < self.request.group_size:
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
        for m, said in enumerate(batch.said_M):
            key = (int(batch.group_M[m]), int(batch.rollout_M[m]), int(batch.step_M[m]))
            if not said:
                self._unsaid.setdefault(key[0], key)
                continue
            answer = _Answer(batch.token_MT[m], batch.logprob_MT[m], batch.policy_version)
            first = self._answers.setdefault(key, answer)
            if not np.array_equal(first.token_T, answer.token_T):
                self._contradicted.setdefault(key[0], key[1:])

    def add_scores(self, batch: ScoreBatch) -> None:
        self._scores.add(batch)

    @property
    def unscored(self) -> bool:
        """Whether scores are still to come of what was seen."""
        return any(self._unscored(group) for group in self._asked)

    def _unscored(self, group: int) -> list[At]:
        """(step, rollout) of its rows that the process reward model should have judged."""
        shown = self._asked[group].keys() | self._ends(group)
        return self._scores.lacking(group, shown) if self.scored else []

    def _ends(self, group: int) -> set[At]:
        """(step, rollout) of the rows that show an end."""
        request, results = self.request, self._results.get(group, {})
        return {
            (step + 1, request.first_end + rollout)
            for (step, rollout), it in results.items()
            if request.shows_end(
                group, step, terminated=it.terminated, truncated=it.truncated, chosen=it.chosen
            )
        }

    @property
    def complete(self) -> bool:
        """Every group of the request is whole."""
        return self.closed and not self.dropped()

    def dropped(self) -> dict[int, str]:
        """group -> what it lacks."""
        problems = {group: self._problem(group) for group in self.request.group_ids}
        return {group: problem for group, problem in problems.items() if problem}

    def _problem(self, group: int) -> str:
        if group in self._contradicted:
            rollout, step = self._contradicted[group]
            return f"two different actions were given for rollout {rollout}, step {step}"
        asked, results = self._asked.get(group, {}), self._results.get(group, {})
        if group in self._unsaid:
            _, rollout, step = self._unsaid[group]
            return f"the policy did not know what came before rollout {rollout}, step {step}"
        if not results:
            return "no outcome came"
        last = max(step for step, _ in results)
        ended = [
            key
            for key, result in results.items()
            if (result.terminated or result.truncated) and result.chosen
        ]
        members = 1 if self.request.branching else self.request.group_size
        if len(ended) != members:
            return f"{len(ended)} of {members} rollouts reached their end"
        for step in range(last + 1):
            if not any(key[0] == step for key in asked):
                return f"the observation of step {step} is missing"
        if self.request.form == "episode" and (cut := self._ends(group) - asked.keys()):
            return f"what rollout {min(cut)[1]} saw where it was cut off is missing"
        for step, first in self._unscored(group):
            return f"the score of rollout {first}, step {step} is missing"
        for (step, first), row in asked.items():
            for rollout in range(first, first + row.samples):
                if (group, rollout, step) not in self._answers:
                    return f"the action of rollout {rollout}, step {step} is missing"
                if (step, rollout) not in results:
                    return f"the outcome of rollout {rollout}, step {step} is missing"
        if self.history and (unseen := results.keys() - self._speakers(group).keys()):
            return "what rollout {1} saw at step {0} is missing".format(*min(unseen))
        return ""

    def _speakers(self, group: int) -> dict[tuple[int, int], tuple[int, int]]:
        """(step, rollout) -> the row that speaks for that rollout."""
        return {
            (step, rollout): (step, first)
            for (step, first), row in self._asked.get(group, {}).items()
            for rollout in range(first, first + row.samples)
        }

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
        pasts = self._pasts(group)
        path = [result for _, result in sorted(results.items()) if result.chosen]
        episodes = 1 if self.request.branching else self.request.group_size
        terms = np.sum([result.terms for result in path], axis=0) / episodes
        return RolloutGroup(
            group_id=group,
            decisions=tuple(
                self._decision(group, *key, row, pasts[key]) for key, row in asked if row.samples
            ),
            reward_GL=reward_GL,
            alive_GL=alive_GL,
            chosen_GL=chosen_GL,
            success=sum(result.success for result in path) / episodes,
            terms=dict(zip(self.term_names, terms.tolist(), strict=True)),
            partings=tuple(s for s in range(shape[1]) if self.request.parts(group, s)),
            end={key[1]: row.seen(pasts[key]) for key, row in asked if not row.samples},
            score=self._scores.of_group(
                group,
                {key: row.samples for key, row in asked},
                self._ends(group),
                chosen_GL,
            )
            if self.scored
            else None,
        )

    def succeeded(self, group: RolloutGroup) -> NDArray[np.bool_]:
        """bool[E], which of a whole group's episodes: its rollouts, or the one that branched."""
        if group.branching:
            return np.array([group.success > 0.0])
        last_G = group.alive_GL.sum(1) - 1
        ends = enumerate(last_G.tolist())
        return np.array([self.result(group.group_id, g, last).success for g, last in ends])

    def _pasts(self, group: int) -> dict[tuple[int, int], tuple[Said, ...]]:
        """Of each observation the turns before it, as `rlrobo_policy.conversation` has them."""
        asked, results = self._asked[group], self._results[group]
        if not self.history:
            return dict.fromkeys(asked, ())
        speakers = self._speakers(group)
        chosen = {step: rollout for (step, rollout), result in results.items() if result.chosen}

        def said(step: int, rollout: int) -> Said:
            token_T = self._answers[group, rollout, step].token_T
            return Said(asked[speakers[step, rollout]].seen(), token_T)

        def past(step: int, rollout: int) -> tuple[Said, ...]:
            turns: list[Said] = []
            for before in range(step - 1, max(step - self.history, 0) - 1, -1):
                if self.request.parts(group, before + 1):
                    rollout = chosen[before]
                turns.insert(0, said(before, rollout))
            return tuple(turns)

        return {key: past(*key) for key in asked}

    def _decision(
        self, group: int, step: int, first: int, row: _Asked, past: tuple[Said, ...]
    ) -> Decision:
        rollout_S = np.arange(first, first + row.samples)
        answers = [self._answers[group, int(rollout), step] for rollout in rollout_S]
        return Decision(
            image_C=row.image_C,
            instruction=row.instruction,
            ee_pose=row.ee_pose,
            gripper_width=row.gripper_width,
            past=past,
            step=step,
            rollout_S=rollout_S,
            token_ST=np.stack([answer.token_T for answer in answers]).astype(np.int64),
            logprob_ST=np.stack([answer.logprob_T for answer in answers]),
            explored=self.request.explores(group, step),
        )


def _blank(image_C: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.zeros((len(image_C), 0), np.uint8)
