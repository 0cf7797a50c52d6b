"""Agreed order (P8): any two processes deliver their common messages in the same order.

Counterpart: extended virtual synchrony, specification 6 (totally ordered delivery).
Keeps:       judged twice: by content for every pair of processes, and by the sequence numbers.
"""

from unisono.base.ids import NodeId, seq_less
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Delivered, Process, Ring, Sent


class AgreedOrder(Checker):
    """Fires when a pair of processes disagrees, or one goes back in its ring's sequence."""

    name = "agreed order"
    properties = (("P8", "any two processes deliver their common messages in one order"),)

    def __init__(self) -> None:
        self._sends: dict[tuple[NodeId, int], int] = {}
        self._delivered: dict[Process, int] = {}
        self._where: dict[tuple[NodeId, int], list[tuple[Process, int]]] = {}
        self._highest: dict[tuple[Process, Process], int] = {}
        self._last: dict[Process, tuple[Ring | None, int]] = {}

    def on_sent(self, record: Sent) -> None:
        """Only contents that were sent once can be compared by content."""
        message = (record.who.node, record.key)
        self._sends[message] = self._sends.get(message, 0) + 1

    def on_delivered(self, record: Delivered) -> None:
        """Each new common message must be the latest common one on both sides."""
        who, ring, seq = record.who, record.ring, record.seq
        last = self._last.get(who)
        self._last[who] = (ring, seq)
        if last is not None and seq < last[1] and last[0] == ring and seq_less(seq, last[1]):
            raise self.fail(
                record.time, f"sequence {last[1]} of the same ring was delivered before: {record}"
            )
        message = (record.origin, record.key)
        if self._sends.get(message, 0) != 1:
            return
        place = self._delivered.get(who, 0)
        self._delivered[who] = place + 1
        where = self._where.setdefault(message, [])
        highest = self._highest
        for other, other_place in where:
            if other == who:
                continue
            pair = (other, who)
            if other_place < highest.get(pair, -1):
                raise self.fail(
                    record.time,
                    f"{other} delivered this earlier than a message that {who} has delivered"
                    f" before: {record}",
                )
            highest[pair] = other_place
            highest[who, other] = place
        where.append((who, place))
