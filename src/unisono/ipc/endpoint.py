"""Where a local server listens: libqb's abstract names, or sockets in an instance's directory.

Speaks:      unix(7) addresses; abstract names are NUL padded to 108 bytes, as libqb makes them.
Counterpart: libqb lib/ipc_setup.c, qb_ipcs_us_publish, set_sock_addr.
Keeps:       a directory that others may write to is refused; a living server is never replaced.
"""

import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final

from unisono.linux.credentials import pass_credentials

BACKLOG: Final = 128
_TIMEVAL: Final = Struct("@ll")
ADDRESS_BYTES: Final = 108
"""sizeof(sun_path)."""
BUFFER_SLACK_BYTES: Final = 4_096
"""Room for the kernel's own account of a datagram of the agreed maximum."""
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
SOCKET_MODE: Final = 0o666
"""Everyone may connect: access is decided by the credentials that the kernel gives."""
DIRECTORY_MODE: Final = 0o755
FORCE_FILESYSTEM: Final = Path("/etc/libqb/force-filesystem-sockets")
"""If this file exists, libqb's clients (Debian's build) look for sockets in SOCKET_DIRECTORY."""
SOCKET_DIRECTORY: Final = Path("/tmp")  # noqa: S108  the directory is libqb's choice


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One listening address: `path` in the file system, or an abstract `name` when it is None."""

    name: str
    path: Path | None = None

    @property
    def address(self) -> bytes | str:
        """The address for bind() and connect()."""
        return abstract_address(self.name) if self.path is None else str(self.path)

    def __str__(self) -> str:
        return f"@{self.name}" if self.path is None else str(self.path)

    def listen(self, *, credentials: bool = False) -> socket.socket:
        """A non-blocking listening stream socket; OSError (EADDRINUSE: a server lives there).

        With `credentials` the sockets that it accepts attach them from the very first byte.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            if self.path is not None:
                self._remove_stale(self.path)
            pass_credentials(listener, credentials)
            listener.bind(self.address)
            if self.path is not None:
                self.path.chmod(SOCKET_MODE)
            listener.listen(BACKLOG)
        except OSError as reason:
            listener.close()
            raise OSError(reason.errno, f"{self}: {reason.strerror or reason}") from reason
        return listener

    def withdraw(self) -> None:
        """Remove the socket from the file system, if it is there."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def connect(self, timeout_seconds: float) -> socket.socket:
        """A connected stream socket in blocking mode with a timeout; OSError if nobody listens."""
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # A socket in Python's time-out mode would be refused at once by a full backlog.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_seconds))
            stream.connect(self.address)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(0))
            stream.settimeout(timeout_seconds)
        except OSError:
            stream.close()
            raise
        return stream

    def _remove_stale(self, path: Path) -> None:
        """Unlink a socket that nobody listens on; EADDRINUSE if someone does or it is none."""
        try:
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise OSError(errno.EADDRINUSE, "exists and is not a socket")
        except FileNotFoundError:
            return
        try:
            self.connect(1.0).close()
        except ConnectionRefusedError:
            path.unlink()
            return
        raise OSError(errno.EADDRINUSE, "another daemon listens there")


def _timeval(seconds: float) -> bytes:
    return _TIMEVAL.pack(int(seconds), int(seconds % 1 * 1e6))


def abstract_address(name: str) -> bytes:
    """The abstract address that libqb makes of a name: 108 bytes with the leading NUL."""
    address = b"\0" + name.encode()
    if len(address) > ADDRESS_BYTES:
        raise OSError(errno.ENAMETOOLONG, f"socket name {name}")
    return address.ljust(ADDRESS_BYTES, b"\0")


def datagram_socket(message_bytes_max: int) -> socket.socket:
    """A non-blocking datagram socket whose buffers hold one message, if the kernel lets us."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    wanted = message_bytes_max + BUFFER_SLACK_BYTES
    for plain, forced in (
        (socket.SO_SNDBUF, _SO_SNDBUFFORCE),
        (socket.SO_RCVBUF, _SO_RCVBUFFORCE),
    ):
        if sock.getsockopt(socket.SOL_SOCKET, plain) >= wanted:
            continue
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, wanted)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, plain, wanted)
    return sock


def default_endpoint(name: str) -> Endpoint:
    """Where unmodified libqb clients look for the service `name` on this machine."""
    if FORCE_FILESYSTEM.exists():
        return Endpoint(name, SOCKET_DIRECTORY / name)
    return Endpoint(name)


def instance_endpoint(directory: Path, name: str) -> Endpoint:
    """The service `name` of the instance whose run directory this is."""
    return Endpoint(name, directory / name)


def make_instance_directory(directory: Path) -> None:
    """Create the directory (mode 0755) or check it: ours (or root's), writable by its owner only.

    PermissionError says what is wrong with it.
    """
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=DIRECTORY_MODE)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, f"{directory} is not a directory")
    if found.st_uid not in (0, os.geteuid()):
        raise PermissionError(errno.EPERM, f"{directory} belongs to uid {found.st_uid}")
    if found.st_mode & 0o022:
        raise PermissionError(errno.EPERM, f"{directory} can be written by others")
