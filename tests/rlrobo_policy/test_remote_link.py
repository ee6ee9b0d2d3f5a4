"""Answers that come late, connections that are cut, and how it goes on."""

from __future__ import annotations

import threading

import pytest
from remote_peers import MeanColour, answers, network, observation, robot, serving, until

from rlrobo_policy.remote.client import RemotePolicy
from rlrobo_policy.remote.failures import NoAnswer


def test_a_late_answer_is_never_taken_for_the_next_ones() -> None:
    policy = MeanColour()
    with serving(policy) as port, robot(port, deadline_s=0.3) as there:
        policy.delay_s = 0.6
        assert not answers(there, 10)
        policy.delay_s = 0.0
        until(lambda: answers(there, 200))  # checks that the actions are those of this image
        assert answers(there, 30)


def test_a_slow_server_is_not_buried_under_questions() -> None:
    policy = MeanColour()
    policy.delay_s = 0.5
    with serving(policy) as port, robot(port, deadline_s=0.02) as there:
        assert not any(answers(there) for _ in range(10))
        assert policy.asked <= 2


def test_a_cut_connection_is_no_answer_and_then_resumes() -> None:
    with serving() as port, network(port) as between, robot(between.port) as there:
        assert answers(there)
        between.cut()
        until(lambda: not answers(there))
        with pytest.raises(NoAnswer, match=r"lost|no server answers|no sign of life"):
            there.act(observation())
        between.mend()
        until(lambda: answers(there))


def test_a_silent_network_is_no_answer_and_then_resumes() -> None:
    with (
        serving() as port,
        network(port) as between,
        robot(between.port, deadline_s=1.0, silence_s=1.0) as there,
    ):
        until(lambda: answers(there))
        between.silent = True
        with pytest.raises(NoAnswer):
            there.act(observation())
        between.mend()
        until(lambda: answers(there))


def test_a_server_that_comes_back_with_another_policy_is_refused() -> None:
    with serving() as port, network(port) as between, robot(between.port) as there:
        assert answers(there)
        other = MeanColour()
        with serving(other, image_size=112) as worse:
            between.to_port = worse
            between.break_connections()
            until(lambda: refused(there, "image_size is 112 there and 56 here"))
        assert other.asked == 0
        between.to_port = port
        between.break_connections()
        until(lambda: answers(there))


def refused(policy: RemotePolicy, sentence: str) -> bool:
    try:
        policy.act(observation())
    except NoAnswer as error:
        return sentence in str(error)
    return False


def test_a_robot_that_starts_first_waits_for_its_server() -> None:
    with serving() as port, network(port) as between:
        between.cut()
        threading.Timer(0.3, between.mend).start()
        with robot(between.port) as there:
            assert answers(there)
