"""Action chunks: cut to now, never beyond their end, never into another episode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from remote_peers import REACH, in_thread, observation, robot
from websockets.asyncio.server import serve

from rlrobo_core.codec import end_effector_target
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
    whose row h moves h tenths of a step along x."""

    def __init__(self, rows: int, change: Message | None = None):
        self.rows, self.change, self.heard = rows, change or {}, list[Message]()

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
            await connection.send(pack({"actions": actions, **self.change}))


def test_a_chunk_is_used_up_before_the_server_is_asked_again() -> None:
    server = Stranger(rows=1000)
    slow = replace(REACH, control_hz=2.0)
    with in_thread(server.serve) as port, robot(port, openpi=True, chunk_rows=1000) as there:
        there.task = slow
        one, other = (there.act(observation(b)) for b in (20, 200))
        new = there.act(observation(prompt="reach the red ball"))
    assert len(server.heard) == 2, "the second observation was served by the chunk of the first"
    assert [heard["prompt"] for heard in server.heard] == [
        "reach the green ball",
        "reach the red ball",
    ]
    pose = observation().observations.ee_pose_N
    for actions in (one, other, new):
        row = round((actions.target_M[0, 0] - pose[0, 0]) / REACH.max_step * 10)
        expected = end_effector_target(REACH, pose, np.array([[row / 10, 0, 0]]))
        np.testing.assert_allclose(actions.target_M, expected, atol=1e-6)


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
