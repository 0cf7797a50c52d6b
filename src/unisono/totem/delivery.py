"""Delivery: packets in order become messages, configurations take their place between them.

Counterpart: corosync exec/totempg.c (totempg_deliver_fn, totempg_waiting_trans_ack_cb).
Keeps:       while the services agree after a configuration change, each packet is handed out alone,
             so that what they answer takes effect before the next one; synchronisation has
             reassembly buffers of its own, and the others wait untouched until it is over.
"""

from collections import deque

from unisono.base.errors import WireError
from unisono.base.group import ConfigurationChanged, ConfigurationKind, Delivered, Marked
from unisono.base.ids import NodeId, RingId, Seq
from unisono.base.marks import Mark
from unisono.totem.reassembly import Assembler
from unisono.wire.ring.pg import decode_prefix
from unisono.wire.ring.srp import MCAST_HEADER_BYTES, Mcast


class Delivery:
    """Turns ordered packets and configurations into effects."""

    __slots__ = ("_assembler", "_leavers", "_normal", "_sync", "_waiting", "ring",
                 "syncing", "told", "untold")  # fmt: skip

    def __init__(self) -> None:
        self._normal = Assembler()
        self._sync = Assembler()
        self._assembler = self._normal
        self._leavers: tuple[NodeId, ...] = ()
        self._waiting: deque[Mcast | ConfigurationChanged] = deque()
        self.untold = 0
        """Configurations among the effects that the owner has not taken yet."""
        self.syncing = False
        """True from a transitional configuration until the services agree on the regular one."""
        self.ring: RingId | None = None
        """The regular configuration that was handed out last."""
        self.told = False
        """`syncing` as the owner knows it: what it answers belongs to that time."""

    def packet(self, message: Mcast, effects: list[object]) -> None:
        """Hand out one packet, at once when nothing stands in its way."""
        if self.syncing or self._waiting:
            self._waiting.append(message)
        else:
            self._open(message, effects)

    def configuration(self, change: ConfigurationChanged, effects: list[object]) -> None:
        """Hand out a configuration behind everything that was ordered before it."""
        if self.syncing or self._waiting:
            self._waiting.append(change)
        else:
            self._install(change, effects)

    def sync_finished(self, ring: RingId) -> None:
        """The services agree on `ring`; ignored when a later configuration is out already."""
        if ring == self.ring:
            self.syncing = self.told = False
            self._assembler = self._normal

    def proceed(self, effects: list[object]) -> None:
        """Hand out what waits: one packet or configuration while syncing, else all."""
        waiting = self._waiting
        while waiting:
            item = waiting.popleft()
            if isinstance(item, ConfigurationChanged):
                self._install(item, effects)
            else:
                self._open(item, effects)
            if self.syncing and effects:
                return

    def _install(self, change: ConfigurationChanged, effects: list[object]) -> None:
        if change.kind is ConfigurationKind.TRANSITIONAL:
            self.syncing = True
            self._leavers = change.left
        else:
            # Only now: what the transitional configuration still delivered belongs to the old
            # buffers.
            for node in self._leavers:
                self._normal.forget(node)
            self._sync.clear()
            self._assembler = self._sync
            self.ring = change.ring
        effects.append(change)
        self.untold += 1

    def split(self, effects: list[object]) -> int:
        """How many of the effects to hand out now: a configuration goes alone.

        What the owner answers to a message of before must not be taken for part of what follows.
        """
        place = next(n for n, each in enumerate(effects) if isinstance(each, ConfigurationChanged))
        if place:
            return place
        self.untold -= 1
        self.told = True
        return 1

    def _open(self, message: Mcast, effects: list[object]) -> None:
        if message.encapsulated:
            return
        origin = message.origin
        ring, seq = message.ring, message.seq
        if message.complete is not None:
            for group, payload in message.complete:
                effects.append(Delivered(origin, group, memoryview(payload), ring, Seq(seq)))
            return
        assembler = self._assembler
        orphans = assembler.orphans
        try:
            whole = assembler.accept(origin, memoryview(message.datagram)[MCAST_HEADER_BYTES:])
        except WireError as error:
            effects.append(Marked(Mark.PACKET_MALFORMED, origin, seq, str(error)))
            return
        if assembler.orphans != orphans:
            effects.append(Marked(Mark.FRAGMENT_ORPHANED, origin, seq))
        for text in whole:
            self._address(origin, text, ring, seq, effects)

    def _address(
        self, origin: NodeId, text: memoryview, ring: RingId, seq: int, effects: list[object]
    ) -> None:
        try:
            groups, start = decode_prefix(text)
        except WireError as error:
            effects.append(Marked(Mark.PACKET_MALFORMED, origin, seq, str(error)))
            return
        for group in groups:
            effects.append(Delivered(origin, group, text[start:], ring, Seq(seq)))
