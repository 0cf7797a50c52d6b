"""Gap freedom (P9): in a regular view a message comes only after all earlier ones of its ring.

Counterpart: extended virtual synchrony, specification 6.3; Totem paper, agreed delivery.
Keeps:       in a transitional view gaps are legal (messages of members that did not come along).
"""

from unisono.base.ids import seq_less
from unisono.sim.checkers.checker import Checker
from unisono.sim.checkers.company import Company
from unisono.sim.trace import Delivered, Installed, Process, Ring, Sent, Synced


class GapFreedom(Checker):
    """Fires when a process passed over a sequence at which anybody delivered something."""

    name = "gap freedom"

    def __init__(self) -> None:
        self._company = Company()
        self._in_regular: dict[Process, bool] = {}
        self._known: dict[Ring, dict[int, Delivered]] = {}
        self._seqs: dict[tuple[Process, Ring], set[int]] = {}
        self._upto: dict[tuple[Process, Ring], Delivered] = {}

    def on_installed(self, record: Installed) -> None:
        """Gaps are judged for what was delivered in a regular view."""
        self._in_regular[record.who] = record.regular
        self._company.installed(record)

    def on_synced(self, record: Synced) -> None:
        """Where all are Unisono, nobody may miss anything."""
        self._company.synced(record)

    def on_sent(self, record: Sent) -> None:
        """A newcomer may miss what began before it came."""
        self._company.sent(record)

    def on_delivered(self, record: Delivered) -> None:
        """Note who got which sequence."""
        if record.ring is None:
            return
        self._company.delivered(record)
        self._known.setdefault(record.ring, {}).setdefault(record.seq, record)
        at = (record.who, record.ring)
        self._seqs.setdefault(at, set()).add(record.seq)
        if self._in_regular.get(record.who):
            self._upto[at] = record

    def conclude(self, time: int) -> None:
        """Compare each process's sequences with all that are known of its ring."""
        for (who, ring), last in self._upto.items():
            seqs = self._seqs[who, ring]
            for seq, other in self._known[ring].items():
                if seq in seqs or not seq_less(seq, last.seq):
                    continue
                if not self._company.may_miss(who, ring, seq, other.origin, other.key):
                    raise self.fail(
                        last.time, f"{who} never delivered what came before: {other}; but: {last}"
                    )
