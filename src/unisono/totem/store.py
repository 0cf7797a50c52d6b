"""The messages of one ring that may still be asked for, and how far they are complete.

Counterpart: corosync exec/totemsrp.c (regular_sort_queue, recovery_sort_queue), include/corosync/sq.h.
Keeps:       aru is the last sequence below which nothing is missing; nothing above `released` is forgotten.
"""

from unisono.base.group import Buffer
from unisono.base.ids import NodeId, RingId, seq_add, seq_distance, seq_less
from unisono.base.limits import STORED_MESSAGES_MAX


class StoredMessage:
    """One packet: `complete` lists the (group, payload) that end in it when it is our own."""

    __slots__ = ("complete", "datagram", "encapsulated", "origin", "safe", "system_from")

    def __init__(
        self,
        origin: NodeId,
        system_from: NodeId,
        *,
        encapsulated: bool,
        safe: bool,
        datagram: Buffer,
        complete: list[tuple[bytes, Buffer]] | None = None,
    ) -> None:
        self.origin = origin
        self.system_from = system_from
        self.encapsulated = encapsulated
        self.safe = safe
        self.datagram = datagram
        self.complete = complete


class RingStore:
    """What this node holds of the ring `ring`; sequences start at 1."""

    __slots__ = ("aru", "delivered", "high", "messages", "released", "ring", "safe_high", "safe_point")

    def __init__(self, ring: RingId) -> None:
        self.ring = ring
        self.messages: dict[int, StoredMessage] = {}
        self.aru = 0
        self.high = 0
        self.delivered = 0
        self.released = 0
        self.safe_high = 0
        self.safe_point = 0

    def fits(self, seq: int) -> bool:
        """Whether `seq` lies in the window that a store may hold."""
        return 0 < seq_distance(self.released, seq) <= STORED_MESSAGES_MAX

    def add(self, seq: int, message: StoredMessage) -> bool:
        """Keep `message` as number `seq`; False when it is known already or outside the window."""
        messages = self.messages
        if seq in messages or not self.fits(seq):
            return False
        messages[seq] = message
        if seq_less(self.high, seq):
            self.high = seq
        if message.safe and seq_less(self.safe_high, seq):
            self.safe_high = seq
        aru = self.aru
        following = seq_add(aru, 1)
        while following in messages:
            aru = following
            following = seq_add(aru, 1)
        self.aru = aru
        return True

    def release(self, upto: int) -> None:
        """Forget every message up to and including `upto`."""
        released = self.released
        if not seq_less(released, upto):
            return
        pop = self.messages.pop
        while released != upto:
            released = seq_add(released, 1)
            pop(released, None)
        self.released = upto

    def missing(self, upto: int, limit: int) -> list[int]:
        """The first `limit` sequences in (aru, upto] that are not here."""
        gaps: list[int] = []
        seq = self.aru
        while seq != upto and len(gaps) < limit:
            seq = seq_add(seq, 1)
            if seq not in self.messages:
                gaps.append(seq)
        return gaps
