"""Sequence uniqueness (P18): one sequence number of one ring names one message for ever.

Counterpart: Totem paper, section 3.2 (only the token's holder numbers messages).
Keeps:       every copy counts, the first one and those that were asked for; bytes are compared by
             their CRC-32.
"""

from zlib import crc32

from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Numbered, Process, Ring


class SequenceUniqueness(Checker):
    """Fires when two different messages travel under one number."""

    name = "sequence uniqueness"
    properties = (("P18", "one sequence number of a ring names one message"),)

    def __init__(self) -> None:
        self._rings: dict[Ring, dict[int, tuple[Process, int]]] = {}

    def on_numbered(self, fact: Numbered) -> None:
        """Compare with the first of that number."""
        known = self._rings.get(fact.ring)
        if known is None:
            known = self._rings[fact.ring] = {}
        checksum = crc32(fact.datagram)
        first = known.setdefault(fact.seq, (fact.who, checksum))
        if first[1] != checksum:
            raise self.fail(
                fact.time,
                f"{fact.who} sent {len(fact.datagram)} bytes as message {fact.seq} of {fact.ring},"
                f" {first[0]} had sent something else under that number",
            )
