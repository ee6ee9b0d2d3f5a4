"""The policy server as a program, with the real tiny model."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from remote_peers import REACH, observation

from rlrobo_core.types import ObservationBatch
from rlrobo_policy.policy import load_policy, shipped_checkpoint
from rlrobo_policy.remote.client import RemoteConfig, RemotePolicy

COMMAND = [sys.executable, "-m", "rlrobo_policy.remote"]


@contextmanager
def program(*arguments: str) -> Iterator[str]:
    """The address that it says it listens at; it ends well when asked to."""
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        found = re.search(r"wss?://\S+", process.stdout.readline())
        assert found
        yield found.group()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def seen(temperature: float, step: int) -> ObservationBatch:
    """An image such as the shipped checkpoint sees."""
    batch = observation(step=step)
    image = np.random.default_rng(step).integers(0, 256, (1, 1, 112, 112, 3), dtype=np.uint8)
    return replace(
        batch,
        observations=replace(batch.observations, image_NC=image),
        request=replace(batch.request, temperature=temperature),
    )


def test_the_real_model_acts_as_beside_the_arm() -> None:
    checkpoint = shipped_checkpoint(["reach"])
    here = load_policy(str(checkpoint), REACH)
    with program("--checkpoint", str(checkpoint), "--port", "0") as server:
        there = RemotePolicy(RemoteConfig(server, deadline_s=60.0), REACH, ("front",), 112)
        try:
            for step in range(4):
                asked = seen(temperature=float(step % 2), step=step)
                local, remote = here.act(asked), there.act(asked)
                np.testing.assert_array_equal(remote.token_MT, local.token_MT)
                np.testing.assert_allclose(remote.logprob_MT, local.logprob_MT, atol=1e-5)
                np.testing.assert_allclose(remote.target_M, local.target_M, atol=1e-6)
        finally:
            there.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--checkpoint", "nowhere"), "nowhere holds no rlrobo.json"),
        (("--host", "0.0.0.0"), "give --tls-cert"),
        (("--token-file", "nowhere"), "the token file 'nowhere' cannot be read"),
        (("--task", "juggle"), "unknown task 'juggle'"),
    ],
)
def test_what_it_cannot_serve_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    given = ["--checkpoint", str(shipped_checkpoint(["reach"])), *arguments]
    ended = subprocess.run([*COMMAND, *given], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ") and sentence in ended.stderr
    assert ended.stderr.count("\n") == 1
