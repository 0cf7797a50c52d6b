"""History: which sequences of which ring were delivered, by whom, and by anybody.

Counterpart: extended virtual synchrony, the delivery events of section 2.
Never:       judges: that is for the checkers that share it.
"""

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
