"""History: which sequences of which ring were delivered, by whom, and by anybody.

Counterpart: extended virtual synchrony, the delivery events of section 2.
Never:       judges: that is for the checkers that share it.
"""

from unisono.base.ids import seq_less
from unisono.sim.checkers.company import Company
from unisono.sim.trace import Delivered, Process, Ring, Trace


class History:
    """Kept once for all checkers of one trace."""

    def __init__(self) -> None:
        self.known: dict[Ring, dict[int, Delivered]] = {}
        """The first delivery of each sequence."""
        self.seqs: dict[tuple[Process, Ring], set[int]] = {}
        """What each process delivered."""

    def attach(self, trace: Trace) -> None:
        """Listen to `trace`."""
        trace.listen(Delivered, self.delivered)

    def delivered(self, record: Delivered) -> None:
        """Note who got which sequence."""
        ring = record.ring
        if ring is not None:
            self.known.setdefault(ring, {}).setdefault(record.seq, record)
            self.seqs.setdefault((record.who, ring), set()).add(record.seq)

    def passed_over(self, company: Company, last: Delivered) -> Delivered | None:
        """What anybody delivered before `last` on its ring, and who delivered `last` did not.

        None if there is nothing that it may not miss.
        """
        who, ring = last.who, last.ring
        assert ring is not None, "only a delivery on a known ring has something before it"
        seqs = self.seqs[who, ring]
        for seq, other in self.known[ring].items():
            if seq in seqs or not seq_less(seq, last.seq):
                continue
            if not company.may_miss(who, ring, seq, other.origin, other.key):
                return other
        return None
