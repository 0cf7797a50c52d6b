"""The messages of one ring that may still be asked for, and how far they are complete.

Counterpart: corosync exec/totemsrp.c (regular_sort_queue, recovery_sort_queue),
             include/corosync/sq.h.
Keeps:       aru is the last sequence below which nothing is missing; nothing above `released` is
             forgotten.
"""

from unisono.base.ids import SEQ_MASK, RingId, seq_add, seq_distance, seq_less, seq_min
from unisono.base.limits import STORED_MESSAGES_MAX
from unisono.wire.ring.srp import Mcast


class RingStore:
    """What this node holds of the ring `ring`; sequences start at 1."""

    __slots__ = (
        "aru",
        "delivered",
        "high",
        "messages",
        "released",
        "ring",
        "safe_high",
        "safe_point",
    )

    def __init__(self, ring: RingId) -> None:
        self.ring = ring
        self.messages: dict[int, Mcast] = {}
        self.aru = 0
        self.high = 0
        self.delivered = 0
        self.released = 0
        self.safe_high = 0
        self.safe_point = 0

    def fits(self, seq: int) -> bool:
        """Whether `seq` lies in the window that a store may hold."""
        return 0 < seq_distance(self.released, seq) <= STORED_MESSAGES_MAX

    def add(self, message: Mcast) -> bool:
        """Keep `message` under its number; False when it is known already or outside the window."""
        messages = self.messages
        seq = message.seq
        if seq in messages or not self.fits(seq):
            return False
        messages[seq] = message
        if seq_less(self.high, seq):
            self.high = seq
        if message.guarantee and not message.encapsulated and seq_less(self.safe_high, seq):
            self.safe_high = seq
        aru = self.aru
        following = (aru + 1) & SEQ_MASK
        while following in messages:
            aru = following
            following = (aru + 1) & SEQ_MASK
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

    def forget_above(self, seq: int) -> None:
        """Drop what claims a number that the token has not given out; nothing below `released`."""
        if seq_less(seq, self.released):
            return
        for number in [each for each in self.messages if seq_less(seq, each)]:
            del self.messages[number]
        self.high = seq
        self.aru = seq_min(self.aru, seq)
        self.delivered = seq_min(self.delivered, seq)
        self.safe_high = seq_min(self.safe_high, seq)

    def missing(self, upto: int, limit: int) -> list[int]:
        """The first `limit` sequences in (aru, upto] that are not here."""
        gaps: list[int] = []
        seq = self.aru
        while seq != upto and len(gaps) < limit:
            seq = seq_add(seq, 1)
            if seq not in self.messages:
                gaps.append(seq)
        return gaps
