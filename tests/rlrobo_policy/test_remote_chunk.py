"""Action chunks: cut to now, never beyond their end, never into another episode."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from remote_peers import REACH, in_thread, network, observation, robot, until
from websockets.asyncio.server import serve

from rlrobo_core.types import ActionBatch
from rlrobo_policy.remote.chunk import Chunk
from rlrobo_policy.remote.failures import NoAnswer
from rlrobo_policy.remote.layout import Answer
from rlrobo_policy.remote.server import port_of
from rlrobo_policy.remote.wire import Message, pack, unpack

NONE_I, NONE_F = np.zeros(0, np.int32), np.zeros(0, np.float32)


def chunk(rows: int, hz: float = 10.0) -> Chunk:
    return Chunk(Answer(np.zeros((rows, 3), np.float32), NONE_I, NONE_F, 0, 0.0), 100.0, hz, ("a",))


@given(rows=st.integers(1, 50), late=st.floats(0, 10), used=st.integers(1, 50))
def test_the_row_is_that_of_now(rows: int, late: float, used: int) -> None:
    it, now = chunk(rows), 100.0 + late
    row = it.row(now)
    assert 0 <= row < rows
    assert row == rows - 1 or abs(row / 10.0 - late) <= 0.0501
    if it.serves(("a",), now, used):
        assert row < min(rows, used) and rows > 1 and used > 1
    assert not it.serves(("b",), now, used)


def test_rows_pass_with_time_and_then_one_must_ask() -> None:
    it = chunk(4)
    assert [it.row(100.0 + t) for t in (0.0, 0.1, 0.2, 0.26, 0.9)] == [0, 1, 2, 3, 3]
    assert [it.serves(("a",), 100.0 + t, 3) for t in (0.1, 0.2, 0.3)] == [True, True, False]


class Stranger:
    """An openpi server, as far as a client sees it: says nothing of itself, answers with a chunk
    whose row h moves h tenths of a step along x, and y tells which answer it is."""

    def __init__(self, rows: int, change: Message | None = None):
        self.rows, self.change, self.heard = rows, change or {}, list[Message]()
        self.awake = threading.Event()
        """Only then it answers."""
        self.awake.set()

    async def serve(self, report: Any) -> None:
        async with serve(self._converse, "127.0.0.1", 0, max_size=None) as server:
            report(port_of(server))
            await server.serve_forever()

    async def _converse(self, connection: Any) -> None:
        await connection.send(pack({"reset_pose": [0.0]}))
        async for said in connection:
            self.heard.append(unpack(said))
            actions = np.zeros((self.rows, 3))
            actions[:, 0] = np.arange(self.rows) / 10
            actions[:, 1] = (len(self.heard) - 1) / 100
            while not self.awake.is_set():
                await asyncio.sleep(0.01)
            await connection.send(pack({"actions": actions, **self.change}))


def row_and_answer(actions: ActionBatch) -> tuple[int, int]:
    """Which row of which answer an action is."""
    moved = actions.target_M[0, :3] - observation().observations.ee_pose_N[0, :3]
    return round(moved[0] / REACH.max_step * 10), round(moved[1] / REACH.max_step * 100)


@contextmanager
def slow_robot(port: int, **config: Any) -> Iterator[Any]:
    """Whose control step takes as long as any test."""
    with robot(port, openpi=True, chunk_rows=1000, **config) as there:
        there.task = replace(REACH, control_hz=0.01)
        yield there


def pass_time(there: Any, steps: float) -> None:
    """As if the present chunk were older by so many control steps."""
    there._chunk = replace(there._chunk, observed_s=there._chunk.observed_s - 100.0 * steps)


def test_the_next_chunk_is_fetched_while_the_present_one_is_used() -> None:
    server = Stranger(rows=11)
    with in_thread(server.serve) as port, slow_robot(port) as there:
        assert row_and_answer(there.act(observation())) == (0, 0)
        server.awake.clear()
        for step in range(5):  # it does not wait
            assert row_and_answer(there.act(observation())) == (step, 0)
            pass_time(there, 1.0)
        until(lambda: len(server.heard) == 2)
        there.act(observation())
        assert len(server.heard) == 2, "one question at a time"
        server.awake.set()
        until(lambda: row_and_answer(there.act(observation()))[1] > 0)
        until(lambda: bool(there.act(observation())) and len(server.heard) > 4)


def test_one_row_is_waited_for_whatever_the_server_has() -> None:
    server = Stranger(rows=11)
    with in_thread(server.serve) as port, robot(port, openpi=True) as there:
        said = [row_and_answer(there.act(observation()))[1] for _ in range(3)]
    assert said == [0, 1, 2]


def test_a_chunk_belongs_to_its_episode() -> None:
    server = Stranger(rows=11)
    with in_thread(server.serve) as port, slow_robot(port) as there:
        there.act(observation())
        there.act(observation())  # asks ahead
        there.act(observation(prompt="reach the red ball"))
    assert server.heard[-1]["prompt"] == "reach the red ball"
    assert {heard["prompt"] for heard in server.heard[:-1]} == {"reach the green ball"}


def test_an_answer_that_was_fetched_ahead_and_is_late_is_never_used() -> None:
    server = Stranger(rows=11)
    with in_thread(server.serve) as port, slow_robot(port, deadline_s=2.0) as there:
        there.act(observation())
        server.awake.clear()
        there.act(observation())
        assert isinstance(there._ahead.heard.exception(timeout=60.0), NoAnswer)
        server.awake.set()
        said = [row_and_answer(there.act(observation()))[1]]
        until(lambda: said.append(row_and_answer(there.act(observation()))[1]) or said[-1] > 0)
        assert 1 not in said and said[0] == 0


def test_a_chunk_is_cut_to_now_by_the_age_of_its_observation() -> None:
    with in_thread(Stranger(rows=11).serve) as port:
        with robot(port, openpi=True, deadline_s=60.0) as there:
            there.task = replace(REACH, control_hz=0.1)
            row, _ = row_and_answer(there.act(observation(), age_s=31.0))
            assert 3 <= row <= 6
        with (
            robot(port, openpi=True, deadline_s=0.5) as there,
            pytest.raises(NoAnswer, match="no answer"),
        ):
            there.act(observation(), age_s=0.6)


def test_a_cut_in_the_middle_of_a_chunk_is_no_answer_at_its_end_and_then_resumes() -> None:
    with (
        in_thread(Stranger(rows=11).serve) as port,
        network(port) as between,
        slow_robot(between.port) as there,
    ):
        there.act(observation())
        between.cut()
        for step in range(3):
            assert row_and_answer(there.act(observation()))[0] == step
            pass_time(there, 1.0)
        pass_time(there, 1000.0)

        def is_silent() -> bool:
            try:
                there.act(observation())
            except NoAnswer:
                return True
            return False

        until(is_silent)
        between.mend()
        until(lambda: not is_silent())
        assert row_and_answer(there.act(observation()))[1] > 0


def test_what_an_openpi_server_hears_is_in_its_own_words() -> None:
    server = Stranger(rows=2)
    with in_thread(server.serve) as port, robot(port, openpi=True) as there:
        asked = observation(90)
        actions = there.act(asked)
    (heard,) = server.heard
    obs = asked.observations
    assert set(heard) == {
        "observation/image",
        "observation/wrist_image",
        "observation/state",
        "prompt",
    }
    np.testing.assert_array_equal(heard["observation/wrist_image"], obs.image_NC[0, 1])
    np.testing.assert_array_equal(heard["observation/state"][:7], obs.ee_pose_N[0])
    assert actions.policy_version == -1 and actions.token_MT.shape == (1, 0)


def test_a_server_that_says_nothing_of_itself_is_refused() -> None:
    with (
        in_thread(Stranger(rows=1).serve) as port,
        pytest.raises(ValueError, match=r"reset_pose.*openpi:=true"),
        robot(port),
    ):
        pass


@pytest.mark.parametrize(
    "actions",
    [
        np.zeros((5, 7)),
        np.zeros((0, 3)),
        np.zeros(3),
        np.full((1, 3), np.nan),
        np.full((1, 3), np.inf),
        [[0.0, 0.0, 0.0]],
        None,
    ],
)
def test_actions_of_another_shape_or_no_numbers_are_no_answer(actions: Any) -> None:
    server = Stranger(1, {"actions": actions})
    with in_thread(server.serve) as port, robot(port, openpi=True) as there:
        for _ in range(2):
            with pytest.raises(NoAnswer, match="of no use"):
                there.act(observation())


def test_no_server_sends_the_arm_further_than_a_step() -> None:
    server = Stranger(1, {"actions": np.array([[1e9, -1e9, 2.0]])})
    with in_thread(server.serve) as port, robot(port, openpi=True) as there:
        target = there.act(observation()).target_M[0, :3]
    moved = target - observation().observations.ee_pose_N[0, :3]
    np.testing.assert_allclose(np.abs(moved), REACH.max_step, atol=1e-6)
