"""Serves rollout requests on a simulator: who is asked next, what became of each action.

The worlds are organised as slots of `group_size` worlds. A slot runs one group; when the
group is done it takes the request's next one. What a group sees and gets depends on the
request's seed and its own id alone, never on the slot it ran in or on how many there are.

Shape legend as in `rlrobo_core.types`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.shifts import parse_task
from rlrobo_core.tasks import SceneState, Task
from rlrobo_core.types import (
    FILMED,
    ActionBatch,
    Form,
    ObservationBatch,
    Observations,
    Outcomes,
    RolloutRequest,
)
from rlrobo_sim.answers import accepts, check_finite, preferred
from rlrobo_sim.outcomes import judge, merge_weights, no_outcomes, select
from rlrobo_sim.simulator import Simulator, UnstableWorlds
from rlrobo_sim.states import initial_scene, put, take

FORMS = get_args(Form)


@dataclass(slots=True, eq=False)
class Slot:
    """The worlds that run one group, one world a member."""

    group: int
    instruction: str
    worlds_G: NDArray[np.int64]
    running_G: NDArray[np.bool_]
    """Members that wait for an action; they are all on the same step."""
    step: int = 0

    def parts(self, request: RolloutRequest) -> bool:
        """Whether all members are in one state and go on from it by themselves."""
        return request.parts(self.group, self.step)

    def rows(self, request: RolloutRequest) -> list[tuple[int, int]]:
        """(first rollout, how many it speaks for) of each observation row: a single row where
        all members are in the same state, else one for each that is running."""
        if self.step < request.first_parting(self.group) or self.parts(request):
            return [(0, len(self.worlds_G))]
        return [(int(member), 1) for member in np.flatnonzero(self.running_G)]


Row = tuple[Slot, int, int]
"""An observation's slot, the first rollout that it speaks for, and how many."""


class Tried(NamedTuple):
    """A control step that has been executed."""

    slots: list[Slot]
    """All that were asked, those that have become unstable since too."""
    outcomes: Outcomes


class RolloutEngine:
    """Runs the groups of a request, one batched control step for each batch of actions.

    `start` and `act` return the next batch; `pending` is the one returned last, to be
    published again when no answer came. The simulator stays the caller's to close.
    """

    def __init__(
        self,
        simulator: Simulator,
        task: Task,
        group_size: int,
        reward_weights: Mapping[str, float] | None = None,
    ) -> None:
        """`reward_weights` replaces some of the task's weights. ValueError if the worlds
        cannot be divided into groups or a weight names no reward term of the task."""
        check_group_size(simulator.num_worlds, group_size)
        self.simulator = simulator
        self.task = task
        self.reward_weights = merge_weights(task, reward_weights or {})
        self.pending: ObservationBatch | None = None
        self.unstable_groups: list[int] = []
        """Groups given up because their physics diverged. They get no further outcomes, so the
        trainer drops them by name."""
        self.unanswered_groups: list[int] = []
        """Groups given up because the policy had no action for them, likewise."""
        self._sequence = 0
        self._queue: deque[int] = deque()
        self._slots: list[Slot] = []
        self._tried: Tried | None = None
        """Of the pending batch, where it asks which of the members to go on with."""
        self._state = simulator.state(range(simulator.num_worlds))
        """Of all worlds, always current."""

    @property
    def state(self) -> SceneState:
        """True state of the M rollouts that wait for an action, in the order of an answer's
        rows: for scripted experts and recorders, never for the policy."""
        return take(self._state, self._worlds_M())

    def start(self, request: RolloutRequest) -> ObservationBatch:
        """Begin a request; one in progress is given up. ValueError names what is wrong."""
        check_request(request, self.task, self.simulator.num_worlds)
        self._queue = deque(request.group_ids)
        self._slots, self._tried = [], None
        worlds = np.arange(self.simulator.num_worlds)
        self._open(request, list(worlds.reshape(-1, request.group_size)))
        return self._ask(request, no_outcomes(self.reward_weights), self._observe([]))

    def act(self, actions: ActionBatch) -> ObservationBatch | None:
        """Execute the answer to the pending batch and return the next one. None, and nothing
        happens, for any other message: another request's, an older policy's, a repeated or an
        incomplete answer. ValueError if a target is not finite."""
        if self._tried:
            return self._take_up(actions, self._tried)
        if self.pending is None or not accepts(self.pending, actions):
            return None
        check_finite(actions)
        request, slots = self.pending.request, self._slots
        outcomes = self._step(actions, self.pending)
        if request.form == "look" and self._slots:
            return self._show(request, Tried(slots, outcomes))
        parting = self._slots if request.branching else []
        drawn = {slot.group: drawn_branch(request, slot) for slot in parting}
        return self._go_on(request, Tried(slots, outcomes), drawn)

    def _show(self, request: RolloutRequest, tried: Tried) -> ObservationBatch:
        """What came of the actions of all members: which of them shall a group go on with ?"""
        members = [(slot, g, 0) for slot in self._slots for g in range(len(slot.worlds_G))]
        seen, render_s = self._observe(members)
        self._tried = tried
        untold_M = np.zeros(len(tried.outcomes), dtype=bool)
        outcomes = replace(tried.outcomes, chosen_M=untold_M)
        after = replace(seen, step_N=seen.step_N + 1)
        return self._publish(request, after, outcomes, last=False, render_s=render_s)

    def _take_up(self, answer: ActionBatch, tried: Tried) -> ObservationBatch | None:
        """Go on with the members that the answer names; None where it is another's."""
        assert self.pending is not None
        chosen = preferred(self.pending, answer)
        if chosen is None:
            return None
        self._tried = None
        told = [np.arange(len(slot.worlds_G)) == chosen[slot.group] for slot in self._slots]
        outcomes = replace(tried.outcomes, chosen_M=np.concatenate(told))
        return self._go_on(self.pending.request, tried._replace(outcomes=outcomes), chosen)

    def _go_on(
        self, request: RolloutRequest, tried: Tried, chosen: Mapping[int, int]
    ) -> ObservationBatch:
        """`chosen`: the member that each group would go on with where all are in one state."""
        slots, outcomes = tried
        if self._slots:
            self._leave_out_finished(outcomes)
        ends = self._show_ends(request, outcomes)
        self._go_on_with_chosen(request, chosen)
        self._slots = [slot for slot in self._slots if slot.running_G.any()]
        self._open(request, [slot.worlds_G for slot in slots if slot not in self._slots])
        return self._ask(request, outcomes, ends)

    def _open(self, request: RolloutRequest, free: Sequence[NDArray[np.int64]]) -> None:
        """Start the next groups of the queue in free worlds, one array of worlds a slot."""
        worlds, scenes, seeds = [], [], []
        for worlds_G in free[: len(self._queue)]:
            group = self._queue.popleft()
            scene, seed = initial_scene(self.task, request.seed, group)
            running_G = np.ones(len(worlds_G), dtype=bool)
            self._slots.append(Slot(group, scene.instruction, worlds_G, running_G))
            worlds.append(worlds_G)
            scenes += [scene] * len(worlds_G)
            seeds += [seed] * len(worlds_G)
        self._slots.sort(key=lambda slot: slot.worlds_G[0])  # simulators like ascending worlds
        if worlds:
            worlds_M = np.concatenate(worlds)
            self.simulator.reset(worlds_M, scenes, seeds)
            put(self._state, worlds_M, self.simulator.state(worlds_M))

    def _step(self, actions: ActionBatch, answered: ObservationBatch) -> Outcomes:
        worlds_M = self._worlds_M()
        before = take(self._state, worlds_M)
        try:
            self.simulator.step(worlds_M, actions.target_M)
            unstable = np.zeros(0, dtype=np.int64)
        except UnstableWorlds as problem:
            unstable = problem.worlds
        after = self.simulator.state(worlds_M)
        put(self._state, worlds_M, after)
        outcomes = judge(self.task, self.reward_weights, before, after, answered.observations)
        if answered.request.branching:
            chosen = [on_path(answered.request, slot) for slot in self._slots]
            outcomes = replace(outcomes, chosen_M=np.concatenate(chosen))
        unanswered = worlds_M[~actions.said_M]
        lost = [slot for slot in self._slots if np.isin(slot.worlds_G, unstable).any()]
        left = [slot for slot in self._slots if np.isin(slot.worlds_G, unanswered).any()]
        self.unstable_groups += [slot.group for slot in lost]
        self.unanswered_groups += [slot.group for slot in left]
        return self._without([*lost, *left], worlds_M, outcomes) if lost or left else outcomes

    def _without(
        self, lost: list[Slot], worlds_M: NDArray[np.int64], outcomes: Outcomes
    ) -> Outcomes:
        """Give up these groups."""
        self._slots = [slot for slot in self._slots if slot not in lost]
        return select(outcomes, ~np.isin(worlds_M, [slot.worlds_G for slot in lost]))

    def _leave_out_finished(self, outcomes: Outcomes) -> None:
        going_M = ~(outcomes.terminated_M | outcomes.truncated_M)
        ends = np.cumsum([slot.running_G.sum() for slot in self._slots])
        for slot, going in zip(self._slots, np.split(going_M, ends[:-1]), strict=True):
            slot.running_G[slot.running_G] = going
            slot.step += 1

    def _go_on_with_chosen(self, request: RolloutRequest, drawn: Mapping[int, int]) -> None:
        """At a branching point, give every member of a group the state of the chosen one; the
        group ends with it."""
        sources, copies = [], []
        for slot in self._slots:
            if request.branching and slot.parts(request):
                chosen = drawn[slot.group]
                slot.running_G[:] = slot.running_G[chosen]
                if slot.running_G.any():
                    sources.append(slot.worlds_G[chosen])
                    copies.append(slot.worlds_G)
        if sources:
            sources_S, copies_SG = np.array(sources), np.stack(copies)
            times = copies_SG.shape[1]
            snapshot = self.simulator.snapshot(sources_S)
            self.simulator.restore(copies_SG.ravel(), np.repeat(snapshot, times, axis=0))
            put(self._state, copies_SG.ravel(), take(self._state, np.repeat(sources_S, times)))

    def _ask(
        self, request: RolloutRequest, outcomes: Outcomes, ends: tuple[Observations, float]
    ) -> ObservationBatch:
        """`ends`: what rollouts see after their last step, and how long rendering took [s]."""
        rows = [(slot, *row) for slot in self._slots for row in slot.rows(request)]
        waiting, render_s = self._observe(rows)
        observations = joined(waiting, ends[0])
        return self._publish(request, observations, outcomes, not self._slots, render_s + ends[1])

    def _publish(
        self,
        request: RolloutRequest,
        observations: Observations,
        outcomes: Outcomes,
        last: bool,
        render_s: float,
    ) -> ObservationBatch:
        self.pending = ObservationBatch(
            self._sequence, request, observations, outcomes, last, render_s
        )
        self._sequence += 1
        return self.pending

    def _show_ends(self, request: RolloutRequest, outcomes: Outcomes) -> tuple[Observations, float]:
        """As `_observe`."""
        seen, render_s = self._observe(self._ends(request, outcomes))
        return replace(seen, rollout_N=seen.rollout_N + np.int32(request.first_end)), render_s

    def _ends(self, request: RolloutRequest, outcomes: Outcomes) -> list[Row]:
        """Rollouts that ended with this step, still in their worlds, whose end is to be seen:
        they ask for nothing."""
        over_M = ends_shown(request, outcomes)
        if request.phase == "eval":
            filmed_M = np.isin(outcomes.group_M, request.group_ids[:FILMED]) & outcomes.chosen_M
            over_M |= filmed_M & (outcomes.terminated_M | outcomes.truncated_M)
        slots = {slot.group: slot for slot in self._slots}
        ids_M = zip(outcomes.group_M.tolist(), outcomes.rollout_M.tolist(), strict=True)
        return [
            (slots[group], rollout, 0)
            for (group, rollout), over in zip(ids_M, over_M, strict=True)
            if over
        ]

    def _observe(self, rows: Sequence[Row]) -> tuple[Observations, float]:
        """What is seen in these rows, and how long rendering it took [s]."""
        worlds_N = np.array([slot.worlds_G[rollout] for slot, rollout, _ in rows], dtype=np.int64)
        seen = take(self._state, worlds_N)
        began = time.monotonic()
        image_NC = self._render(worlds_N)
        render_s = time.monotonic() - began
        observations = Observations(
            image_NC=image_NC,
            ee_pose_N=seen.ee_pose_N.astype(np.float32),
            gripper_width_N=seen.gripper_width_N.astype(np.float32),
            instruction_N=tuple(slot.instruction for slot, _, _ in rows),
            group_N=np.array([slot.group for slot, _, _ in rows], dtype=np.int64),
            rollout_N=np.array([rollout for _, rollout, _ in rows], dtype=np.int32),
            samples_N=np.array([samples for _, _, samples in rows], dtype=np.int32),
            step_N=np.array([slot.step for slot, _, _ in rows], dtype=np.int32),
        )
        return observations, render_s

    def _render(self, worlds_N: NDArray[np.int64]) -> NDArray[np.uint8]:
        if len(worlds_N):
            return self.simulator.render(worlds_N)
        size = self.simulator.image_size
        return np.zeros((0, len(self.simulator.cameras), size, size, 3), dtype=np.uint8)

    def _worlds_M(self) -> NDArray[np.int64]:
        """The worlds that wait for an action."""
        none = np.zeros(0, dtype=np.int64)
        return np.concatenate([none, *(slot.worlds_G[slot.running_G] for slot in self._slots)])


def joined(one: Observations, other: Observations) -> Observations:
    """The rows of one after those of the other."""
    if not len(other):
        return one
    arrays = {
        name: np.concatenate([getattr(one, name), getattr(other, name)])
        for name in Observations.__dataclass_fields__
        if name != "instruction_N"
    }
    return Observations(instruction_N=one.instruction_N + other.instruction_N, **arrays)


def ends_shown(request: RolloutRequest, outcomes: Outcomes) -> NDArray[np.bool_]:
    """bool[M], of which actions the request shows as an end what they led to."""
    shown = [
        request.shows_end(
            int(outcomes.group_M[m]),
            int(outcomes.step_M[m]),
            terminated=bool(outcomes.terminated_M[m]),
            truncated=bool(outcomes.truncated_M[m]),
            chosen=bool(outcomes.chosen_M[m]),
        )
        for m in range(len(outcomes))
    ]
    return np.array(shown, dtype=bool)


def check_request(request: RolloutRequest, task: Task, num_worlds: int) -> None:
    """ValueError if this simulation cannot serve the request."""
    if parse_task(request.task)[0] != task.name:
        raise ValueError(
            f"the request is for task {request.task!r}, but this simulation runs {task.name!r}; "
            "start simulation and trainer with the same task"
        )
    if request.form not in FORMS:
        raise ValueError(f"unknown form {request.form!r}; choose one of: {', '.join(FORMS)}")
    if request.branch_steps < 1:
        raise ValueError(f"branch_steps is {request.branch_steps}; take 1 or more")
    if request.form == "look" and request.branch_steps != 1:
        raise ValueError(
            f"branch_steps is {request.branch_steps}, but a look goes one step ahead; take 1"
        )
    if not request.group_ids or len(set(request.group_ids)) < len(request.group_ids):
        raise ValueError(
            f"a request must name at least one group and each only once, not {request.group_ids}"
        )
    check_group_size(num_worlds, request.group_size)


def check_group_size(num_worlds: int, group_size: int) -> None:
    """ValueError if the worlds cannot be divided into groups of that size."""
    if group_size < 1 or num_worlds % group_size:
        sizes = [size for size in range(1, num_worlds + 1) if num_worlds % size == 0]
        raise ValueError(
            f"{num_worlds} environments cannot be divided into groups of {group_size}; choose "
            f"group_size from {sizes} or make num_envs a multiple of it"
        )


def drawn_branch(request: RolloutRequest, slot: Slot) -> int:
    """The one member that the group goes on with, of those that part, or parted, before the
    slot's step has been taken."""
    parted = request.parted(slot.group, slot.step)
    # The step counts from 1: numpy pads seeds with zeros, so (seed, group, 0) would repeat
    # the stream of (seed, group) that placed the scene.
    rng = np.random.default_rng((request.seed, slot.group, parted + 1))
    return int(rng.integers(len(slot.worlds_G)))


def on_path(request: RolloutRequest, slot: Slot) -> NDArray[np.bool_]:
    """bool[running members], which of them the group will have gone on with."""
    return np.flatnonzero(slot.running_G) == drawn_branch(request, slot)
