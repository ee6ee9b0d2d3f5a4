"""Real simulation processes behind one engine: killed, stalled, replaced, and the same rollouts."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scripted import random_actions

from rlrobo_core.task_set import make_tasks
from rlrobo_core.types import NO_ACTION, Form, ObservationBatch, RolloutRequest
from rlrobo_sim.engines import RolloutEngines
from rlrobo_sim.workers import Recipe, Workers
from rlrobo_sim.workers.pool import SimulationLost
from rlrobo_sim.workers.worker import bound_reads

TASK = make_tasks("reach")["reach"]
RECIPE = Recipe("reach", "default", 4, 1, 28, ("front",))
GROUPS = tuple(range(10, 16))


@contextmanager
def workers(count: int = 2, **options: float) -> Iterator[Workers]:
    pool = Workers(RECIPE, count, **options)
    try:
        yield pool
    finally:
        pool.close()


def request(request_id: int = 7, form: Form = "episode") -> RolloutRequest:
    return RolloutRequest(request_id, 0, "train", form, "reach", 11, GROUPS, 1, 0, 1.0)


answer = partial(random_actions, TASK, reach=0.2)
"""Small motions, so that episodes last."""


Outcome = tuple[bytes, bool]
Disturb = Callable[[int, ObservationBatch], None]


def serve(
    engine: Workers | RolloutEngines,
    asked: RolloutRequest,
    disturb: Callable[[int, ObservationBatch], None],
) -> tuple[list[ObservationBatch], dict[tuple[int, int], Outcome]]:
    """All batches, and (group, step) -> reward and end; `disturb` is called with each batch
    before it is answered."""
    batch, batches = engine.start(asked), []
    found: dict[tuple[int, int], Outcome] = {}
    while True:
        batches.append(batch)
        out = batch.outcomes
        for m in range(len(out)):
            ended = bool(out.terminated_M[m] or out.truncated_M[m])
            found[int(out.group_M[m]), int(out.step_M[m])] = (out.reward_M[m].tobytes(), ended)
        if batch.last:
            return batches, found
        disturb(len(batches), batch)
        following = engine.act(answer(batch))
        assert following is not None
        batch = following


def undisturbed(_step: int, _batch: ObservationBatch) -> None:
    pass


def whole(found: dict[tuple[int, int], Outcome]) -> set[int]:
    """The groups that reached their end."""
    return {group for (group, _), (_, ended) in found.items() if ended}


@pytest.fixture(scope="module")
def alone() -> dict[tuple[int, int], Outcome]:
    """As one engine in this process rolls them out."""
    engines = RECIPE.engines(alone=False)
    try:
        return serve(engines, request(), undisturbed)[1]
    finally:
        engines.close()


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers]:
    with workers() as pool:
        yield pool


def test_workers_roll_out_what_one_engine_does(pool, alone):
    batches, found = serve(pool, request(), undisturbed)
    assert found == alone and whole(found) == set(GROUPS)
    assert [batch.sequence for batch in batches] == list(
        range(batches[0].sequence, batches[0].sequence + len(batches))
    )
    ends = np.concatenate([b.observations.group_N[b.observations.samples_N == 0] for b in batches])
    assert len(ends) == len(set(ends.tolist())) >= 1
    assert all(batch.request.group_ids == GROUPS for batch in batches)


def test_a_group_without_an_answer_is_given_up_by_name_and_the_others_go_on(pool):
    batch, lost, found = pool.start(request()), GROUPS[1], set()
    while not batch.last:
        actions = answer(batch)
        unknown_M1 = ((actions.group_M == lost) & (actions.step_M == 1))[:, None]
        token_MT = np.where(unknown_M1, NO_ACTION, actions.token_MT)
        batch = pool.act(replace(actions, token_MT=token_MT))
        assert batch is not None
        ended_M = batch.outcomes.terminated_M | batch.outcomes.truncated_M
        found |= set(batch.outcomes.group_M[ended_M].tolist())
    assert pool.unanswered_groups == [lost] and not pool.unstable_groups
    assert found == set(GROUPS) - {lost}
    pool.unanswered_groups.clear()


def test_shares_are_equal_and_idle_time_is_told(pool):
    batches, _ = serve(pool, request(8), undisturbed)
    first = batches[0].observations
    assert first.group_N.tolist() == [10, 11, 13, 14]  # each begins with as many as it has worlds
    metrics = pool.metrics
    assert metrics.keys() == {"workers/0/idle", "workers/1/idle", "workers/restarts"}
    assert all(0.0 < metrics[f"workers/{i}/idle"] < 1.0 for i in (0, 1))
    assert metrics["workers/restarts"] == 0.0 and not pool.news


def test_an_answer_to_something_else_is_ignored(pool):
    first = pool.start(request(9))
    old = answer(first)
    second = pool.act(old)
    assert second is not None and pool.act(old) is None and pool.pending is second
    again = pool.start(request(10))
    assert again.observations.group_N.tolist() == first.observations.group_N.tolist()
    assert pool.act(answer(second)) is None


def test_a_worker_that_is_killed_costs_what_ran_in_it_and_nothing_else(pool, alone):
    """In the middle of the episodes of its groups, of which one has not begun."""
    process = pool.workers[1].process

    def kill(step: int, batch: ObservationBatch) -> None:
        if step == 3:
            assert batch.observations.group_N.tolist() == [10, 11, 13, 14]
            process.kill()
            process.wait()

    _, found = serve(pool, request(11), kill)
    assert whole(found) == {10, 11, 12, 15}
    assert all(alone[key] == outcome for key, outcome in found.items())
    assert {key for key in alone if key[0] in whole(found)} <= found.keys()
    (news,) = pool.news
    assert "worker 1 ended with exit code -9" in news and "groups 13, 14 are dropped" in news
    assert pool.metrics["workers/restarts"] == 1.0
    pool.news.clear()
    assert serve(pool, request(12), undisturbed)[1] == alone  # as good as new


def test_a_worker_that_stalls_is_replaced_while_the_others_go_on(alone):
    with workers(deadline_s=6.0) as pool:

        def stall(step: int, _batch: ObservationBatch) -> None:
            if step == 2:
                pool.workers[0].process.send_signal(signal.SIGSTOP)

        batches, found = serve(pool, request(), stall)
        assert whole(found) == {12, 13, 14, 15}
        assert all(alone[key] == outcome for key, outcome in found.items())
        (news,) = pool.news
        assert "worker 0 said nothing for 6 s" in news and "groups 10, 11 are dropped" in news
        # Nobody waited for the new process: the other worker was asked on meanwhile.
        after = [batch for batch in batches[2:] if 12 not in batch.observations.group_N]
        assert any(len(batch.observations) for batch in after)


def test_a_worker_that_stops_in_the_middle_of_an_answer_is_replaced(alone):
    with workers(deadline_s=6.0) as pool:
        here, there = multiprocessing.Pipe()
        bound_reads(here, 6.0)

        def stop(step: int, _batch: ObservationBatch) -> None:
            if step == 2:
                pool.workers[0].process.send_signal(signal.SIGSTOP)
                pool.workers[0].pipe.close()
                pool.workers[0].pipe = here
                os.write(there.fileno(), struct.pack("!i", 10_000) + b"the first bytes")

        _, found = serve(pool, request(), stop)
        there.close()
        assert whole(found) == {12, 13, 14, 15}
        assert all(alone[key] == outcome for key, outcome in found.items())
        (news,) = pool.news
        assert "worker 0 stopped in the middle of an answer for 6 s" in news


def test_a_worker_that_fails_again_and_again_ends_the_run(monkeypatch):
    with workers() as pool:

        def kill(step: int, _batch: ObservationBatch) -> None:
            if step == 1:
                monkeypatch.setattr("sys.executable", "/bin/false")  # none comes to life again
                pool.workers[0].process.kill()

        with pytest.raises(SimulationLost, match=r"worker 0 ended with exit code 1.*workers:=0"):
            serve(pool, request(), kill)


def test_what_cannot_work_names_the_cure(pool):
    with pytest.raises(ValueError, match=r"num_envs:=4 .* among 3 workers.*take num_envs:=3"):
        Workers(RECIPE, 3)
    with pytest.raises(ValueError, match=r"one process: set workers:=0"):
        pool.start(request(form="look"))
    with pytest.raises(ValueError, match=r"unknown robot 'none'"):
        Workers(replace(RECIPE, robot="none"), 1)
