"""Fabric: the networks of a cluster that has several links, as one where a fault means all.

Speaks:      `send(source, target, link, packet)`; every fault of `Network`, on all links at once;
             `planes` for faults of one link.
Counterpart: the interfaces of corosync.conf(5), each with a network of its own.
Keeps:       what is larger than its path is lost in silence, as a router without ICMP does.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from functools import partial
from random import Random
from typing import Final, TypeAlias

from unisono.base.ids import NodeId
from unisono.sim.network import Link, Network, NetworkOptions, Sieve
from unisono.sim.scheduler import Scheduler
from unisono.wire.ust.header import HEADER_BYTES, MAGIC, PacketType

_TYPES: Final = {int(kind): kind for kind in PacketType}

LinkInlet: TypeAlias = Callable[[bytes, NodeId, int], None]
"""Takes a packet, who sent it, and over which link it came."""


def packet_type(packet: bytes) -> IntEnum | None:
    """The type of a packet of the secure transport as its header says it, None if it has none."""
    if len(packet) < HEADER_BYTES or packet[0] != MAGIC:
        return None
    return _TYPES.get(packet[1] & 0x0F)


class Fabric:
    """One network for each link; each throws dice of its own."""

    def __init__(
        self,
        scheduler: Scheduler,
        seed: str,
        options: NetworkOptions,
        links: int,
        path_bytes: int = 1_472,
    ) -> None:
        self.planes: Final = tuple(
            Network(scheduler, Random(f"{seed}/network/{link}"), options, packet_type)
            for link in range(links)
        )
        self.path_bytes = path_bytes
        self.room: Final = [path_bytes] * links
        """The largest UDP payload that passes each link's paths."""
        self.listeners: list[Callable[[NodeId, NodeId, int, bytes], None]] = []
        """Who hears every packet (source, target, link) when it is sent, whatever becomes of it."""
        self.thief: Callable[[NodeId, NodeId, int, bytes], bool] | None = None
        """Whoever may take a packet (source, target, link) out of the network; True if he did."""
        self.too_large = 0
        """Packets lost for their size."""

    def attach(self, node: NodeId, inlet: LinkInlet) -> None:
        """Deliver packets for `node` to `inlet(packet, source, link)`."""
        for link, plane in enumerate(self.planes):
            plane.attach(node, partial(_over, inlet, link))

    def send(self, source: NodeId, target: NodeId, link: int, packet: bytes) -> None:
        """Send one packet over one link; it arrives later, twice, or never."""
        for listener in self.listeners:
            listener(source, target, link, packet)
        if len(packet) > self.room[link]:
            self.too_large += 1
        elif self.thief is None or not self.thief(source, target, link, packet):
            self.planes[link].send(source, target, packet)

    def is_open(self, source: NodeId, target: NodeId, link: int) -> bool:
        """Whether nothing cuts this direction of the link."""
        return self.planes[link].is_open((source, target))

    # -- what all planes together are -------------------------------------------------------------

    @property
    def options(self) -> NetworkOptions:
        """Those of link 0."""
        return self.planes[0].options

    @property
    def sent(self) -> int:
        """Packets of all links."""
        return sum(plane.sent for plane in self.planes)

    @property
    def delivered(self) -> int:
        """Packets of all links that arrived."""
        return sum(plane.delivered for plane in self.planes)

    @property
    def replays(self) -> int:
        """Late copies that are still to come."""
        return sum(plane.replays for plane in self.planes)

    @property
    def replays_until(self) -> int:
        """When the last of them arrives."""
        return max(plane.replays_until for plane in self.planes)

    @property
    def last_arrival(self) -> int:
        """When the last of what is in flight arrives."""
        return max(plane.last_arrival for plane in self.planes)

    @property
    def holds_the_past(self) -> bool:
        """Whether packets of long ago may still arrive."""
        return any(plane.holds_the_past for plane in self.planes)

    # -- faults of all links ----------------------------------------------------------------------

    def links_between(self, sides: Iterable[Iterable[NodeId]]) -> list[Link]:
        """As a network says it."""
        return self.planes[0].links_between(sides)

    def links_of(self, node: NodeId) -> list[Link]:
        """As a network says it."""
        return self.planes[0].links_of(node)

    def partition(self, sides: Iterable[Iterable[NodeId]]) -> None:
        """Cut what shares no side."""
        links = self.links_between(sides)
        for plane in self.planes:
            plane.cut(links)

    def join(self, links: Iterable[Link]) -> None:
        """End one cut of each."""
        links = list(links)
        for plane in self.planes:
            plane.join(links)

    def cut_one_way(self, source: NodeId, target: NodeId) -> None:
        """Lose everything in this direction."""
        for plane in self.planes:
            plane.cut_one_way(source, target)

    def heal(self) -> None:
        """Join everything."""
        for plane in self.planes:
            plane.heal()

    def flap(self, links: Sequence[Link], period_ns: int) -> None:
        """Cut and join in turns."""
        for plane in self.planes:
            plane.flap(links, period_ns)

    def unflap(self, links: Sequence[Link]) -> None:
        """No longer."""
        for plane in self.planes:
            plane.unflap(links)

    def clog(self, links: Iterable[Link]) -> None:
        """Hold what arrives."""
        links = list(links)
        for plane in self.planes:
            plane.clog(links)

    def unclog(self, links: Iterable[Link]) -> None:
        """Let it go."""
        links = list(links)
        for plane in self.planes:
            plane.unclog(links)

    def add_sieve(self, sieve: Sieve) -> None:
        """Lose a share of what matches."""
        for plane in self.planes:
            plane.add_sieve(sieve)

    def remove_sieve(self, sieve: Sieve) -> None:
        """No longer."""
        for plane in self.planes:
            plane.remove_sieve(sieve)

    def change(self, **named: float) -> None:
        """Replace options by name."""
        for plane in self.planes:
            plane.change(**named)

    def change_link(self, link: Link, **named: float) -> None:
        """Replace those between two nodes."""
        for plane in self.planes:
            plane.change_link(link, **named)

    def calm(self, options: NetworkOptions) -> None:
        """End every fault."""
        self.room[:] = [self.path_bytes] * len(self.planes)
        for plane in self.planes:
            plane.calm(options)


def _over(inlet: LinkInlet, link: int, packet: bytes, source: NodeId) -> None:
    inlet(packet, source, link)
