"""udp: one multicast (or broadcast) copy of each datagram; tokens go by unicast.

Speaks:      UDP, IPv4 or IPv6: multicasts are received at group:port and sent from local:port-1,
             as tokens are; tokens are received at local:port.
Counterpart: corosync exec/totemudp.c.
Keeps:       multicasts loop back, so that several daemons of one host hear each other; the own copy
             is known by its source address and port and ignored. A token is handed on only after
             the multicasts that were there before it.
"""

import asyncio
import functools
import socket
from collections.abc import Sequence

from unisono.base.errors import ConfigError
from unisono.base.group import Buffer, Marked
from unisono.base.ids import NodeId
from unisono.base.limits import READS_PER_WAKE_UP_MAX
from unisono.base.marks import Mark as MarkId
from unisono.config.settings import Settings
from unisono.linux.interfaces import interface_of
from unisono.linux.sockets import (
    SocketAddress,
    allow_broadcast,
    join_group,
    set_multicast_sender,
    socket_address,
)
from unisono.transport.bound import bind_ring_socket, cannot
from unisono.transport.port import Mark, Receive, TransportCounters
from unisono.transport.reader import DatagramReader, Sources
from unisono.transport.sender import Sender

BROADCAST_ADDRESS = "255.255.255.255"


class UdpTransport:
    """The Transport for `transport: udp`."""

    __slots__ = (
        "_addresses",
        "_group",
        "_mark",
        "_me",
        "_multicasts",
        "_port",
        "_receive",
        "_sender",
        "_sending",
        "_sources",
        "_targets",
        "_tokens",
        "counters",
    )

    def __init__(
        self,
        settings: Settings,
        receive: Receive,
        *,
        mark: Mark,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Bind, join and start to read; ConfigError when that cannot be done."""
        how = settings.transport
        self.counters = TransportCounters()
        self._mark = mark
        self._receive = receive
        self._me = settings.node_id
        self._port = how.port
        self._addresses = {node.node_id: node.addresses[0] for node in settings.nodes}
        self._targets: dict[NodeId, SocketAddress] = {
            node: socket_address(address, how.port) for node, address in self._addresses.items()
        }
        opened = _open_sockets(settings, mark)
        self._group, self._sending, multicasts, tokens = opened
        self._sender = Sender(self._sending, self.counters, mark)
        self._sources = Sources(
            {address: node for node, address in self._addresses.items()},
            block_unlisted=how.block_unlisted_ips,
            own=(how.bind_address, how.port - 1),
        )
        reader = functools.partial(
            DatagramReader,
            sources=self._sources,
            counters=self.counters,
            mark=mark,
            loop=loop,
        )
        self._multicasts = reader(multicasts, receive)
        self._tokens = reader(tokens, self._receive_token)

    def _receive_token(self, datagrams: Sequence[Buffer], source: NodeId | None) -> None:
        """A token waits behind the multicasts that were sent before it, on the other socket."""
        for _ in range(READS_PER_WAKE_UP_MAX):
            if self._multicasts.read() < READS_PER_WAKE_UP_MAX:
                break
        self._receive(datagrams, source)

    def send_to(self, node: NodeId, datagram: bytes) -> None:
        """Send to one node's address; see Transport."""
        address = self._targets.get(node)
        if address is None:
            self.counters.send_errors += 1
            self._mark(Marked(MarkId.TARGET_UNKNOWN, node))
            return
        self._sender.send(datagram, address)

    def send_all(self, datagrams: Sequence[bytes]) -> None:
        """One multicast copy, in order; see Transport."""
        self._sender.send_each(datagrams, (self._group,))

    def discard_unread(self) -> int:
        """Drop what waits in both sockets; see Transport."""
        return self._multicasts.discard() + self._tokens.discard()

    def readdress(self, node: NodeId, link: int, address: str) -> None:
        """Link 0 is all there is; see Transport."""
        if link == 0 and node != self._me and node in self._addresses:
            self._addresses[node] = address
            self._learn()

    def reconfigure(self, settings: Settings) -> None:
        """Other nodes; see Transport."""
        self._addresses = {node.node_id: node.addresses[0] for node in settings.nodes}
        self._learn()

    def _learn(self) -> None:
        self._sources.learn({address: node for node, address in self._addresses.items()})
        self._targets = {
            node: socket_address(address, self._port) for node, address in self._addresses.items()
        }

    def farewell(self) -> None:
        """The ring's own goodbye is all there is; see Transport."""

    def status(self) -> dict[str, object]:
        """Nothing; see Transport."""
        return {}

    def close(self) -> None:
        """Close the sockets."""
        self._multicasts.close()
        self._tokens.close()
        self._sending.close()


def _open_sockets(
    settings: Settings, mark: Mark
) -> tuple[SocketAddress, socket.socket, socket.socket, socket.socket]:
    """Group address, sending, multicast and token socket; what was opened is closed on failure."""
    how = settings.transport
    local = socket_address(how.bind_address, how.port)
    entry = interface_of(how.bind_address)
    if entry is None:
        raise ConfigError(
            f"{how.bind_address} is not an address of this host; correct nodelist or bindnetaddr"
        )
    index = entry.interface_index
    group = _group_address(settings, index)
    opened: list[socket.socket] = []
    try:
        opened.append(bind_ring_socket(_with_port(local, how.port - 1), mark=mark))
        # What is refused to one socket is refused to all: one mark is enough.
        opened.append(bind_ring_socket(group, mark=None, shared=True))
        opened.append(bind_ring_socket(local, mark=None))
        sending, multicasts, tokens = opened
        try:
            if how.broadcast:
                allow_broadcast(sending)
            else:
                set_multicast_sender(sending, local, interface_index=index, ttl=how.ttl)
                join_group(multicasts, group[0], interface_index=index)
        except OSError as error:
            raise cannot("join", group, error) from error
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    return group, sending, multicasts, tokens


def _group_address(settings: Settings, interface_index: int) -> SocketAddress:
    how = settings.transport
    if how.broadcast:
        return (BROADCAST_ADDRESS, how.port)
    if ":" in how.multicast_address:
        return (how.multicast_address, how.port, 0, interface_index)
    return (how.multicast_address, how.port)


def _with_port(address: SocketAddress, port: int) -> SocketAddress:
    return (address[0], port, *address[2:])
