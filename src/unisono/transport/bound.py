"""Opening ring sockets, with the one-line error an administrator can act upon.

Keeps:       every ring socket has the large buffers, asked for once and reported once if refused.
"""

import errno
import socket
from typing import Final

from unisono.base.errors import ConfigError
from unisono.base.group import Marked
from unisono.base.limits import SOCKET_BUFFER_BYTES
from unisono.base.marks import Mark as MarkId
from unisono.linux.sockets import SocketAddress, grow_buffers, open_udp
from unisono.transport.port import Mark

_ADVICE: Final = {
    errno.EADDRINUSE: "another daemon uses it; stop that or choose another address or mcastport",
    errno.EADDRNOTAVAIL: "it is not an address of this host; correct nodelist or bindnetaddr",
    errno.EACCES: "the port needs privileges; choose a mcastport of 1026 or more",
}


def cannot(what: str, address: SocketAddress, error: OSError) -> ConfigError:
    """The error for `what` ("bind to", "join") on `address`, with advice where there is any."""
    advice = _ADVICE.get(error.errno or 0)
    where = f"[{address[0]}]" if ":" in address[0] else address[0]
    return ConfigError(
        f"cannot {what} {where}:{address[1]}: {error.strerror}{f' ({advice})' if advice else ''}"
    )


def bind_ring_socket(
    address: SocketAddress, *, mark: Mark | None, shared: bool = False
) -> socket.socket:
    """A bound ring socket with large buffers; ConfigError when it cannot be bound.

    `mark` hears of it when the buffers are refused.
    """
    try:
        sock = open_udp(address, shared=shared)
    except OSError as error:
        raise cannot("bind to", address, error) from error
    granted = grow_buffers(sock, SOCKET_BUFFER_BYTES)
    if granted < SOCKET_BUFFER_BYTES and mark is not None:
        mark(Marked(MarkId.SOCKET_BUFFER_REFUSED, granted, SOCKET_BUFFER_BYTES))
    return sock
