"""A server whose policy reads former turns keeps the episodes of its robots apart, and has no
action for one that it did not follow from the begin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from remote_peers import CAMERAS, REACH, SIDE, network, observation, robot, serving, until

from rlrobo_core.types import ActionBatch
from rlrobo_policy.conversation import Memory
from rlrobo_policy.policy import VlmPolicy, load_policy
from rlrobo_policy.remote.failures import NoAnswer
from rlrobo_policy.remote.layout import question


def make_policy(history: int = 2) -> VlmPolicy:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return load_policy("tiny", REACH, cameras=CAMERAS, image_size=SIDE, history=history)


@pytest.fixture(scope="module")
def policy() -> VlmPolicy:
    policy = make_policy()
    policy.memory = Memory(2, requests=4)
    return policy


def test_each_robot_has_its_own_conversation(policy: VlmPolicy) -> None:
    """Of the same ids, at the same time."""
    alone = []
    for brightness in (40, 200):
        policy.memory = Memory(2, requests=4)
        alone.append([policy.act(observation(brightness + n, step=n)) for n in range(4)])
    policy.memory = Memory(2, requests=4)
    with serving(policy, history=2) as port, robot(port) as one, robot(port) as other:
        for n in range(4):
            for there, brightness, here in zip((one, other), (40, 200), alone, strict=True):
                same(there.act(observation(brightness + n, step=n)), here[n])


def same(remote: ActionBatch, local: ActionBatch) -> None:
    np.testing.assert_array_equal(remote.token_MT, local.token_MT)
    np.testing.assert_allclose(remote.logprob_MT, local.logprob_MT, atol=1e-5)


def test_after_a_broken_connection_the_conversation_begins_anew(policy: VlmPolicy) -> None:
    with (
        serving(policy, history=2) as port,
        network(port) as between,
        robot(between.port) as there,
    ):
        first = there.act(observation(50, step=0))
        there.act(observation(60, step=1))
        between.break_connections()
        until(lambda: "does not know what came before step 2" in refused(there))
        until(lambda: acts(there))
        same(there.act(observation(50, step=0)), first)


def refused(there) -> str:
    try:
        there.act(observation(70, step=2))
    except NoAnswer as error:
        return str(error)
    return ""


def acts(there) -> bool:
    try:
        return bool(there.act(observation(50, step=0)).said_M.all())
    except NoAnswer:
        return False


def test_who_does_not_say_which_episode_it_is_gets_a_sentence(policy: VlmPolicy) -> None:
    said = question(observation(), CAMERAS, ours=False)
    with serving(policy, history=2) as port, robot(port, openpi=True) as there:
        assert "rlrobo" not in said
        with pytest.raises(NoAnswer, match=r"reads 2 turns .* send 'rlrobo' with 'group'"):
            there.act(observation())
