"""udpu: one unicast copy of each datagram to every other node of the nodelist.

Speaks:      UDP, IPv4 or IPv6; one socket at local address:port receives and sends everything.
Counterpart: corosync exec/totemudpu.c, which binds a further socket per member to send from;
             peers look at the source address only, so one socket serves and keeps the order.
"""

import asyncio
from collections.abc import Sequence

from unisono.base.group import Marked
from unisono.base.ids import NodeId
from unisono.base.marks import Mark as MarkId
from unisono.config.settings import Settings
from unisono.linux.sockets import SocketAddress, socket_address
from unisono.transport.bound import bind_ring_socket
from unisono.transport.port import Mark, Receive, TransportCounters
from unisono.transport.reader import DatagramReader, Sources
from unisono.transport.sender import Sender


class UdpuTransport:
    """The Transport for `transport: udpu`."""

    __slots__ = (
        "_addresses", "_mark", "_me", "_others", "_port", "_reader", "_sender", "_sources",
        "_targets", "counters",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        receive: Receive,
        *,
        mark: Mark,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Bind and start to read; ConfigError when the address cannot be bound."""
        how = settings.transport
        self.counters = TransportCounters()
        self._mark = mark
        self._me = settings.node_id
        self._port = how.port
        self._addresses = {node.node_id: node.addresses[0] for node in settings.nodes}
        self._targets: dict[NodeId, SocketAddress] = {}
        self._others: list[SocketAddress] = []
        self._aim()
        sock = bind_ring_socket(socket_address(how.bind_address, how.port), mark=mark)
        self._sources = Sources(
            {address: node for node, address in self._addresses.items()},
            block_unlisted=how.block_unlisted_ips,
        )
        self._reader = DatagramReader(
            sock, receive, sources=self._sources, counters=self.counters, mark=mark, loop=loop
        )
        self._sender = Sender(sock, self.counters, mark)

    def send_to(self, node: NodeId, datagram: bytes) -> None:
        """Send to one node's address; see Transport."""
        address = self._targets.get(node)
        if address is None:
            self.counters.send_errors += 1
            self._mark(Marked(MarkId.TARGET_UNKNOWN, node))
            return
        self._sender.send(datagram, address)

    def send_all(self, datagrams: Sequence[bytes]) -> None:
        """One copy to each other node, in order; see Transport."""
        self._sender.send_each(datagrams, self._others)

    def _aim(self) -> None:
        self._targets = {
            node: socket_address(address, self._port) for node, address in self._addresses.items()
        }
        self._others = [address for node, address in self._targets.items() if node != self._me]

    def discard_unread(self) -> int:
        """Drop what waits in the socket; see Transport."""
        return self._reader.discard()

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
        self._aim()

    def farewell(self) -> None:
        """The ring's own goodbye is all there is; see Transport."""

    def status(self) -> dict[str, object]:
        """Nothing; see Transport."""
        return {}

    def close(self) -> None:
        """Close the socket."""
        self._reader.close()
