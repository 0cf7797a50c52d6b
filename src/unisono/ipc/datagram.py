"""The socket transport: one datagram for each message, and the stream only to see the end.

Speaks:      abstract datagram sockets `<base>-request`, `-response`, `-event-tx`, `-event`.
Counterpart: libqb lib/ipc_socket.c.
Keeps:       a request counts only if the kernel says that its sender has the user and group that
             connected; nothing is sent before the first such request, which proves that the
             client has bound its own names.
"""

import os
import socket
from contextlib import suppress
from typing import Final

from unisono.base.clients import Credentials
from unisono.base.ids import ClientId
from unisono.base.marks import Mark
from unisono.ipc.connection import Owner, QbConnection
from unisono.ipc.directory import ConnectionDirectory, owner_of
from unisono.ipc.endpoint import abstract_address, datagram_socket
from unisono.ipc.shm import REQUESTS_PER_TURN_MAX
from unisono.linux.credentials import pass_credentials, receive_with_credentials
from unisono.wire.ipc import qb
from unisono.wire.ipc.shm import CONTROL, CONTROL_FLOW_AT, FLOW_CRITICAL, FLOW_OPEN

REQUEST_BYTES_PER_TURN_MAX: Final = 1024 * 1024
"""A client may write while it is read: others, and what it is sent itself, have their turn, too."""


class SocketConnection(QbConnection):
    """A client over datagrams."""

    __slots__ = (
        "_base",
        "_control_fd",
        "_directory",
        "_heard",
        "_request",
        "_sockets",
        "_transmit",
        "_waiting",
    )

    def __init__(
        self,
        owner: Owner,
        stream: socket.socket,
        client: ClientId,
        credentials: Credentials,
        message_bytes_max: int,
    ) -> None:
        """Create its sockets and its control file; OSError, with nothing left, when that fails."""
        super().__init__(owner, stream, client, credentials, message_bytes_max)
        self._heard = False
        self._waiting = False
        self._control_fd = -1
        files_owner = owner_of(credentials)
        self._directory = ConnectionDirectory(credentials, stream.fileno())
        self._base = f"{self._directory.path}/qb-{owner.service.name.lower()}"
        self._sockets: list[socket.socket] = []
        try:
            for _ in range(2):
                self._sockets.append(datagram_socket(message_bytes_max))
            self._request, self._transmit = self._sockets
            pass_credentials(self._request, True)
            self._request.bind(abstract_address(f"{self._base}-request"))
            self._transmit.bind(abstract_address(f"{self._base}-event-tx"))
            self._control_fd = self._make_control(files_owner)
            self._directory.hand_over(files_owner)
        except OSError:
            self._release()
            raise

    @property
    def kind(self) -> int:
        """SOCKET."""
        return qb.SOCKET

    @property
    def paths(self) -> tuple[bytes, bytes, bytes]:
        """Control file, base of the socket names, nothing."""
        return self._control_path.encode(), self._base.encode(), b""

    @property
    def _control_path(self) -> str:
        return f"{self._directory.path}/qb-control-{self.owner.service.name.lower()}"

    def start(self) -> None:
        """Read requests, and watch the stream for the client's end."""
        self.owner.loop.add_reader(self._request, self._on_request)
        self.owner.loop.add_reader(self.stream, self._on_stream)
        self._set_flow(FLOW_OPEN)

    def stop(self) -> None:
        """Do not read; the client library refuses multicasts meanwhile."""
        self.owner.loop.remove_reader(self._request)
        self._set_flow(FLOW_CRITICAL)

    def flush(self) -> None:
        """Events, then replies, as far as the sockets take them."""
        if not self._heard:
            return
        while self.events:
            try:
                self._transmit.sendmsg(self.events[0][1], [], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self._wait_for_room(True)
                break
            self.sent(self.events, 1)
        else:
            self._wait_for_room(False)
        while self.replies:
            try:
                self._request.sendmsg(self.replies[0][1], [], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self.owner.retry(self)
                return
            self.sent(self.replies, 1)

    def close(self) -> None:
        """Close the sockets and remove the control file."""
        loop = self.owner.loop
        loop.remove_reader(self.stream)
        loop.remove_reader(self._request)
        loop.remove_writer(self._transmit)
        self._release()
        self.stream.close()

    # -- inside ----------------------------------------------------------------------------------

    def _make_control(self, files_owner: tuple[int, int] | None) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        name = self._control_path.rpartition("/")[2]
        fd = os.open(name, flags, 0o600, dir_fd=self._directory.fd)
        try:
            os.write(fd, bytes(CONTROL.size))
            if files_owner is not None:
                os.fchown(fd, *files_owner)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _release(self) -> None:
        for sock in self._sockets:
            sock.close()
        if self._control_fd >= 0:
            os.close(self._control_fd)
        self._directory.remove()

    def _set_flow(self, level: int) -> None:
        with suppress(OSError):
            os.pwrite(self._control_fd, level.to_bytes(4, "little"), CONTROL_FLOW_AT)

    def _wait_for_room(self, wait: bool) -> None:
        if wait == self._waiting:
            return
        self._waiting = wait
        if wait:
            self.owner.loop.add_writer(self._transmit, self.flush_safely)
        else:
            self.owner.loop.remove_writer(self._transmit)

    def _on_stream(self) -> None:
        try:
            data = self.stream.recv(64)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.fail(Mark.CLIENT_GONE, "closed its connection")

    def _on_request(self) -> None:
        self.owner.begin_turn()
        try:
            budget = REQUEST_BYTES_PER_TURN_MAX
            for _ in range(REQUESTS_PER_TURN_MAX):
                taken = self._take_request()
                budget -= taken
                if not taken or budget <= 0:
                    break
        finally:
            self.owner.end_turn()

    def _take_request(self) -> int:
        """Take one datagram; its bytes, 0 when there is none, or no more may be taken now."""
        if not self.alive or self.owner.paused:
            return 0
        try:
            data, sender = receive_with_credentials(self._request, self.message_bytes_max)
        except BlockingIOError:
            return 0
        except OSError as reason:
            self.fail(Mark.CLIENT_GONE, str(reason))
            return 0
        if not self._is_from_client(sender):
            self.owner.mark(Mark.CLIENT_FOREIGN_DATAGRAM, self, "")
        elif self._heard or self._connect_back():
            self.submit(memoryview(data))
        return max(1, len(data))

    def _is_from_client(self, sender: Credentials | None) -> bool:
        mine = self.credentials
        return sender is not None and (sender.uid, sender.gid) == (mine.uid, mine.gid)

    def _connect_back(self) -> bool:
        """Connect to the names that the client has bound: now the kernel keeps others out."""
        try:
            self._request.connect(abstract_address(f"{self._base}-response"))
            self._transmit.connect(abstract_address(f"{self._base}-event"))
        except OSError as reason:
            self.fail(Mark.CLIENT_MALFORMED, f"its sockets: {reason}")
            return False
        self._heard = True
        self.flush_safely()
        return self.alive
