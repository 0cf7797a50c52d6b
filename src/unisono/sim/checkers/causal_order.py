"""Causal order (P10), cheaply: a message comes after all that its sender had delivered or sent.

Counterpart: extended virtual synchrony, specification 5 (causal delivery).
Keeps:       messages of a sync period have a send queue of their own; each queue keeps its order.
"""

from unisono.base.ids import NodeId, seq_less
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Delivered, Process, Ring, Sent


class CausalOrder(Checker):
    """Fires when a message is ordered before what its sender knew when sending it."""

    name = "causal order"
    properties = (
        ("P10", "a message comes after all that its sender had delivered or sent before"),
    )

    def __init__(self) -> None:
        self._last: dict[Process, tuple[Ring | None, int]] = {}
        self._sends: dict[tuple[NodeId, int], list[tuple[Sent, int, tuple[Ring | None, int]]]] = {}
        self._ordinal: dict[Process, int] = {}
        self._passed: dict[tuple[Process, Process, bool], tuple[int, Delivered]] = {}

    def on_sent(self, record: Sent) -> None:
        """Note what the sender knows."""
        who = record.who
        ordinal = self._ordinal[who] = self._ordinal.get(who, 0) + 1
        known = self._last.get(who, (None, 0))
        self._sends.setdefault((who.node, record.key), []).append((record, ordinal, known))

    def on_delivered(self, record: Delivered) -> None:
        """The message's place must lie behind what its sender knew; senders keep their order."""
        ring = record.ring
        self._last[record.who] = (ring, record.seq)
        sends = self._sends.get((record.origin, record.key), ())
        if len(sends) != 1 or ring is None:
            return
        sent, ordinal, (known_ring, known_seq) = sends[0]
        if known_ring is not None and (
            ring.seq < known_ring.seq or (ring == known_ring and seq_less(record.seq, known_seq))
        ):
            raise self.fail(
                record.time,
                f"its sender had delivered {known_ring}/{known_seq} before sending: {record}",
            )
        stream = (record.who, sent.who, sent.during_sync)
        passed = self._passed.get(stream)
        if passed is not None and ordinal < passed[0]:
            raise self.fail(
                record.time, f"sent earlier than what came before it, {passed[1]}: {record}"
            )
        self._passed[stream] = (ordinal, record)
