"""Several simulation processes that answer as one engine, and a watchdog over them.

Each owns an equal share of the environments and of a request's groups. A control step is one
batch of all of them, as large as that of a single engine. One that does not answer in time, or
that has died, is replaced: the episodes that were under way in its environments are dropped, by
name, and the others go on. Its new process joins as soon as it is there, with the groups that
had not begun.

What a group sees and gets depends on the request's seed and its own id alone, so it is the same
whichever process runs it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import reduce
from multiprocessing.connection import wait

import numpy as np

from rlrobo_core.types import ActionBatch, ObservationBatch, Outcomes, RolloutRequest
from rlrobo_sim.answers import accepts, check_finite
from rlrobo_sim.rollout import joined
from rlrobo_sim.workers.recipe import Recipe
from rlrobo_sim.workers.worker import Worker

PATIENCE = 2
"""How often in a row a process may fail without a batch between."""


class SimulationLost(ValueError):
    """A simulation process fails again and again."""


class Workers:
    """`start`, `act`, `pending`, `close` and the groups given up as `RolloutEngine` has them."""

    def __init__(
        self, recipe: Recipe, count: int, deadline_s: float = 60.0, start_s: float = 300.0
    ) -> None:
        """`recipe`: of all environments together. `deadline_s`: how long a worker may take for a
        control step before it is taken for stalled [s]; `start_s`: the same of its start.
        ValueError where shares would not be equal, or such environments cannot be made."""
        check_workers(count, recipe.num_envs, recipe.group_size)
        self._deadline_s, self._start_s = deadline_s, start_s
        self.pending: ObservationBatch | None = None
        self.unstable_groups: list[int] = []
        self.unanswered_groups: list[int] = []
        self.news: list[str] = []
        """A sentence for each worker that was replaced: why, and which groups it cost."""
        self.restarts = 0
        self._asking: list[tuple[Worker, int]] = []
        """Who asks in the pending batch, in order, and for how many actions."""
        self._sequence = 0
        self._began = self._ended = time.monotonic()
        own = replace(recipe, num_envs=recipe.num_envs // count)
        self.workers = [Worker(index, own, deadline_s) for index in range(count)]
        try:
            while any(worker.starting for worker in self.workers):
                self._listen({})
        except BaseException:
            self.close()
            raise

    def start(self, request: RolloutRequest) -> ObservationBatch:
        """Begin a request; one in progress is given up. ValueError names what is wrong."""
        if request.form == "look":
            raise ValueError(
                "a look ahead (best_of without scorer:=likelihood) needs all environments in one "
                "process: set workers:=0"
            )
        self._began = time.monotonic()
        groups = request.group_ids
        for worker in self.workers:
            first, last = (
                len(groups) * i // len(self.workers) for i in (worker.index, worker.index + 1)
            )
            worker.begin(replace(request, group_ids=groups[first:last]))
        return self._collect(request)

    def act(self, actions: ActionBatch) -> ObservationBatch | None:
        """As `RolloutEngine.act`."""
        if self.pending is None or not accepts(self.pending, actions):
            return None
        check_finite(actions)
        first = 0
        for worker, count in self._asking:
            worker.ask(_rows(actions, slice(first, first + count)))
            first += count
        return self._collect(self.pending.request)

    def close(self) -> None:
        for worker in self.workers:
            worker.close()

    @property
    def metrics(self) -> dict[str, float]:
        """Of the last request: the part of its time in which each worker had nothing to do."""
        seconds = max(self._ended - self._began, 1e-9)
        idle = {f"workers/{w.index}/idle": 1.0 - w.busy_s / seconds for w in self.workers}
        return idle | {"workers/restarts": float(self.restarts)}

    def _collect(self, request: RolloutRequest) -> ObservationBatch:
        """The next batch: of all who were asked and answer. For one that is only starting nobody
        waits, unless there is nothing else to go on with."""
        parts: dict[int, ObservationBatch] = {}
        while any(worker.asked for worker in self.workers) or (
            not any(_actions(part) for part in parts.values())
            and any(worker.request for worker in self.workers)
        ):
            self._listen(parts)
        asking = [(self.workers[i], _actions(part)) for i, part in sorted(parts.items())]
        self._asking = [(worker, count) for worker, count in asking if count]
        self.pending = self._merged(request, [part for _, part in sorted(parts.items())])
        self._sequence += 1
        self._ended = time.monotonic()
        return self.pending

    def _listen(self, parts: dict[int, ObservationBatch]) -> None:
        """Take in what is said next; replace who is overdue."""
        owing = [worker for worker in self.workers if worker.asked or worker.starting]
        due = {w.index: w.due(self._deadline_s, self._start_s) for w in owing}
        patience = max(0.0, min(due.values()) - time.monotonic())
        heard = wait([worker.pipe for worker in owing], patience)
        now = time.monotonic()
        for worker in owing:
            if worker.pipe in heard:
                self._hear(worker, parts)
            elif now >= due[worker.index]:
                self._replace(worker, f"said nothing for {due[worker.index] - worker.since:g} s")

    def _hear(self, worker: Worker, parts: dict[int, ObservationBatch]) -> None:
        try:
            reply = worker.receive()
        except BlockingIOError:
            self._replace(worker, f"stopped in the middle of an answer for {self._deadline_s:g} s")
            return
        except (EOFError, OSError):
            self._replace(worker, worker.said_last)
            return
        if reply.problem:
            raise ValueError(reply.problem)
        self.unstable_groups += reply.unstable_groups
        self.unanswered_groups += reply.unanswered_groups
        if reply.batch:
            parts[worker.index] = reply.batch

    def _replace(self, worker: Worker, why: str) -> None:
        lost = worker.restart()
        self.restarts += 1
        cost = f"groups {', '.join(map(str, lost))} are dropped" if lost else "no group is lost"
        self.news.append(f"simulation worker {worker.index} {why}: it is started anew, {cost}")
        if worker.failures >= PATIENCE:
            raise SimulationLost(
                f"simulation worker {worker.index} {why}, for the {PATIENCE}nd time in a row: look "
                "above for its own words, and run with workers:=0 to see it fail in this process"
            )

    def _merged(
        self, request: RolloutRequest, parts: Sequence[ObservationBatch]
    ) -> ObservationBatch:
        done = not any(worker.request for worker in self.workers)
        if not parts:  # nobody is left of those who were asked
            assert self.pending is not None and done
            parts = [_nothing(self.pending)]
        return ObservationBatch(
            sequence=self._sequence,
            request=request,
            observations=reduce(joined, (part.observations for part in parts)),
            outcomes=_joined_outcomes([part.outcomes for part in parts]),
            last=done,
            render_s=max(part.render_s for part in parts),
        )


def check_workers(count: int, num_envs: int, group_size: int) -> None:
    """ValueError where the workers could not own equal shares of whole groups."""
    if count < 1 or num_envs % (count * group_size):
        fitting = max(1, num_envs // (max(count, 1) * group_size)) * max(count, 1) * group_size
        raise ValueError(
            f"num_envs:={num_envs} cannot be shared out equally among {count} workers in groups of "
            f"{group_size}; take num_envs:={fitting}"
        )


def _actions(part: ObservationBatch) -> int:
    """How many it asks for."""
    return int(part.observations.samples_N.sum())


def _rows(actions: ActionBatch, part: slice) -> ActionBatch:
    names = [f.name for f in fields(ActionBatch) if f.name.endswith(("_M", "_MT"))]
    return replace(actions, **{name: getattr(actions, name)[part] for name in names})


def _joined_outcomes(parts: Sequence[Outcomes]) -> Outcomes:
    names = {f.name for f in fields(Outcomes)} - {"reward_term_names"}
    whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return replace(parts[0], **whole)


def _nothing(batch: ObservationBatch) -> ObservationBatch:
    """Without rows."""
    obs, out = batch.observations, batch.outcomes
    arrays = [f.name for f in fields(obs) if f.name != "instruction_N"]
    outcomes = [f.name for f in fields(out) if f.name != "reward_term_names"]
    return replace(
        batch,
        observations=replace(obs, instruction_N=(), **{n: getattr(obs, n)[:0] for n in arrays}),
        outcomes=replace(out, **{n: getattr(out, n)[:0] for n in outcomes}),
    )
