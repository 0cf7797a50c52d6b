"""Knocking: is anybody at home? An empty datagram now and then, and the kernel's answer if not.

Speaks:      UDP without payload from sockets of its own, connected to the peers' ring ports; ICMP
             port unreachable as ECONNREFUSED (udp(7)).
Counterpart: none in Corosync, where a daemon that died is noticed when the token is lost.
Keeps:       an ICMP message can be forged by anybody, and disturbs the socket that it names: so the
             ring's own sockets are told of none, and here at most one is taken in each interval.
             A port that is known to be closed is left in peace: its kernel answers each of us about
             once a second (icmp(7), icmp_ratelimit), and that answer is for the next death.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from typing import Final

from unisono.base.ids import NodeId
from unisono.linux.sockets import family_of, socket_address

KNOCK_SECONDS: Final = 0.05
Hint = Callable[[NodeId], None]
"""Hears that a node's port is said to be closed."""


class _Door:
    """One peer's port."""

    __slots__ = ("_listens", "_loop", "_on_closed", "_socket")

    def __init__(
        self,
        sock: socket.socket,
        on_closed: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._socket = sock
        self._on_closed = on_closed
        self._loop = loop
        self._listens = False

    def knock(self) -> None:
        try:
            self._socket.send(b"")
        except ConnectionRefusedError:  # the answer to an earlier one
            self._on_closed()
        except OSError:
            return  # no way there at the moment: that says nothing of the daemon
        if not self._listens:
            self._listens = True
            self._loop.add_reader(self._socket.fileno(), self._on_answer)

    def _on_answer(self) -> None:
        self._listens = False
        self._loop.remove_reader(self._socket.fileno())
        try:
            self._socket.recv(1)
        except ConnectionRefusedError:
            self._on_closed()
        except OSError:
            return

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


class Knocker:
    """Knocks at the ports of those peers of one link who are there, until it is closed."""

    __slots__ = ("_doors", "_hint", "_local", "_loop", "_port", "_present", "_timer")

    def __init__(
        self,
        local: str,
        port: int,
        peers: Mapping[NodeId, str],
        *,
        hint: Hint,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Addresses are numeric; peers without one, or of another family, are left out."""
        self._local = local
        self._port = port
        self._hint = hint
        self._loop = loop
        self._doors: dict[NodeId, _Door] = {}
        self._present: set[NodeId] = set()
        for node, address in peers.items():
            self.readdress(node, address)
        self._timer = loop.call_later(KNOCK_SECONDS, self._on_timer)

    def readdress(self, node: NodeId, address: str) -> None:
        """The node is to be found at this address from now on."""
        self.forget(node)
        if not address or family_of(address) != family_of(self._local):
            return
        sock = socket.socket(family_of(address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.bind(socket_address(self._local, 0))
            sock.connect(socket_address(address, self._port))
        except OSError:  # no route now: the token's time-out remains
            sock.close()
            return
        self._doors[node] = _Door(sock, lambda: self._hint(node), self._loop)

    def forget(self, node: NodeId) -> None:
        """The node is not here any more."""
        former = self._doors.pop(node, None)
        if former is not None:
            former.close()

    def watch(self, node: NodeId, *, is_present: bool) -> None:
        """Knock at the node's port from now on, or no more; at first nobody is watched."""
        if is_present:
            self._present.add(node)
        else:
            self._present.discard(node)

    def _on_timer(self) -> None:
        self._timer = self._loop.call_later(KNOCK_SECONDS, self._on_timer)
        for node, door in list(self._doors.items()):
            if node in self._present:
                door.knock()

    def close(self) -> None:
        """Knock no more. Twice is harmless."""
        self._timer.cancel()
        for door in self._doors.values():
            with contextlib.suppress(OSError):
                door.close()
        self._doors.clear()
