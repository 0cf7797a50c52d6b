"""asyncio under the shared source: connections, lock, sleep and clock.

Keeps:       a reader that does not read stops the socket, not the memory; nothing is polled but
             libqb's replies, for which there is nothing to wait on; the loop's clock is the clock.
See:         `unisono.blocking.backend` offers the same names to the generated twin.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from typing import Final, TypeAlias, TypeVar

from unisono.aio.native import NativeConnection
from unisono.aio.waiters import Waiters, now
from unisono.base.errors import ClusterError, ConnectionLost, CsError, WireError
from unisono.base.group import Buffer
from unisono.base.limits import CLIENT_INBOX_BYTES_MAX
from unisono.client.core import Added, State
from unisono.client.cpg import CpgCore
from unisono.client.discovery import connect_stream
from unisono.ipc import qb_client
from unisono.ipc.endpoint import Endpoint

__all__ = ["Connection", "Lock", "now", "open_native", "open_qb", "sleep"]

Lock = asyncio.Lock
sleep = asyncio.sleep
_T = TypeVar("_T")

_EVENTS_PER_TURN_MAX: Final = 256
_PAUSE_SECONDS_MIN: Final = 0.0002
_PAUSE_SECONDS_MAX: Final = 0.01
"""libqb wakes nobody for a reply, nor for room to send: one looks at growing intervals."""


class QbConnection:
    """libqb's CPG service, read when its descriptor says so."""

    __slots__ = (
        "_answering",
        "_client",
        "_descriptors",
        "_due",
        "_paused",
        "_sending",
        "_waiters",
        "add",
        "add_many",
        "core",
    )

    def __init__(self, client: qb_client.QbClient) -> None:
        self.core = CpgCore(os.getpid())
        self.add: Callable[[Buffer, bool], Added] = self.core.add
        self.add_many: Callable[[Sequence[Buffer], int, bool], int] = self.core.add_many
        self._client = client
        self._descriptors: tuple[int, ...] = (client.fileno(), client.liveness_fileno())
        self._waiters = Waiters()
        self._sending = asyncio.Lock()
        self._answering = False
        self._due = False
        self._paused = True
        self._pause(False)
        events, liveness = self._descriptors
        if liveness != events:
            self._waiters.loop.add_reader(liveness, self._on_hang_up)

    # -- for the session ---------------------------------------------------------------------------

    def order(self, do: Callable[[], _T]) -> _T:
        """Let the core queue something; alone with it where there are threads."""
        return do()

    def flush_soon(self) -> bool:
        """Send at the end of this turn of the loop; what finds no room, a little later."""
        if not self._due:
            self._due = True
            self._waiters.loop.call_soon(self._send_some)
        return True

    async def flush(self, deadline: float | None = None) -> None:
        """Send everything, and wait for the replies to what has one. ConnectionLost, TIMEOUT."""
        pause, taken, start = _PAUSE_SECONDS_MIN, self.core.taken_bytes, now()
        try:
            async with self._sending:
                while self.core.output and self.core.state is not State.LOST:
                    if self._step():
                        pause = _PAUSE_SECONDS_MIN
                        continue
                    if deadline is not None and now() > deadline:
                        raise ClusterError(CsError.TIMEOUT, "the local daemon")
                    self.core.check_read(taken, now() - start)
                    self._resume()
                    await sleep(pause)
                    pause = min(pause * 2, _PAUSE_SECONDS_MAX)
        finally:
            if self.core.output:
                self.flush_soon()
        self.core.check()

    async def progress(self, seen: int, deadline: float | None) -> None:
        """Until the core's version differs from `seen`, or perhaps earlier."""
        self._resume()
        if self.core.version == seen:
            await self._waiters.wait(deadline)

    def close(self) -> None:
        """End the connection."""
        if not self._sending.locked():
            self._send_some()
        self._end("closed")

    # -- sending -----------------------------------------------------------------------------------

    def _send_some(self) -> None:
        """Send what has no reply, as long as there is room and nobody else sends."""
        self._due = False
        if self._sending.locked() or self.core.state is State.LOST:
            return
        try:
            while self.core.output and not self.core.output[0].called:
                if not self._send_front():
                    self._due = True
                    self._waiters.loop.call_later(_PAUSE_SECONDS_MAX, self._send_some)
                    return
        except (ConnectionLost, WireError) as reason:
            self._end(str(reason))

    def _step(self) -> bool:
        """One step with the front of the output; False when there is nothing to do but wait."""
        try:
            if not self._answering:
                return self._send_front()
            reply = self._client.read_reply()
            if reply is None:
                return False
            self._answering = False
            going = self.core.answer(reply)
        except (ConnectionLost, WireError) as reason:
            self._end(str(reason))
            return True
        self._waiters.wake()
        return going

    def _send_front(self) -> bool:
        request = self.core.output[0]
        held = self._client.flow_control
        if held == 1 or (held and request.multicast):
            return False
        if not self._client.try_send(request.pieces):
            return False
        if request.called:
            self._answering = True
        else:
            self.core.sent()
        return True

    # -- receiving ---------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        if self._paused or self.core.state is State.LOST:
            return
        events: list[bytes] = []
        ended = ""
        try:
            while len(events) < _EVENTS_PER_TURN_MAX:
                event = self._client.read_event()
                if event is None:
                    break
                events.append(event)
            else:
                # The connection may hold more than its descriptor shows.
                self._waiters.loop.call_soon(self._on_readable)
        except ConnectionLost as reason:
            ended = str(reason)
        try:
            self.core.receive(events)
        except WireError as reason:
            ended = f"the daemon broke the protocol: {reason}"
        if ended:
            self._end(ended)
        elif self.core.inbox_bytes > CLIENT_INBOX_BYTES_MAX:
            self._pause(True)
        self._waiters.wake()

    def _on_hang_up(self) -> None:
        self._on_readable()
        self._end("the daemon went away")

    def _pause(self, pause: bool) -> None:
        if self.core.state is State.LOST:
            return
        self._paused = pause
        if pause:
            self._waiters.loop.remove_reader(self._descriptors[0])
        else:
            self._waiters.loop.add_reader(self._descriptors[0], self._on_readable)

    def _resume(self) -> None:
        if self._paused and self.core.inbox_bytes < CLIENT_INBOX_BYTES_MAX // 2:
            self._pause(False)
            self._on_readable()

    def _end(self, reason: str) -> None:
        self.core.fail(reason)
        self._waiters.wake()
        # Nothing else runs between the end of the client and this: no number is taken again yet.
        for descriptor in self._descriptors:
            self._waiters.loop.remove_reader(descriptor)
        self._descriptors = ()
        self._client.close()


Connection: TypeAlias = NativeConnection | QbConnection
opener: Final[ContextVar[Callable[[Endpoint], Awaitable[Connection]] | None]] = ContextVar(
    "unisono_opener", default=None
)
"""Connects instead of the kernel, where daemons are simulated; ConnectionLost as from a socket."""


async def open_native(endpoint: Endpoint) -> Connection:
    """Connect to our daemon's native stream. Errors of `connect_stream`."""
    connect = opener.get()
    if connect is not None:
        return await connect(endpoint)
    return NativeConnection(connect_stream(endpoint))


async def open_qb(endpoint: Endpoint, deadline: float) -> Connection:
    """Connect to the CPG service. libqb's handshake blocks, so a thread does it and ends."""
    connect = opener.get()
    if connect is not None:
        return await connect(endpoint)
    timeout = max(deadline - now(), 0.001)
    executor = ThreadPoolExecutor(1, "unisono-connect")
    attempt = executor.submit(qb_client.connect, endpoint, timeout_seconds=timeout)
    executor.shutdown(wait=False)
    try:
        return QbConnection(await asyncio.wrap_future(attempt))
    except asyncio.CancelledError:
        attempt.add_done_callback(_discard)
        raise


def _discard(attempt: Future[qb_client.QbClient]) -> None:
    """Nobody wants the connection any more."""
    if not attempt.cancelled():
        with suppress(Exception):
            attempt.result().close()
