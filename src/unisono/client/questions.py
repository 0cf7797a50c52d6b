"""Questions: one question of an operator's to the local daemon, and what it says until the end.

Speaks:      HELLO and one frame of the native stream (wire.native), over a connection of its own.
Keeps:       a daemon whose ring forms is waited for; every wait ends.
"""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from unisono.base.errors import ClusterError, ConnectionLost, CsError, WireError
from unisono.client.core import cs_error
from unisono.client.discovery import connect_stream, native_endpoint
from unisono.wire import native

REQUEST: Final = 1
"""The number of the question, which is the only one."""
_RECEIVE_BYTES: Final = 64 * 1024
_RETRY_SECONDS: Final = 0.05
_GRACE_SECONDS: Final = 15.0
"""Waited for the daemon's own end of waiting, and for a ring that forms."""


def put(
    directory: Path | None, question: bytes, *, seconds: float
) -> Iterator[native.Progress | native.Answer]:
    """Progress, then the answer to a frame with the number REQUEST.

    `seconds` is how long the daemon may wait for others. ConnectionLost without a daemon;
    ClusterError ACCESS, SECURITY, VERSION, TIMEOUT.
    """
    deadline = time.monotonic() + seconds + _GRACE_SECONDS
    with _greeted(directory, deadline) as stream:
        stream.sendall(question)
        for frame in _frames(stream, deadline):
            match native.decode_to_client(frame):
                case native.Progress() as progress:
                    yield progress
                case native.Answer() as answer:
                    yield answer
                    return
                case _:
                    continue


def _greeted(directory: Path | None, deadline: float) -> socket.socket:
    """A connection that the daemon has accepted; waits while its ring forms."""
    while True:
        try:
            return _greet(directory, deadline)
        except ClusterError as reason:
            if reason.code is not CsError.TRY_AGAIN or time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def _greet(directory: Path | None, deadline: float) -> socket.socket:
    stream = connect_stream(native_endpoint(directory))
    try:
        stream.settimeout(max(deadline - time.monotonic(), _RETRY_SECONDS))
        stream.sendall(native.encode_hello())
        match native.decode_to_client(next(_frames(stream, deadline))):
            case native.Welcome(version):
                if version != native.VERSION:
                    raise ClusterError(CsError.VERSION)
            case native.Reply(_, error):
                raise ClusterError(cs_error(error), "the daemon")
            case other:
                raise WireError(f"the daemon greets with {other}")
    except OSError as reason:
        stream.close()
        raise ConnectionLost(f"the daemon: {reason.strerror}") from reason
    except BaseException:
        stream.close()
        raise
    return stream


def _frames(stream: socket.socket, deadline: float) -> Iterator[memoryview]:
    """Frames as they come. ConnectionLost, TIMEOUT."""
    unread = b""
    while True:
        stream.settimeout(max(deadline - time.monotonic(), _RETRY_SECONDS))
        try:
            chunk = stream.recv(_RECEIVE_BYTES)
        except TimeoutError:
            raise ClusterError(CsError.TIMEOUT, "the local daemon") from None
        except OSError as reason:
            raise ConnectionLost(f"the daemon: {reason.strerror}") from reason
        if not chunk:
            raise ConnectionLost("the daemon ended the connection")
        unread += chunk
        frames, used = native.split_frames(memoryview(unread))
        yield from frames
        unread = unread[used:]
