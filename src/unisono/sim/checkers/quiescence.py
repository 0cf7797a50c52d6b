"""Quiescence (P23): an idle ring turns once per hold, and says once per turn that it exists.

Counterpart: corosync exec/totemsrp.c (token_hold, seqno_unchanged_const, merge detect); among
             Unisono members the token rests with its last sender.
Keeps:       judged after the calm only, when nothing was sent and nothing installed.
"""

from typing import Final

from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Booted, Faulted, Idled, Installed, Sent, Synced

TURNS_SPARE: Final = 2
"""A turn that has begun before, and one that ends after."""
MARKS_PER_DATAGRAM_MAX: Final = 1


class Quiescence(Checker):
    """Fires when an idle cluster sends, or tells its log, more than its rest allows."""

    name = "quiescence"
    properties = (
        ("P23", "an idle ring turns once per hold period, with one merge detect per turn"),
    )

    def __init__(self) -> None:
        self._busy = -1
        self._native = False

    def on_booted(self, record: Booted) -> None:
        """Something happens."""
        self._busy = record.time

    def on_sent(self, record: Sent) -> None:
        """Something happens."""
        self._busy = record.time

    def on_installed(self, record: Installed) -> None:
        """Something happens."""
        self._busy = record.time

    def on_faulted(self, record: Faulted) -> None:
        """Something happens."""
        self._busy = record.time

    def on_synced(self, record: Synced) -> None:
        """Whether the token may rest at any member."""
        self._busy = record.time
        self._native = record.native

    def on_idled(self, fact: Idled) -> None:
        """Count the turns for which there was time."""
        if self._busy >= fact.since:
            return
        period = fact.rest_ns if self._native else fact.hold_ns
        length = fact.time - fact.since
        turns = length // period + TURNS_SPARE
        detections = length // max(period, fact.merge_ns) + TURNS_SPARE
        bound = fact.nodes * turns + (fact.nodes - 1) * detections if fact.nodes > 1 else 0
        text = f"in {length / 1e6:.0f} ms an idle cluster of {fact.nodes}"
        if fact.datagrams > bound:
            raise self.fail(fact.time, f"{text} sent {fact.datagrams} datagrams, bound {bound}")
        if fact.marks > bound * MARKS_PER_DATAGRAM_MAX:
            raise self.fail(fact.time, f"{text} left {fact.marks} marks, bound {bound}")
