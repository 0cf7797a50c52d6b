"""Integrity (P1, P18): delivered at most once, only if sent, unchanged; one place, one message.

Counterpart: extended virtual synchrony, specification 1 (basic delivery).
Keeps:       equal contents are counted: no more places in the order than there were sends.
"""

from typing import TypeAlias

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.messages import size_of
from unisono.sim.trace import Delivered, Process, Ring, Sent

Place: TypeAlias = tuple[Ring | None, int, int]
"""Ring, sequence, and how many equal messages the same packet completed before."""


class Integrity(Checker):
    """Fires on invented, changed, doubled messages, and on a place with two origins."""

    name = "integrity"
    properties = (
        ("P1", "a message is delivered at most once, unchanged, and only if it was sent"),
        ("P18", "one place in the order has one origin"),
    )

    def __init__(self) -> None:
        self._sent: dict[tuple[NodeId, int], int] = {}
        self._places: dict[tuple[NodeId, int], set[Place]] = {}
        self._origin: dict[tuple[Ring | None, int], NodeId] = {}
        self._last: dict[Process, tuple[tuple[Ring | None, int], dict[int, int]]] = {}

    def on_sent(self, record: Sent) -> None:
        """Count the content."""
        message = (record.who.node, record.key)
        self._sent[message] = self._sent.get(message, 0) + 1

    def on_delivered(self, record: Delivered) -> None:
        """Find the send that this delivery belongs to."""
        message = (record.origin, record.key)
        sends = self._sent.get(message, 0)
        if not sends:
            raise self.fail(
                record.time,
                f"node {record.origin} never sent these {size_of(record.key)} bytes: {record}",
            )
        spot = (record.ring, record.seq)
        if self._origin.setdefault(spot, record.origin) != record.origin:
            raise self.fail(
                record.time,
                f"sequence {record.seq} of ring {record.ring} came from node"
                f" {self._origin[spot]} elsewhere: {record}",
            )
        last = self._last.get(record.who)
        if last is None or last[0] != spot:
            last = self._last[record.who] = (spot, {})
        # How often this process has delivered the same content from the same packet before.
        repeats = last[1][record.key] = last[1].get(record.key, -1) + 1
        places = self._places.get(message)
        if places is None:
            places = self._places[message] = set()
        places.add((*spot, repeats))
        if len(places) > sends:
            raise self.fail(
                record.time,
                f"sent {sends} times, delivered at {len(places)} places of the order: {record}",
            )
