"""A connection that keeps itself: made, looked at, and made again when it breaks.

It lives in a thread of its own, so that whoever asks never waits longer than it wants to.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from rlrobo_policy.remote.failures import NoAnswer, Refused, explain, is_final
from rlrobo_policy.remote.wire import Message, pack, unpack

CONNECT_S = 5.0
"""An attempt to connect is given up after this [s]."""
PAUSE_S = (0.1, 5.0)
"""Before the next attempt: the first pause, doubled up to the last [s]."""
MAX_ANSWER = 2**20
"""Longer messages of a server are not read [bytes]."""


@dataclass(frozen=True)
class Where:
    """A server and what proves who we are."""

    url: str
    tls: SSLContext | None
    token: str
    silence_s: float
    """A server that is silent for so long, pings included, is gone [s]."""


class Heard(NamedTuple):
    """A server's answer; times by the monotonic clock [s]."""

    message: Message
    asked_s: float
    at_s: float


@dataclass(eq=False)
class Talk:
    """One connection. The server answers in order, so counting is enough to know what is late."""

    connection: ClientConnection
    unanswered: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, question: bytes) -> bytes | str:
        async with self.turn:
            while self.unanswered:  # what came too late for its question; never more than one
                await self._receive()
            self.unanswered += 1
            await self.connection.send(question)
            return await self._receive()

    async def _receive(self) -> bytes | str:
        answer = await self.connection.recv()
        self.unanswered -= 1
        return answer


class Link:
    def __init__(self, where: Where, look_at: Callable[[Message], None]):
        """`look_at` is given each connection's metadata first; its ValueError refuses the
        server."""
        self.where, self._look_at = where, look_at
        self._talk: Talk | None = None
        self._why = f"not connected to {where.url} yet"
        self._final = False
        self._changed = threading.Condition()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._run, name="policy link", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until there is a connection. ValueError after so many seconds, and at once where a
        person must change something first."""
        with self._changed:
            self._changed.wait_for(lambda: self._talk or self._final, seconds)
            if self._talk is None:
                raise Refused(self._why)

    def ask(self, message: Message, until_s: float) -> Future[Heard]:
        """The server's answer; NoAnswer where there is none until then, by the monotonic clock."""
        return asyncio.run_coroutine_threadsafe(self._ask(pack(message), until_s), self._loop)

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._cancel)
            self._thread.join()

    def _cancel(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    async def _ask(self, question: bytes, until_s: float) -> Heard:
        if self._talk is None:
            raise NoAnswer(self._why)
        asked_s = time.monotonic()
        seconds = max(0.0, until_s - asked_s)
        try:
            async with asyncio.timeout(seconds):
                answer = await self._talk.ask(question)
        except TimeoutError as error:
            raise NoAnswer(f"no answer from {self.where.url} within {seconds:.2f} s") from error
        except WebSocketException as error:
            raise NoAnswer(explain(error, self.where.url)) from error
        if isinstance(answer, str):  # openpi's way to say an error; its last line says which
            *_, last = answer.strip().splitlines() or ["an error without words"]
            raise NoAnswer(f"{self.where.url} reports: {last[:500]}")
        return Heard(unpack(answer), asked_s, time.monotonic())

    def _run(self) -> None:
        with self._runner, suppress(asyncio.CancelledError):
            self._runner.run(self._keep())

    async def _keep(self) -> None:
        pause = PAUSE_S[0]
        while True:
            began = time.monotonic()
            try:
                await self._converse()
            except (OSError, EOFError, WebSocketException, Refused) as error:
                self._become(None, explain(error, self.where.url), is_final(error))
            if time.monotonic() - began > PAUSE_S[1]:
                pause = PAUSE_S[0]  # it had been well
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, PAUSE_S[1])

    async def _converse(self) -> None:
        """One connection, from the handshake to its end."""
        where = self.where
        headers = {"Authorization": f"Bearer {where.token}"} if where.token else None
        async with connect(
            where.url,
            ssl=where.tls,
            additional_headers=headers,
            compression=None,
            proxy=None,
            max_size=MAX_ANSWER,
            open_timeout=CONNECT_S,
            close_timeout=1.0,
            ping_interval=where.silence_s / 2,
            ping_timeout=where.silence_s / 2,
        ) as connection:
            async with asyncio.timeout(CONNECT_S):
                metadata = await connection.recv()
            try:
                self._look_at(unpack(metadata) if isinstance(metadata, bytes) else {})
            except ValueError as error:
                raise Refused(str(error)) from error
            self._become(Talk(connection), "")
            await connection.wait_closed()
            raise connection.protocol.close_exc

    def _become(self, talk: Talk | None, why: str, final: bool = False) -> None:
        with self._changed:
            self._talk, self._why, self._final = talk, why, final
            self._changed.notify_all()
