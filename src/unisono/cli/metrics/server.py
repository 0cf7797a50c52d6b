"""The server: GET /metrics on one listening socket, for readers that may be slow, wrong or many.

Speaks:      HTTP/1.1 (RFC 9112) as far as a scrape needs it: one request, one answer, the end.
Keeps:       at most METRICS_REQUESTS_MAX connections, each for METRICS_REQUEST_SECONDS_MAX and with
             METRICS_REQUEST_BYTES_MAX to say: the oldest makes room for a new one.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from unisono.base.limits import (
    METRICS_REQUEST_BYTES_MAX,
    METRICS_REQUEST_SECONDS_MAX,
    METRICS_REQUESTS_MAX,
)

Page: TypeAlias = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Text and Content-Type for an Accept header."""
PATH: Final = "/metrics"
PLAIN: Final = "text/plain; charset=utf-8"
ACCEPT_PAUSE_SECONDS: Final = 0.5
"""How long nobody is accepted after the process ran out of descriptors."""
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
}


class Refused(Exception):
    """The request is answered with a status of its own."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Request(NamedTuple):
    """What of a request matters."""

    method: str
    path: str
    accept: str


class Server:
    """Serves until `close`, within a task group of its owner's."""

    __slots__ = ("_listener", "_loop", "_open", "_page", "_tasks", "_timer")

    def __init__(self, listener: socket.socket, page: Page, tasks: asyncio.TaskGroup) -> None:
        self._listener = listener
        self._page = page
        self._tasks = tasks
        self._open: dict[socket.socket, asyncio.Task[None]] = {}
        """Connections, the oldest first."""
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._on_accept)

    def close(self) -> None:
        """Accept nobody any more and end everybody."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listener)
        for task in self._open.values():
            task.cancel()

    # -- connections -------------------------------------------------------------------------------

    def _on_accept(self) -> None:
        try:
            stream, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._look_away()
            return
        stream.setblocking(False)
        if len(self._open) >= METRICS_REQUESTS_MAX:
            oldest = next(iter(self._open))
            self._open.pop(oldest).cancel()
        task = self._open[stream] = self._tasks.create_task(self._serve(stream))
        task.add_done_callback(partial(self._on_end, stream))

    def _look_away(self) -> None:
        """Without descriptors the listener stays readable: a loop that looks on would spin."""
        self._loop.remove_reader(self._listener)
        self._timer = self._loop.call_later(
            ACCEPT_PAUSE_SECONDS, self._loop.add_reader, self._listener, self._on_accept
        )

    def _on_end(self, stream: socket.socket, _task: object) -> None:
        self._open.pop(stream, None)
        stream.close()

    async def _serve(self, stream: socket.socket) -> None:
        try:
            async with asyncio.timeout(METRICS_REQUEST_SECONDS_MAX):
                answer = await self._answer(stream)
                await self._loop.sock_sendall(stream, answer)
        except (OSError, TimeoutError):
            return  # a reader that is gone, or too slow, is nobody's loss

    # -- one request -------------------------------------------------------------------------------

    async def _answer(self, stream: socket.socket) -> bytes:
        try:
            request = read_request(await self._head(stream))
        except Refused as reason:
            return _response(reason.status, f"{reason}\n".encode(), PLAIN)
        body, content_type = await self._page(request.accept)
        return _response(200, body, content_type)

    async def _head(self, stream: socket.socket) -> bytes:
        """The bytes before the empty line. Refused; ConnectionError when they do not come."""
        head = bytearray()
        while True:
            chunk = await self._loop.sock_recv(stream, METRICS_REQUEST_BYTES_MAX)
            if not chunk:
                raise ConnectionResetError
            head += chunk
            end = head.find(b"\r\n\r\n")
            if end >= 0:
                return bytes(head[:end])
            if len(head) > METRICS_REQUEST_BYTES_MAX:
                raise Refused(431, f"at most {METRICS_REQUEST_BYTES_MAX} bytes")


def read_request(head: bytes) -> Request:
    """A scrape out of its head; Refused when it is anything else."""
    # Whatever could end a line ends one here, so that no header can smuggle one into an answer.
    first, *rest = head.decode("latin-1").splitlines() or [""]
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused(400, "this is not HTTP/1.1")
    method, target, _ = words
    if target.partition("?")[0] != PATH:
        raise Refused(404, f"there is only {PATH}")
    if method != "GET":
        raise Refused(405, "only GET is served")
    accept = ""
    for line in rest:
        name, _, value = line.partition(":")
        if name.lower() == "accept":
            accept = value.strip()
    return Request(method, target, accept)


def _response(status: int, body: bytes, content_type: str) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n"
    )
    if status == 405:
        head += "Allow: GET\r\n"
    return f"{head}\r\n".encode("latin-1") + body
