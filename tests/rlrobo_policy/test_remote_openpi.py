"""openpi's own client and server, where they are installed, talk with ours.

pip install --no-deps openpi-client openpi-server    # with them comes numpy < 2 otherwise
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from remote_peers import (
    CAMERAS,
    REACH,
    SIDE,
    MeanColour,
    answers,
    in_thread,
    observation,
    robot,
    serving,
)
from websockets.asyncio.server import serve

from rlrobo_core.codec import normalised_action
from rlrobo_policy.remote.layout import Served, question, read_question
from rlrobo_policy.remote.server import port_of
from rlrobo_policy.remote.wire import pack, unpack

client_module = pytest.importorskip("openpi_client.websocket_client_policy")

OBSERVED = question(observation(150), CAMERAS, ours=False)


def expected_actions() -> np.ndarray:
    batch = observation(150)
    target = MeanColour().act(batch).target_M
    return normalised_action(REACH, batch.observations.ee_pose_N, target)


def test_openpis_client_is_answered_by_our_server(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("open-sesame")
    with serving(token_file=str(tmp_path / "token")) as port:
        theirs = client_module.WebsocketClientPolicy("127.0.0.1", port, api_key="open-sesame")
        assert Served.from_metadata(theirs.get_server_metadata()).cameras == CAMERAS
        for _ in range(2):
            result = theirs.infer(OBSERVED)
            np.testing.assert_allclose(result["actions"], expected_actions(), atol=1e-6)
            assert result["policy_version"] == MeanColour.version
            assert result["server_timing"]["infer_ms"] > 0
        with pytest.raises(RuntimeError, match="lacks 'prompt'"):
            theirs.infer({**OBSERVED, "prompt": None})


class TheirPolicy:
    """An openpi policy (`infer`) that computes what ours computes, in chunks of four."""

    def infer(self, obs: dict[str, Any]) -> dict[str, Any]:
        batch = read_question(obs, Served.of([REACH], CAMERAS, SIDE))
        if batch.observations.instruction_N[0] == "fail":
            raise RuntimeError("out of memory")
        target = MeanColour().act(batch).target_M
        action = normalised_action(REACH, batch.observations.ee_pose_N, target)
        return {"actions": np.repeat(action, 4, axis=0).astype(np.float64)}


def test_our_client_is_answered_by_openpis_server() -> None:
    server_module = pytest.importorskip("openpi_server.websocket_policy_server")
    server = server_module.WebsocketPolicyServer(TheirPolicy(), metadata={"reset_pose": [0, 0]})

    async def body(report: Any) -> None:  # its `run`, on a port that is known
        async with serve(
            server._handler,
            "127.0.0.1",
            0,
            compression=None,
            max_size=None,
            process_request=server_module._health_check,
        ) as listening:
            report(port_of(listening))
            await listening.serve_forever()

    with in_thread(body) as port, robot(port, openpi=True) as ours:
        for brightness in (30, 150):
            assert answers(ours, brightness)
        assert ours.timing.infer_s > 0
        with pytest.raises(RuntimeError, match="out of memory"):
            ours.act(observation(prompt="fail"))


def test_what_openpi_packs_is_what_we_pack() -> None:
    theirs = pytest.importorskip("openpi_client.msgpack_numpy")
    assert theirs.packb(OBSERVED) == pack(OBSERVED)
    for there, here in zip(
        theirs.unpackb(pack(OBSERVED)).values(), unpack(pack(OBSERVED)).values(), strict=True
    ):
        np.testing.assert_array_equal(there, here)
