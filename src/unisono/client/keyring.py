"""Keyring: one question about authkeys to the local daemon, and what it says until the last word.

Speaks:      HELLO and KEYRING of the native stream (wire.native).
Keeps:       the key goes to a daemon that is root's or ours, and nowhere else; bytes are not shown.
"""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from unisono.base.errors import ClusterError, ConnectionLost, CsError, WireError
from unisono.client.core import cs_error
from unisono.client.discovery import connect_stream, native_endpoint
from unisono.wire import native

_REQUEST: Final = 1
_RECEIVE_BYTES: Final = 64 * 1024
_RETRY_SECONDS: Final = 0.05
_GRACE_SECONDS: Final = 15.0
"""Waited for the daemon's own end of waiting, and for a ring that forms."""


class Said(NamedTuple):
    """What the daemon says: progress, or the answer; `error` is CsError.OK for progress."""

    is_answer: bool
    error: CsError
    body: dict[str, Any]


def ask(
    directory: Path | None,
    verb: native.Verb,
    argument: bytes = b"",
    *,
    force: bool = False,
    seconds: float,
) -> Iterator[Said]:
    """Progress, then the answer, which is the last; the daemon waits for others for `seconds`.

    ConnectionLost without a daemon; ClusterError ACCESS, SECURITY, VERSION, TIMEOUT.
    """
    deadline = time.monotonic() + seconds + _GRACE_SECONDS
    question = native.encode_keyring(
        _REQUEST, verb, argument, force=force, timeout_ms=round(seconds * 1000)
    )
    with _greeted(directory, deadline) as stream:
        stream.sendall(question)
        for frame in _frames(stream, deadline):
            match native.decode_to_client(frame):
                case native.Progress(_, body):
                    yield Said(False, CsError.OK, _decode(body))
                case native.Answer(_, error, body):
                    yield Said(True, cs_error(error), _decode(body))
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


def _decode(body: memoryview) -> dict[str, Any]:
    try:
        return dict(json.loads(bytes(body) or b"{}"))
    except ValueError as reason:
        raise WireError(f"the daemon's answer is not JSON: {reason}") from reason
