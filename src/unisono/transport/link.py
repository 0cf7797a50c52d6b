"""Link: one socket of the secure transport, who is at its other ends, and what its device takes.

Speaks:      UDP, IPv4 or IPv6, with UDP_SEGMENT and UDP_GRO, never fragmented.
Counterpart: libknet's transport_udp.c.
Keeps:       a read gives fresh memory; at most READS_PER_WAKE_UP_MAX reads, then the loop gets its
             turn; ICMP does not reach this socket: whatever anybody forges, datagrams leave.
Never:       looks into a datagram (secure).
"""

import asyncio
import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from unisono.base.group import Buffer, Marked
from unisono.base.ids import NodeId
from unisono.base.limits import (
    BUSY_READ_BYTES,
    DATAGRAM_BYTES_MAX,
    DISCARD_READS_MAX,
    READS_PER_WAKE_UP_MAX,
    SOURCES_REMEMBERED_MAX,
)
from unisono.base.marks import Mark as MarkId
from unisono.linux.interfaces import interface_mtu, interface_of
from unisono.linux.sockets import (
    GRO_ANCILLARY_BYTES,
    SocketAddress,
    enable_receive_offload,
    family_of,
    never_fragment,
    socket_address,
    udp_header_bytes,
    udp_room,
)
from unisono.transport.bound import bind_ring_socket
from unisono.transport.knock import Knocker
from unisono.transport.port import Mark, TransportCounters
from unisono.transport.reader import Sources, join_read
from unisono.transport.sender import Sender

Read: TypeAlias = tuple[Sequence[Buffer], str, NodeId | None]
"""The packets of one read, their source `address:port`, and its node if any."""
Take: TypeAlias = Callable[[list[Read], int], None]
"""Takes the reads of one wake-up, and the number of their link."""
Hint: TypeAlias = Callable[[NodeId, int], None]
"""Hears that a node's port on a link is said to be closed."""
Limit: TypeAlias = Callable[[int, int], None]
"""Hears which UDP payload, in bytes, the device of a link takes now."""


class Link:
    """One link of this node. `target` says where a node is; `sender` sends there."""

    __slots__ = (
        "_addresses", "_counters", "_family", "_hint", "_interface", "_is_busy", "_knocker",
        "_known", "_limit", "_local", "_loop", "_mark", "_mtu_bytes", "_nodes", "_port",
        "_recvmsg", "_socket", "_take", "number", "room", "sender",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        local: str,
        port: int,
        peers: Mapping[NodeId, str],
        *,
        take: Take,
        hint: Hint,
        limit: Limit,
        counters: TransportCounters,
        mark: Mark,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Bind to `local` and start to read; ConfigError. All addresses are numeric."""
        self.number = number
        self._local = local
        self._port = port
        self._family = family_of(local)
        self._take = take
        self._hint = hint
        self._limit = limit
        self._counters = counters
        self._mark = mark
        self._loop = loop
        self._addresses = dict(peers)
        self._known: dict[tuple[str, int], tuple[str, NodeId | None]] = {}
        self._nodes = Sources({}, block_unlisted=False)
        self._learn()
        self._interface = ""
        self._is_busy = False
        self._mtu_bytes = 0
        self._socket = bind_ring_socket(socket_address(local, port), mark=mark)
        self._recvmsg = self._socket.recvmsg
        self.sender = Sender(self._socket, counters, mark, self._is_too_large)
        never_fragment(self._socket)
        if not enable_receive_offload(self._socket):
            mark(Marked(MarkId.RECEIVE_OFFLOAD_REFUSED))
        self.room = udp_room(self._family, DATAGRAM_BYTES_MAX)
        """Largest UDP payload that the device is known to take."""
        self._measure()
        loop.add_reader(self._socket.fileno(), self._read)
        self._knocker = Knocker(local, port, peers, hint=self._on_closed_port, loop=loop)

    # -- the other ends ----------------------------------------------------------------------------

    def target(self, node: NodeId) -> SocketAddress | None:
        """Where to send to; None when the node is not on this link, or in another family."""
        address = self._addresses.get(node)
        if not address or family_of(address) != self._family:
            return None
        return socket_address(address, self._port)

    def readdress(self, node: NodeId, address: str) -> None:
        """The node is to be found at this numeric address from now on."""
        self._addresses[node] = address
        self._learn()
        self._knocker.readdress(node, address)

    def forget(self, node: NodeId) -> None:
        """The node is not on this link any more."""
        if self._addresses.pop(node, None) is not None:
            self._learn()
            self._knocker.forget(node)

    def watch(self, node: NodeId, *, is_present: bool) -> None:
        """Whether to find out when the node's daemon ends."""
        self._knocker.watch(node, is_present=is_present)

    def _learn(self) -> None:
        self._nodes.learn({address: node for node, address in self._addresses.items()})
        self._known.clear()

    def _identify(self, address: tuple[str, int]) -> tuple[str, NodeId | None]:
        """The source as text, and its node; remembered, because few sources send much."""
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        if len(self._known) >= SOURCES_REMEMBERED_MAX:
            self._known.clear()
        found = self._known[address] = f"{host}:{address[1]}", self._nodes.identify(address)
        return found

    # -- reading -----------------------------------------------------------------------------------

    def _read(self) -> None:
        """Read what waits, within the bound, and hand it on."""
        if self._is_busy:
            os.sched_yield()
        reads: list[Read] = []
        before = self._counters.bytes_received
        recvmsg, counters, known = self._recvmsg, self._counters, self._known
        for _ in range(READS_PER_WAKE_UP_MAX):
            try:
                data, ancillary, _, address = recvmsg(DATAGRAM_BYTES_MAX, GRO_ANCILLARY_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                self._on_error(error)
                break
            if not data:
                counters.knocks += 1
                continue
            source, node = known.get(address) or self._identify(address)
            packets = join_read(data, ancillary)
            counters.reads += 1
            counters.received += len(packets)
            counters.bytes_received += len(data)
            if node is None:
                counters.unlisted += 1
            reads.append((packets, source, node))
        self._is_busy = counters.bytes_received - before >= BUSY_READ_BYTES
        if reads:
            self._take(reads, self.number)

    def _on_error(self, error: OSError) -> None:
        self._counters.receive_errors += 1
        number = error.errno or errno.EIO
        self._mark(Marked(MarkId.RECEIVE_FAILED, number, text=error.strerror or ""))

    def _on_closed_port(self, node: NodeId) -> None:
        self._counters.port_closed += 1
        self._hint(node, self.number)

    def discard(self) -> int:
        """Read and drop what waits now; how many reads that took."""
        for count in range(DISCARD_READS_MAX):
            try:
                self._recvmsg(0)
            except OSError:
                self._counters.discarded += count
                return count
        self._counters.discarded += DISCARD_READS_MAX
        return DISCARD_READS_MAX

    # -- the device --------------------------------------------------------------------------------

    def look(self) -> None:
        """Tell the limit if the device's MTU has changed."""
        before = self._mtu_bytes
        room = self._measure()
        if self._mtu_bytes != before:
            self._set_room(room)

    def mtu_of(self, room: int) -> int:
        """Size of the IP packet whose UDP payload has `room` bytes."""
        return room + udp_header_bytes(self._family)

    def _measure(self) -> int:
        """Ask for the MTU; the room that it leaves. Unknown while the address is on no device."""
        try:
            if not self._interface:
                entry = interface_of(self._local)
                if entry is None:
                    return self.room
                self._interface = entry.interface
            mtu_bytes = interface_mtu(self._socket, self._interface)
        except OSError:  # the device is gone; perhaps the address is on another one next time
            self._interface = ""
            return self.room
        room = udp_room(self._family, mtu_bytes)
        if not self._mtu_bytes:
            self.room = room
        self._mtu_bytes = mtu_bytes
        return room

    def _is_too_large(self, size: int) -> bool:
        self.look()
        return size > self.room

    def _set_room(self, room: int) -> None:
        """Told in a later turn of the loop: this may be in the middle of a send."""
        if room != self.room:
            self.room = room
            self._loop.call_soon(self._limit, self.number, room)

    def close(self) -> None:
        """Stop reading and close the socket. Twice is harmless."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._knocker.close()
