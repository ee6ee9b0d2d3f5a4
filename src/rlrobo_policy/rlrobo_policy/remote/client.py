"""The policy interface, spoken over a network: what stands at the arm in the model's place."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import numpy as np

from rlrobo_core.codec import end_effector_target
from rlrobo_core.shifts import parse_task
from rlrobo_core.tasks import Task
from rlrobo_core.types import ActionBatch, ObservationBatch, PolicyUpdate
from rlrobo_policy.remote.chunk import Chunk
from rlrobo_policy.remote.failures import NoAnswer
from rlrobo_policy.remote.layout import Served, question, read_answer
from rlrobo_policy.remote.link import Heard, Link, Where
from rlrobo_policy.remote.secrecy import client_tls, is_loopback, read_token
from rlrobo_policy.remote.wire import Message


@dataclass(frozen=True)
class RemoteConfig:
    """Which server acts for this robot, and how long one waits for it."""

    server: str = "ws://127.0.0.1:8000"
    """The policy server: wss://name:port, or ws://127.0.0.1:port on this machine."""
    token_file: str = ""
    """File with the server's token."""
    ca_file: str = ""
    """PEM file of the authority that signed the server's certificate, where the system does not
    know it."""
    openpi: bool = False
    """The server is openpi's own, whose policy learned from our data sets. It does not say what
    it sees and does, so that nothing but the shape of its actions is compared."""
    deadline_s: float = field(default=0.5, metadata={"range": (0.01, 60.0)})
    """An answer that is older than this, counted from its observation, is dropped [s]."""
    chunk_rows: int = field(default=1, metadata={"range": (1, 1000)})
    """Of a server that answers with several actions, how many may be used while the next answer is
    fetched: how long the arm goes on without one [control steps]. 1: every action is waited for."""
    silence_s: float = field(default=10.0, metadata={"range": (0.1, 3600.0)})
    """A server that is silent for so long is given up and connected to anew [s]. More than an
    openpi server's first answer takes, which compiles."""
    start_s: float = field(default=60.0, metadata={"range": (0.0, 3600.0)})
    """How long to wait for the server at the start [s]."""


class Timing(NamedTuple):
    """Of the last answer [s]."""

    round_trip_s: float
    infer_s: float
    """Of it the model's, as the server says; nan where it does not."""


class Asked(NamedTuple):
    """A question that is under way."""

    heard: Future[Heard]
    observed_s: float
    """When the observation was made, by the monotonic clock [s]."""
    owner: tuple[object, ...]


class RemotePolicy:
    """A `Policy` that asks a server. `act` raises NoAnswer where there is no action in time;
    meanwhile the connection is made anew, and a later `act` answers again.

        while the present chunk serves: use its row for now, and ask about what is seen now
        when it does not:               wait for the answer
    """

    def __init__(
        self, config: RemoteConfig, task: Task, cameras: tuple[str, ...], image_size: int
    ) -> None:
        """For a robot with these cameras, in the order of its images. ValueError where no server
        answers, or one that must not move this robot."""
        self.config, self.task, self.cameras = config, task, cameras
        self.wanted = Served.of([task], cameras, image_size)
        self.version = -1
        self.timing: Timing | None = None
        self._sequence = 0
        self._chunk: Chunk | None = None
        self._ahead: Asked | None = None
        """The question that is under way while `_chunk` is used."""
        self._link = Link(_where(config), self._look_at)
        try:
            self._link.wait(config.start_s)
        except ValueError:
            self.close()
            raise

    def act(self, batch: ObservationBatch, age_s: float = 0.0) -> ActionBatch:
        """For the one observation of `batch`, made `age_s` ago [s]."""
        now_s = time.monotonic()
        observed_s = now_s - age_s
        self._check(batch)
        owner = _episode(batch)
        self._take_answer(owner)
        if self._chunk and self._chunk.serves(owner, now_s, self.config.chunk_rows):
            self._ahead = self._ahead or self._ask(batch, observed_s, owner)
        else:
            asked, self._ahead = self._ahead or self._ask(batch, observed_s, owner), None
            self._chunk = None  # it stays so where no answer comes
            self._chunk = self._chunk_of(asked)
        return self._actions(batch, self._chunk, self._chunk.row(time.monotonic()))

    def load_weights(self, update: PolicyUpdate) -> None:
        raise ValueError(
            f"policy version {update.version} was not taken up: the policy is on the server "
            f"{self.config.server}. Start the policy_server there with another --checkpoint"
        )

    def close(self) -> None:
        self._link.close()

    def _ask(self, batch: ObservationBatch, observed_s: float, owner: tuple[object, ...]) -> Asked:
        said = question(batch, self.cameras, ours=not self.config.openpi)
        heard = self._link.ask(said, until_s=observed_s + self.config.deadline_s)
        return Asked(heard, observed_s, owner)

    def _take_answer(self, owner: tuple[object, ...]) -> None:
        """Take up a chunk that was fetched ahead. Where none came in time, the present one goes on
        as long as it serves; what was asked for another episode is nobody's business any more."""
        if self._ahead and self._ahead.owner != owner:
            self._ahead.heard.cancel()
            self._ahead = None
        elif self._ahead and self._ahead.heard.done():
            asked, self._ahead = self._ahead, None
            with suppress(NoAnswer):
                self._chunk = self._chunk_of(asked)

    def _chunk_of(self, asked: Asked) -> Chunk:
        """Waits for the answer."""
        try:
            heard = asked.heard.result()
            answer = read_answer(heard.message, tuple(self.task.action_dims))
        except ValueError as error:
            raise NoAnswer(f"the answer of {self.config.server} is of no use: {error}") from error
        age_s = heard.at_s - asked.observed_s
        if age_s > self.config.deadline_s:
            raise NoAnswer(f"the answer of {self.config.server} came after {age_s:.2f} s")
        self.timing = Timing(heard.at_s - heard.asked_s, answer.infer_s)
        self.version = answer.policy_version
        return Chunk(answer, asked.observed_s, self.task.control_hz, asked.owner)

    def _actions(self, batch: ObservationBatch, chunk: Chunk, row: int) -> ActionBatch:
        obs, heard = batch.observations, chunk.answer
        spoken = slice(None) if row == 0 else slice(0)  # the tokens are those of the first row
        self._sequence += 1
        return ActionBatch(
            sequence=self._sequence,
            request_id=batch.request.request_id,
            policy_version=heard.policy_version,
            group_M=obs.group_N,
            rollout_M=obs.rollout_M,
            step_M=obs.step_N,
            token_MT=heard.token_T[None, spoken],
            logprob_MT=heard.logprob_T[None, spoken],
            target_M=end_effector_target(self.task, obs.ee_pose_N, heard.action_HD[row][None]),
        )

    def _look_at(self, metadata: Message) -> None:
        """At each connection: ValueError where this server must not move this robot."""
        if not self.config.openpi:
            there = Served.from_metadata(metadata)
            self.wanted.check(there)
            self.version = there.policy_version

    def _check(self, batch: ObservationBatch) -> None:
        obs, side = batch.observations, self.wanted.image_size
        name, _ = parse_task(batch.request.task)
        if name != self.task.name:
            raise ValueError(
                f"the request is for task {name!r}, but this policy asks its server for "
                f"{self.task.name!r}: start it with task:={name}"
            )
        if obs.samples_N.tolist() != [1]:
            raise ValueError(
                f"a remote policy acts for one robot, one action at a time, not for "
                f"{obs.samples_N.tolist()} actions of {len(obs)} observations: train and evaluate "
                "many environments with policy_backend:=local"
            )
        shape = (1, len(self.cameras), side, side, 3)
        if obs.image_NC.shape != shape or obs.image_NC.dtype != np.uint8:
            raise ValueError(
                f"the images are {obs.image_NC.dtype}{list(obs.image_NC.shape)}, but the server's "
                f"policy sees uint8{list(shape)}: cameras {self.cameras}, {side} pixels"
            )


def _episode(batch: ObservationBatch) -> tuple[object, ...]:
    """What an action chunk must not outlive."""
    obs, request = batch.observations, batch.request
    return (request, int(obs.group_N[0]), int(obs.rollout_N[0]), obs.instruction_N[0])


def _where(config: RemoteConfig) -> Where:
    url, token = urlsplit(config.server), read_token(config.token_file)
    if url.scheme not in ("ws", "wss") or not url.hostname or not _port_is_one(url):
        raise ValueError(f"server {config.server!r} must be wss://name:port or ws://127.0.0.1:port")
    if token and url.scheme == "ws" and not is_loopback(url.hostname):
        raise ValueError(
            f"the token would travel to {config.server} in the clear: use wss://, or an ssh tunnel "
            "and ws://127.0.0.1"
        )
    return Where(config.server, client_tls(config.server, config.ca_file), token, config.silence_s)


def _port_is_one(url: SplitResult) -> bool:
    try:
        return url.port is None or url.port > 0
    except ValueError:
        return False
