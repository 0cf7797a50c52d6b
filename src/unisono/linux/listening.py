"""Listening sockets of a command that serves people: a Unix socket by its path, or loopback TCP.

Speaks:      unix(7), tcp(7), flock(2).
Keeps:       nothing but loopback is listened on over TCP; a Unix socket appears with its mode and
             listening, takes the place of a dead server's and never of a living one's.
"""

import contextlib
import errno
import fcntl
import ipaddress
import os
import secrets
import socket
import stat
from collections.abc import Iterator
from typing import Final

from unisono.base.errors import UnisonoError, UsageError

SOCKET_MODE: Final = 0o660
BACKLOG: Final = 16
UNIX: Final = "unix:"
PORT_MAX: Final = 65_535
_MAYBE_ALIVE_SECONDS: Final = 1.0
_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class NotListening(UnisonoError):
    """The address cannot be had; the text says why."""


class Listener:
    """A non-blocking socket that listens, and where; `close` it."""

    __slots__ = ("_identity", "_path", "socket", "where")

    def __init__(self, address: str) -> None:
        """`unix:PATH`, `127.0.0.1:PORT` or `[::1]:PORT`. UsageError, NotListening."""
        self._path = ""
        self._identity = (0, 0)
        if address.startswith(UNIX):
            self._path = address.removeprefix(UNIX)
            if not self._path:
                raise UsageError(f"{address}: which path?")
            self.socket, self._identity = _listen_at_path(self._path)
            self.where = address
            return
        host, port = read_loopback(address)
        self.socket = _listen_on_loopback(address, host, port)
        port = self.socket.getsockname()[1]
        self.where = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        """What people are told: the address, with the port that was found when 0 was asked for."""

    def close(self) -> None:
        """Listen no more; the path is removed while it is still this socket's."""
        self.socket.close()
        if self._path:
            with contextlib.suppress(OSError):
                if _identity_of(self._path) == self._identity:
                    os.unlink(self._path)


def read_loopback(address: str) -> tuple[str, int]:
    """Host and port; UsageError for whatever is not a numeric loopback address."""
    host, colon, digits = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not colon or not (digits.isascii() and digits.isdigit()) or int(digits) > PORT_MAX:
        raise UsageError(f"{address}: use unix:PATH, 127.0.0.1:PORT or [::1]:PORT")
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        text = f"{address}: {host or 'nothing'} is not a numeric address; use 127.0.0.1 or [::1]"
        raise UsageError(text) from None
    if not any(number in network for network in _LOOPBACK):
        raise UsageError(
            f"{address}: only loopback is listened on, for whoever reaches the port may read, and "
            "nothing is encrypted; let a server that checks who asks pass it on"
        )
    return host, int(digits)


def _listen_on_loopback(address: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as reason:
        listener.close()
        raise NotListening(f"{address}: {reason.strerror or reason}") from reason
    return listener


def _listen_at_path(path: str) -> tuple[socket.socket, tuple[int, int]]:
    """The socket, and device and inode of its name."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with _alone_in(os.path.dirname(path) or "."):
            _refuse_occupied(path)
            return listener, _bind(listener, path)
    except OSError as reason:
        listener.close()
        raise NotListening(f"{UNIX}{path}: {reason.strerror or reason}") from reason


@contextlib.contextmanager
def _alone_in(directory: str) -> Iterator[None]:
    """Two that start at once would find the same dead socket, and one remove the other's."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another server starts in this directory") from None
    finally:
        os.close(descriptor)


def _refuse_occupied(path: str) -> None:
    """EADDRINUSE when somebody listens there, or it is no socket at all."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EADDRINUSE, "exists and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_MAYBE_ALIVE_SECONDS)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except (BlockingIOError, TimeoutError):  # a full backlog is somebody's
            pass
    raise OSError(errno.EADDRINUSE, "another server listens there")


def _bind(listener: socket.socket, path: str) -> tuple[int, int]:
    """Make the socket beside its place and move it there: nobody ever meets it half made."""
    draft = f"{path}.{secrets.token_hex(4)}"
    listener.bind(draft)
    try:
        os.chmod(draft, SOCKET_MODE)
        listener.listen(BACKLOG)
        identity = _identity_of(draft)
        os.rename(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    return identity


def _identity_of(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
