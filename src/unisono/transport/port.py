"""The transport port: what the executive asks of whatever carries datagrams between nodes.

Counterpart: corosync exec/totemnet.h.
Keeps:       a transport never raises for what the network does: it counts, marks and drops.
Never:       looks into a datagram (totem).
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from unisono.base.group import Buffer, Marked
from unisono.base.ids import NodeId
from unisono.config.settings import Settings

Receive: TypeAlias = Callable[[Sequence[Buffer], NodeId | None], None]
"""Takes the datagrams of one read, all from one node (None: not in the nodelist), in order."""
Mark: TypeAlias = Callable[[Marked], None]
"""Takes what is noteworthy."""


class TransportCounters:
    """What one transport did since it was opened; datagrams unless the name says otherwise."""

    __slots__ = (
        "batches_sent",
        "bytes_received",
        "bytes_sent",
        "discarded",
        "knocks",
        "port_closed",
        "reads",
        "receive_errors",
        "received",
        "send_dropped",
        "send_errors",
        "sent",
        "too_large",
        "unlisted",
    )

    def __init__(self) -> None:
        self.reads = 0
        self.received = 0
        self.bytes_received = 0
        self.receive_errors = 0
        self.unlisted = 0
        self.discarded = 0
        self.sent = 0
        self.bytes_sent = 0
        self.batches_sent = 0
        self.send_dropped = 0
        self.send_errors = 0
        self.too_large = 0
        """Refused because they are larger than what the device takes."""
        self.knocks = 0
        self.port_closed = 0
        """Answers of other hosts that nobody listens there."""

    def as_dict(self) -> dict[str, int]:
        """Every counter by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Transport(Protocol):
    """A way to the other nodes; its constructor opens it, or raises ConfigError."""

    counters: TransportCounters

    def send_to(self, node: NodeId, datagram: bytes) -> None:
        """Send one datagram to one configured node; an unknown node is counted and dropped."""

    def send_all(self, datagrams: Sequence[bytes]) -> None:
        """Send each datagram, in order, to every other configured node."""

    def discard_unread(self) -> int:
        """Read and drop what waits in the sockets now; how many reads that took."""

    def reconfigure(self, settings: Settings) -> None:
        """Other nodes, addresses of theirs, or times hold; nothing of this node's own differs."""

    def readdress(self, node: NodeId, link: int, address: str) -> None:
        """A node other than this one has another numeric address on that link from now on."""

    def farewell(self) -> None:
        """This node ends now, on purpose: tell the others, where there is a way to say so."""

    def status(self) -> dict[str, object]:
        """What is known besides the counters; plain values only."""

    def close(self) -> None:
        """Close the sockets; nothing is received any more. Closing twice is allowed."""
