"""Credentials from the kernel: who is at the other end of a Unix socket.

Speaks:      SCM_CREDENTIALS beside a message, SO_PEERCRED of a connection (unix(7)).
Keeps:       what a peer says about itself is never used; a missing credential is None.
"""

import socket
from struct import Struct
from typing import Final

from unisono.base.clients import Credentials
from unisono.base.ids import Pid

_UCRED: Final = Struct("=iII")
assert _UCRED.size == 12
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_UCRED.size)
"""Room for one SCM_CREDENTIALS and nothing more: descriptors that a peer passes are dropped."""


def pass_credentials(sock: socket.socket, on: bool) -> None:
    """Ask the kernel to attach the sender's credentials to each message that is received."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, int(on))


def peer_credentials(sock: socket.socket) -> Credentials:
    """Credentials of the process that connected, or that called listen() (SO_PEERCRED)."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    return Credentials(Pid(pid), uid, gid)


def receive_with_credentials(
    sock: socket.socket, bytes_max: int, flags: int = 0
) -> tuple[bytes, Credentials | None]:
    """One recvmsg: the bytes, and the sender's credentials if the kernel attached them."""
    data, ancillary, _, _ = sock.recvmsg(bytes_max, _ANCILLARY_BYTES, flags)
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and len(value) >= 12:
            pid, uid, gid = _UCRED.unpack_from(value)
            return data, Credentials(Pid(pid), uid, gid)
    return data, None
