"""The policy server: answers observations that come over websockets.

One thread receives and sends, another computes: the connection lives, and `GET /healthz`
answers, while the model thinks. Clients are served in the order of their questions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import count
from ssl import SSLContext
from typing import TYPE_CHECKING, NamedTuple

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from rlrobo_core.codec import normalised_action
from rlrobo_core.shifts import parse_task
from rlrobo_core.tasks import Task
from rlrobo_core.types import ObservationBatch
from rlrobo_policy.remote.layout import Served, answer, read_question
from rlrobo_policy.remote.secrecy import authorised, is_loopback, read_token, server_tls
from rlrobo_policy.remote.wire import Message, pack, unpack

if TYPE_CHECKING:  # it imports torch
    from rlrobo_policy.policy import Policy

log = logging.getLogger("rlrobo.policy_server")

INVALID_DATA, INTERNAL_ERROR = 1007, 1011
"""Reasons to close (RFC 6455, section 7.4.1)."""


@dataclass(frozen=True)
class ServerConfig:
    """Where the server listens, and to whom."""

    host: str = "127.0.0.1"
    """Address to listen at: 127.0.0.1 for this machine alone, 0.0.0.0 for every network."""
    port: int = 8000
    """Port to listen at; 0 takes a free one."""
    tls_cert: str = ""
    """PEM file of the certificate, with its chain; with it the server speaks wss://."""
    tls_key: str = ""
    """PEM file of the certificate's key."""
    token_file: str = ""
    """File with the token that clients must bring."""
    insecure: bool = False
    """Listen beyond this machine without TLS or without a token, on a network that is closed by
    itself."""
    max_message_mib: int = 16
    """Longer messages are not read [MiB]."""


class PolicyFailed(Exception):
    """Its cause is for the server's log, not for who asked."""


class Door(NamedTuple):
    tls: SSLContext | None
    token: str


def door_of(config: ServerConfig) -> Door:
    """ValueError for a certificate or a token that is no good, and where strangers could ask."""
    door = Door(server_tls(config.tls_cert, config.tls_key), read_token(config.token_file))
    if not (is_loopback(config.host) or (door.tls and door.token) or config.insecure):
        raise ValueError(
            f"at {config.host} everyone in its network could read along and ask: give "
            "--tls-cert, --tls-key and --token-file, or listen at --host 127.0.0.1 (behind an "
            "ssh tunnel), or say --insecure where the network is closed by itself"
        )
    return door


class PolicyServer:
    def __init__(
        self,
        policy: Policy,
        tasks: dict[str, Task],
        served: Served,
        config: ServerConfig = ServerConfig(),
        history: int = 0,
    ) -> None:
        """`served` is what `policy` sees and does, `tasks` those that it names; `history`: how many
        turns before the present one it reads. ValueError as `door_of`."""
        self.policy, self.tasks, self.served, self.config = policy, tasks, served, config
        self.history = history
        self._connections = count(1)
        self._door = door_of(config)

    @property
    def scheme(self) -> str:
        return "wss" if self._door.tls else "ws"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """The port, as long as the server answers there. ValueError where it is taken."""
        config = self.config
        with ThreadPoolExecutor(1, "policy") as self._thread:
            try:
                server = await serve(
                    self._converse,
                    config.host,
                    config.port,
                    ssl=self._door.tls,
                    process_request=self._admit,
                    compression=None,  # camera images hardly shrink, and nothing can unfold here
                    max_size=config.max_message_mib * 2**20,
                )
            except OSError as error:
                raise ValueError(
                    f"cannot listen at {config.host} port {config.port}: {error}; choose another "
                    "--port or --host"
                ) from error
            async with server:
                yield port_of(server)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/healthz":
            return connection.respond(HTTPStatus.OK, "OK\n")
        given, token = request.headers.get("Authorization", ""), self._door.token
        if token and not authorised(given, token):
            log.warning("%s brought no valid token", connection.remote_address)
            return connection.respond(HTTPStatus.UNAUTHORIZED, "this server asks for its token\n")
        return None

    async def _converse(self, connection: ServerConnection) -> None:
        who = connection.remote_address  # it is forgotten when the connection ends
        number = next(self._connections)
        log.info("%s connected", who)
        try:
            served = replace(self.served, policy_version=self.policy.version)
            await connection.send(pack(served.metadata()))
            async for said in connection:
                await connection.send(await self._answer(said, number))
        except ConnectionClosed:
            pass
        except ValueError as error:
            await self._end(connection, INVALID_DATA, str(error))
        except PolicyFailed as failure:
            log.error("the policy failed", exc_info=failure.__cause__)
            await self._end(connection, INTERNAL_ERROR, "the policy failed; see the server's log")
        log.info("%s left", who)

    async def _end(self, connection: ServerConnection, code: int, sentence: str) -> None:
        """openpi's way to say an error: as text, then the connection closes."""
        log.warning("%s: %s", connection.remote_address, sentence)
        try:
            await connection.send(sentence)
            await connection.close(code, "see the message before")
        except ConnectionClosed:
            pass

    async def _answer(self, said: bytes | str, connection: int) -> bytes:
        """Of a connection's conversation, which is told from others by its number."""
        if isinstance(said, str):
            raise ValueError("text came, but observations are binary messages of msgpack")
        question = unpack(said)
        if self.history and "rlrobo" not in question:
            raise ValueError(
                f"the policy reads {self.history} turns of the episode before the present one, so "
                "the observation must say whose it is: send 'rlrobo' with 'group', which counts "
                "episodes, and 'step', or serve a checkpoint of a run with history:=0"
            )
        batch = read_question(question, self.served)
        batch = replace(batch, request=replace(batch.request, request_id=connection))
        name, _ = parse_task(batch.request.task)
        if name not in self.tasks:
            raise ValueError(
                f"the policy does not act for task {name!r}; it acts for: {', '.join(self.tasks)}"
            )
        loop = asyncio.get_running_loop()
        return pack(await loop.run_in_executor(self._thread, self._act, batch, self.tasks[name]))

    def _act(self, batch: ObservationBatch, task: Task) -> Message:
        began = time.perf_counter()
        try:
            actions = self.policy.act(batch)
        except Exception as error:
            raise PolicyFailed from error
        if not actions.said_M.all():
            raise ValueError(
                f"the policy does not know what came before step {batch.observations.step_N[0]} of "
                "this episode, as where the connection was lost in it: begin anew with step 0"
            )
        took = time.perf_counter() - began
        action_ND = normalised_action(task, batch.observations.ee_pose_N, actions.target_M)
        return answer(actions, action_ND[0], took)


def port_of(server: Server) -> int:
    return next(iter(server.sockets)).getsockname()[1]
