"""A policy behind a server acts as it does beside the arm, or is refused before it acts."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from remote_peers import (
    CAMERAS,
    REACH,
    SIDE,
    MeanColour,
    answers,
    observation,
    robot,
    serving,
    start_robot,
    until,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from rlrobo_core.types import PolicyUpdate
from rlrobo_policy.remote.client import RemoteConfig, RemotePolicy
from rlrobo_policy.remote.failures import NoAnswer
from rlrobo_policy.remote.layout import Served, question
from rlrobo_policy.remote.wire import pack, unpack

# The same policy -------------------------------------------------------------------------


def test_it_acts_as_it_does_without_a_network() -> None:
    here = MeanColour()
    with serving() as port, robot(port) as there:
        assert there.version == MeanColour.version
        for brightness, prompt in ((20, "go"), (90, "reach the green ball"), (230, "")):
            asked = observation(brightness, step=brightness, prompt=prompt)
            local, remote = here.act(asked), there.act(asked)
            np.testing.assert_allclose(remote.target_M, local.target_M, atol=1e-6)
            for name in ("request_id", "policy_version"):
                assert getattr(remote, name) == getattr(local, name)
            for name in ("group_M", "rollout_M", "step_M", "token_MT", "logprob_MT"):
                np.testing.assert_array_equal(getattr(remote, name), getattr(local, name))
        assert there.version == MeanColour.version


def test_the_policy_there_is_told_all_that_one_here_is_told() -> None:
    heard = []

    class Listening(MeanColour):
        def act(self, batch):
            heard.append(batch)
            return super().act(batch)

    asked = observation()
    with serving(Listening()) as port, robot(port) as there:
        there.act(asked)
    (got,) = heard
    for name in asked.observations.__dataclass_fields__:
        there, here = getattr(got.observations, name), getattr(asked.observations, name)
        np.testing.assert_array_equal(there, here)
        assert name == "instruction_N" or there.dtype == here.dtype or name == "group_N"
    for name in ("task", "seed", "iteration", "temperature"):
        assert getattr(got.request, name) == getattr(asked.request, name)


def test_cameras_go_by_name_not_by_order() -> None:
    asked = observation(90)
    images = asked.observations.image_NC
    turned = replace(asked, observations=replace(asked.observations, image_NC=images[:, ::-1]))
    with serving(cameras=("wrist", "front")) as port, robot(port) as there:
        np.testing.assert_allclose(
            there.act(asked).target_M, MeanColour().act(turned).target_M, atol=1e-6
        )


def test_the_round_trip_is_told_beside_the_models_time() -> None:
    slow = MeanColour()
    slow.delay_s = 0.05
    with serving(slow) as port, robot(port) as there:
        there.act(observation())
        assert there.timing.infer_s >= 0.05
        assert there.timing.round_trip_s > there.timing.infer_s


def test_a_task_under_a_shift_is_the_task() -> None:
    asked = observation()
    with serving() as port, robot(port) as there:
        plain = there.act(asked)
        shifted = there.act(replace(asked, request=replace(asked.request, task="reach+camera")))
    np.testing.assert_array_equal(plain.target_M, shifted.target_M)


def test_several_robots_are_served() -> None:
    with serving() as port, robot(port) as one, robot(port) as other:
        for brightness in (20, 120, 220):
            asked = [observation(brightness), observation(brightness + 10)]
            for policy, batch in zip((one, other), asked, strict=True):
                np.testing.assert_allclose(
                    policy.act(batch).target_M, MeanColour().act(batch).target_M, atol=1e-6
                )


def test_weights_and_many_environments_are_not_for_a_remote_policy() -> None:
    many = observation()
    obs = many.observations
    with serving() as port, robot(port) as there:
        with pytest.raises(ValueError, match="policy_server there with another --checkpoint"):
            there.load_weights(PolicyUpdate(1, "x"))
        for samples in ([4], [1, 1]):
            wide = replace(obs, samples_N=np.array(samples, np.int32))
            with pytest.raises(ValueError, match="one robot"):
                there.act(replace(many, observations=wide))
        with pytest.raises(ValueError, match=r"for task 'push'.*task:=push"):
            there.act(replace(many, request=replace(many.request, task="push")))
        small = replace(obs, image_NC=obs.image_NC[:, :, :28])
        with pytest.raises(ValueError, match=r"\[1, 2, 28, 56, 3\].*\[1, 2, 56, 56, 3\]"):
            there.act(replace(many, observations=small))


def test_the_client_needs_no_torch() -> None:
    code = (
        "import sys, rlrobo_policy.remote.client, rlrobo_policy.remote.server; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Refused before anything moves -----------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        ({"cameras": ("front",)}, r"cameras are \('front',\) there and \('front', 'wrist'\) here"),
        ({"image_size": 112}, "image_size is 112 there and 56 here"),
        ({"task": replace(REACH, max_step=0.01)}, r"max_step=0.01.* there and .*max_step=0.05"),
        ({"task": replace(REACH, action_dims=("x", "y"))}, "actions of 'reach' are"),
        ({"task": replace(REACH, name="push")}, "task 'reach' is not among push"),
    ],
)
def test_a_server_of_another_space_is_refused(server: dict[str, Any], sentence: str) -> None:
    policy = MeanColour()
    sentence += r".*Start the policy_server"
    with serving(policy, **server) as port, pytest.raises(ValueError, match=sentence):
        start_robot(port)
    assert policy.asked == 0


@pytest.mark.parametrize(
    "damage",
    [
        {"protocol": 99},
        {"cameras": None},
        {"cameras": [[1]]},
        {"image_size": "large"},
        {"image_size": float("inf")},
        {"tasks": []},
        {"tasks": {"reach": {}}},
        {"tasks": {"reach": {"action_dims": [[]], "max_step": np.ones(2), "hold_width": None}}},
        {"policy_version": "new"},
    ],
)
def test_metadata_that_are_damaged_are_refused(damage: dict[str, Any]) -> None:
    wanted = Served.of([REACH], CAMERAS, SIDE)
    said = unpack(pack(wanted.metadata()))
    wanted.check(Served.from_metadata(said))
    with pytest.raises(ValueError):
        wanted.check(Served.from_metadata({"rlrobo": said["rlrobo"] | damage}))


def test_no_server_is_named_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"no server answers.*rlrobo run rlrobo_policy"):
        start_robot(1, start_s=0.3)


@pytest.mark.parametrize("server", ["http://a:1", "a:1", "wss://", "", "ws://a:x", "ws://a:99999"])
def test_a_server_that_is_no_address_is_refused(server: str) -> None:
    with pytest.raises(ValueError, match="must be wss://name:port"):
        RemotePolicy(RemoteConfig(server=server), REACH, CAMERAS, SIDE)


# Strangers' messages ---------------------------------------------------------------------


def stranger_at(port: int) -> ClientConnection:
    """A websocket client that speaks for itself."""
    return connect(f"ws://127.0.0.1:{port}")


def good() -> dict[str, Any]:
    return question(observation(), CAMERAS, ours=True)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"observation/image": None}, "lacks the array 'observation/image'"),
        ({"observation/image": np.zeros((2, 2, 3), np.uint8)}, r"must be uint8\[56, 56, 3\]"),
        ({"observation/image": np.zeros((SIDE, SIDE, 3))}, r"float64.* must be uint8"),
        ({"observation/image": np.zeros((SIDE, SIDE, 3), np.uint16)}, r"uint16.* must be uint8"),
        ({"observation/state": np.zeros(7)}, r"must be float32\[8\]"),
        ({"observation/state": np.full(8, np.nan)}, "must be numbers"),
        ({"prompt": 7}, "lacks 'prompt'"),
        ({"rlrobo": {"task": "stack"}}, "does not act for task 'stack'; it acts for: reach"),
        ({"rlrobo": {"step": 2**40}}, "'step' must be a whole number"),
        ({"rlrobo": {"temperature": -1}}, "'temperature' a number that is not negative"),
        ({"rlrobo": []}, "'rlrobo' of the observation must be a map"),
    ],
)
def test_bad_observations_are_named_and_others_are_served(
    change: dict[str, Any], sentence: str
) -> None:
    policy = MeanColour()
    with (
        serving(policy) as port,
        stranger_at(port) as stranger,
        robot(port) as ours,
    ):
        unpack(stranger.recv())
        stranger.send(pack({**good(), **change}))
        said = stranger.recv()
        assert isinstance(said, str)
        with pytest.raises(ConnectionClosed):
            stranger.recv()
        assert policy.asked == 0
        ours.act(observation())
    assert re.search(sentence, said)


@pytest.mark.parametrize("data", [b"", b"\xc1", "text", b"\x91" * 1000])
def test_garbage_is_refused(data: bytes | str) -> None:
    with serving() as port, stranger_at(port) as stranger:
        stranger.recv()
        stranger.send(data)
        assert isinstance(stranger.recv(), str)
        with pytest.raises(ConnectionClosed):
            stranger.recv()


def test_long_messages_are_not_read() -> None:
    with serving(max_message_mib=1) as port, stranger_at(port) as stranger:
        stranger.recv()
        stranger.send(bytes(2**20 + 1))
        with pytest.raises(ConnectionClosed) as closed:
            stranger.recv()
        assert closed.value.rcvd.code == 1009
    with serving(max_message_mib=1) as port, robot(port) as ours:
        ours.act(observation())


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_a_policy_that_fails_is_no_answer_and_the_server_lives(kind: type[Exception]) -> None:
    class Failing(MeanColour):
        def act(self, batch):
            if "fail" in batch.observations.instruction_N[0]:
                raise kind("the secret path /home/me")
            return super().act(batch)

    with serving(Failing()) as port, robot(port) as there:
        with pytest.raises(NoAnswer, match="the policy failed; see the server's log") as failure:
            there.act(observation(prompt="fail"))
        assert "secret" not in str(failure.value)
        until(lambda: answers(there))
