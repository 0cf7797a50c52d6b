"""Blocking calls under the generated source: connections, lock, sleep and clock.

Keeps:       one thread reads at a time and one writes; who cannot write reads meanwhile, so that
             two full sockets never wait for each other.
See:         `unisono.aio.backend` offers the same names to the source.
"""

import os
import select
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from time import monotonic as now
from time import sleep
from typing import Final, TypeVar

from unisono.base.errors import ClusterError, ConnectionLost, CsError, WireError
from unisono.base.group import Buffer
from unisono.base.limits import CLIENT_INBOX_BYTES_MAX, CLIENT_UNREAD_SECONDS_MAX
from unisono.client.core import Added, Core, State
from unisono.client.cpg import CpgCore
from unisono.client.discovery import connect_stream
from unisono.client.native import NativeCore
from unisono.ipc import qb_client
from unisono.ipc.endpoint import Endpoint

__all__ = ["Connection", "Lock", "now", "open_native", "open_qb", "sleep"]

Lock = threading.RLock
_T = TypeVar("_T")

_EVENTS_PER_TURN_MAX: Final = 256
_PAUSE_SECONDS_MIN: Final = 0.0002
_PAUSE_SECONDS_MAX: Final = 0.01
"""libqb wakes nobody for a reply, nor for room to send: one looks at growing intervals."""


class Connection(ABC):
    """What both tongues share: who may read and write, and how one waits."""

    __slots__ = ("_reading", "_writing")
    core: Core

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._writing = threading.RLock()

    # -- for the session ---------------------------------------------------------------------------

    def order(self, do: Callable[[], _T]) -> _T:
        """Let the core queue something, alone with it."""
        with self._writing:
            return do()

    def add(self, data: Buffer, safe: bool) -> Added:
        """Queue one message."""
        with self._writing:
            return self.core.add(data, safe)

    def add_many(self, payloads: Sequence[Buffer], start: int, safe: bool) -> int:
        """Queue messages from `start` on; where it stopped."""
        with self._writing:
            return self.core.add_many(payloads, start, safe)

    def flush_soon(self) -> bool:
        """Send everything now: a blocking program has no later."""
        self.flush()
        return True

    def flush(self, deadline: float | None = None) -> None:
        """Send everything. ConnectionLost, TIMEOUT."""
        with self._writing:
            self.core.check()
            try:
                self._send(deadline)
            except (OSError, WireError, ConnectionLost) as reason:
                self._end(str(reason))
        self.core.check()

    def progress(self, seen: int, deadline: float | None) -> None:
        """Until the core's version differs from `seen`; ClusterError TIMEOUT."""
        with self._reading:
            while self.core.version == seen:
                left = None if deadline is None else deadline - now()
                if left is not None and left <= 0:
                    raise ClusterError(CsError.TIMEOUT, "the local daemon")
                if self._wait(left):
                    self._read()

    def close(self) -> None:
        """End the connection; another thread that waits for it wakes."""
        self._hang_up()
        with self._reading, self._writing:
            self._end("closed")

    # -- for the tongues ---------------------------------------------------------------------------

    def _may_read(self) -> bool:
        """Take the reading lock, if nobody has it and there is room for what would be read."""
        return self.core.inbox_bytes <= CLIENT_INBOX_BYTES_MAX and self._reading.acquire(False)

    def _read(self) -> None:
        """Take what came."""
        try:
            self._receive()
        except (OSError, ConnectionLost) as reason:
            self._end(str(reason))
        except WireError as reason:
            self._end(f"the daemon broke the protocol: {reason}")

    def _end(self, reason: str) -> None:
        self.core.fail(reason)
        self._release()

    @abstractmethod
    def _send(self, deadline: float | None) -> None:
        """Send everything."""

    @abstractmethod
    def _wait(self, seconds: float | None) -> bool:
        """Wait until something may be read; False after `seconds`."""

    @abstractmethod
    def _receive(self) -> None:
        """Read once, and let the core have it."""

    @abstractmethod
    def _hang_up(self) -> None:
        """Wake who waits in `_wait`."""

    @abstractmethod
    def _release(self) -> None:
        """Close; twice is harmless."""


class NativeConnection(Connection):
    """The native stream on a socket."""

    __slots__ = ("_stream", "core")
    core: NativeCore

    def __init__(self, stream: socket.socket) -> None:
        super().__init__()
        self.core = NativeCore()
        self._stream = stream

    def _send(self, deadline: float | None) -> None:
        taken, start = self.core.taken_bytes, now()
        while True:
            self.core.finish()
            if not self.core.unsent_bytes:
                return
            try:
                self.core.sent(self._stream.sendmsg(self.core.output(), (), socket.MSG_NOSIGNAL))
            except BlockingIOError:
                self.core.check_read(taken, now() - start)
                self._wait_for_room(deadline)
            except OSError:
                self._read_rest()
                raise
            except BaseException:
                # Nobody knows how much is gone: better no stream than one with a frame cut.
                self._end("interrupted while it sent")
                raise

    def _wait_for_room(self, deadline: float | None) -> None:
        """Until the daemon takes more; reads meanwhile, unless that is for another thread."""
        left = None if deadline is None else deadline - now()
        if left is not None and left <= 0:
            raise ClusterError(CsError.TIMEOUT, "the local daemon")
        reads = self._may_read()
        try:
            poll = select.poll()
            poll.register(self._stream, select.POLLOUT | (select.POLLIN if reads else 0))
            seconds = CLIENT_UNREAD_SECONDS_MAX if left is None else left
            found = poll.poll(seconds * 1000)
            if reads and found and found[0][1] & select.POLLIN:
                self._read()
        finally:
            if reads:
                self._reading.release()

    def _read_rest(self) -> None:
        """Receive what the daemon wrote before its end, unless that is for another thread."""
        if self._reading.acquire(False):
            try:
                while self._wait(0):
                    self._read()
            finally:
                self._reading.release()

    def _wait(self, seconds: float | None) -> bool:
        if self._stream.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self._stream, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def _receive(self) -> None:
        try:
            count = self._stream.recv_into(self.core.room())
        except BlockingIOError:
            return
        if count:
            self.core.received(count)
        else:
            self._end("the daemon closed the connection")

    def _hang_up(self) -> None:
        if self._stream.fileno() >= 0:
            try:
                self._stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._end("the daemon went away")

    def _release(self) -> None:
        self._stream.close()


class QbConnection(Connection):
    """libqb's CPG service."""

    __slots__ = ("_answering", "_client", "_more", "core")
    core: CpgCore

    def __init__(self, client: qb_client.QbClient) -> None:
        super().__init__()
        self.core = CpgCore(os.getpid())
        self._client = client
        self._answering = False
        self._more = False

    def _send(self, deadline: float | None) -> None:
        pause, taken, start = _PAUSE_SECONDS_MIN, self.core.taken_bytes, now()
        while self.core.output and self.core.state is not State.LOST:
            if self._step(pause):
                pause = _PAUSE_SECONDS_MIN
                continue
            if deadline is not None and now() > deadline:
                raise ClusterError(CsError.TIMEOUT, "the local daemon")
            self.core.check_read(taken, now() - start)
            self._read_meanwhile(pause)
            pause = min(pause * 2, _PAUSE_SECONDS_MAX)

    def _step(self, patience: float) -> bool:
        """One step with the front of the output; False when there is nothing to do but wait."""
        request = self.core.output[0]
        if self._answering:
            reply = self._client.read_reply(patience)
            if reply is None:
                return False
            self._answering = False
            return self.core.answer(reply)
        held = self._client.flow_control
        if held == 1 or (held and request.multicast) or not self._client.try_send(request.pieces):
            return False
        if request.called:
            self._answering = True
        else:
            self.core.sent()
        return True

    def _read_meanwhile(self, seconds: float) -> None:
        if not self._may_read():
            sleep(seconds)
            return
        try:
            if self._wait(seconds):
                self._read()
        finally:
            self._reading.release()

    def _wait(self, seconds: float | None) -> bool:
        if self._more or self._client.closed:
            return True
        poll = select.poll()
        poll.register(self._client.fileno(), select.POLLIN)
        poll.register(self._client.liveness_fileno(), select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def _receive(self) -> None:
        events: list[bytes] = []
        try:
            while len(events) < _EVENTS_PER_TURN_MAX:
                event = self._client.read_event()
                if event is None:
                    break
                events.append(event)
        finally:
            # The connection may hold more than its descriptor shows.
            self._more = len(events) == _EVENTS_PER_TURN_MAX
            if events:
                self.core.receive(events)

    def _hang_up(self) -> None:
        if not self._client.closed:
            with socket.socket(fileno=os.dup(self._client.liveness_fileno())) as stream:
                stream.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        self._client.close()


def open_native(endpoint: Endpoint) -> Connection:
    """Connect to our daemon's native stream. Errors of `connect_stream`."""
    return NativeConnection(connect_stream(endpoint))


def open_qb(endpoint: Endpoint, deadline: float) -> Connection:
    """Connect to the CPG service of our daemon or of Corosync."""
    timeout = max(deadline - now(), 0.001)
    return QbConnection(qb_client.connect(endpoint, timeout_seconds=timeout))
