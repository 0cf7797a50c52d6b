"""Reading datagrams: one callback per wake-up, many datagrams per callback.

Speaks:      recvmsg(2) with UDP_GRO (udp(7)).
Counterpart: corosync exec/totemudpu.c, net_deliver_fn.
Keeps:       each read gives fresh memory, so that the ring may keep views of it; at most
             READS_PER_WAKE_UP_MAX reads, then the loop gets its turn.
"""

import asyncio
import errno
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from unisono.base.group import Marked
from unisono.base.ids import NodeId
from unisono.base.limits import DATAGRAM_BYTES_MAX, DISCARD_READS_MAX, READS_PER_WAKE_UP_MAX
from unisono.base.marks import Mark as MarkId
from unisono.base.run import Run
from unisono.linux.sockets import (
    GRO_ANCILLARY_BYTES,
    Ancillary,
    enable_receive_offload,
    received_segment_bytes,
)
from unisono.transport.port import Mark, Receive, TransportCounters

_UNLISTED: Final = NodeId(-1)
"""Stands for an address outside the nodelist; a real node id is never negative."""
_OWN: Final = NodeId(-2)
"""Stands for this node's own copy of a multicast."""


class Sources:
    """Who is behind a source address, by the nodelist."""

    __slots__ = ("_block_unlisted", "_nodes", "_own")

    def __init__(
        self,
        nodes: Mapping[str, NodeId],
        *,
        block_unlisted: bool,
        own: tuple[str, int] | None = None,
    ) -> None:
        """As `learn`; `own` is the address and port of multicasts to ignore."""
        self._nodes: dict[str, NodeId] = {}
        self.learn(nodes)
        self._block_unlisted = block_unlisted
        self._own = (_kernel_text(own[0]), own[1]) if own else None

    def learn(self, nodes: Mapping[str, NodeId]) -> None:
        """From now on these are the nodes, by numeric address; "" stands for none."""
        self._nodes = {_kernel_text(address): node for address, node in nodes.items() if address}

    def identify(self, address: tuple[str, int]) -> NodeId | None:
        """The node that sent, None for an unlisted one that may pass, or a negative number."""
        host = address[0]
        if self._own is not None and address[1] == self._own[1]:
            if host.partition("%")[0] == self._own[0]:
                return _OWN
        node = self._nodes.get(host)
        if node is None and "%" in host:
            node = self._nodes.get(host.partition("%")[0])
        if node is None and self._block_unlisted:
            return _UNLISTED
        return node


def _kernel_text(address: str) -> str:
    """`address` as recvmsg() spells it, without its zone."""
    text = address.partition("%")[0]
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return socket.inet_ntop(family, socket.inet_pton(family, text))


class DatagramReader:
    """Reads one bound, non-blocking UDP socket for as long as it is open."""

    __slots__ = ("_counters", "_loop", "_mark", "_receive", "_recvmsg", "_sources", "socket")

    def __init__(
        self,
        sock: socket.socket,
        receive: Receive,
        *,
        sources: Sources,
        counters: TransportCounters,
        mark: Mark,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.socket = sock
        self._receive = receive
        self._sources = sources
        self._counters = counters
        self._mark = mark
        self._loop = loop
        self._recvmsg = sock.recvmsg
        if not enable_receive_offload(sock):
            mark(Marked(MarkId.RECEIVE_OFFLOAD_REFUSED))
        loop.add_reader(sock.fileno(), self.read)

    def read(self) -> int:
        """Read what waits, within the bound, and hand it on; how many reads gave a datagram."""
        for count in range(READS_PER_WAKE_UP_MAX):
            if not self.read_one(self._receive):
                return count
        return READS_PER_WAKE_UP_MAX

    def read_one(self, receive: Receive) -> bool:
        """One read, handed on unless its source is to be ignored; False: nothing waits."""
        try:
            data, ancillary, _, address = self._recvmsg(DATAGRAM_BYTES_MAX, GRO_ANCILLARY_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            self._on_error(error)
            return False
        counters = self._counters
        counters.reads += 1
        source = self._sources.identify(address)
        if source is not None and source < 0:
            self._on_ignored(source, address)
            return True
        datagrams = join_read(data, ancillary)
        counters.received += len(datagrams)
        counters.bytes_received += len(data)
        receive(datagrams, source)
        return True

    def _on_ignored(self, source: NodeId, address: tuple[str, int]) -> None:
        if source == _UNLISTED:
            self._counters.unlisted += 1
            self._mark(Marked(MarkId.DATAGRAM_UNLISTED_SOURCE, text=address[0]))

    def _on_error(self, error: OSError) -> None:
        if self.socket.fileno() < 0:  # closed by what we handed on
            return
        self._counters.receive_errors += 1
        number = error.errno or errno.EIO
        self._mark(Marked(MarkId.RECEIVE_FAILED, number, text=error.strerror or ""))

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

    def close(self) -> None:
        """Stop reading and close the socket."""
        if self.socket.fileno() >= 0:
            self._loop.remove_reader(self.socket.fileno())
            self.socket.close()


def join_read(data: bytes, ancillary: list[Ancillary]) -> Sequence[bytes]:
    """The datagrams of one read: a Run of those that the kernel joined, else the only one."""
    step = received_segment_bytes(ancillary) if ancillary else 0
    return Run(data, step) if 0 < step < len(data) else [data]
