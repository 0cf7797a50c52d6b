"""Sync barrier (P20): nobody begins the next round of a synchronisation before all ended the last.

Counterpart: corosync exec/sync.c (sync_barrier_handler): a service is activated when the barriers
             of all members were delivered.
Keeps:       rounds are counted from what is sent and delivered: the n+1st message of a process must
             come after the nth of every member. All end at the same place of the order.
"""

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Delivered, Installed, Process, Ring, RoundHeard, RoundSent, Synced


class _Exchange:
    """The synchronisation of one process in one view."""

    __slots__ = ("heard", "members", "ring", "seq", "sent")

    def __init__(self, record: Installed) -> None:
        self.ring = record.ring
        self.members = record.members
        self.sent = 0
        self.heard: dict[NodeId, int] = {}
        self.seq = 0


class SyncBarrier(Checker):
    """Fires on a round that begins, or a synchronisation that ends, before its time or apart."""

    name = "sync barrier"
    properties = (
        ("P20", "a service is activated when all members' messages of its phase are delivered"),
    )

    def __init__(self) -> None:
        self._exchanges: dict[Process, _Exchange] = {}
        self._ends: dict[Ring, tuple[Process, int]] = {}

    def on_installed(self, record: Installed) -> None:
        """A regular view begins an exchange, a transitional one ends it."""
        if record.regular:
            self._exchanges[record.who] = _Exchange(record)
        else:
            self._exchanges.pop(record.who, None)

    def on_delivered(self, record: Delivered) -> None:
        """Remember the place."""
        exchange = self._exchanges.get(record.who)
        if exchange is not None:
            exchange.seq = record.seq

    def on_round_heard(self, fact: RoundHeard) -> None:
        """One member is through with one more round."""
        exchange = self._exchanges.get(fact.who)
        if exchange is not None and exchange.ring == fact.ring:
            exchange.heard[fact.origin] = exchange.heard.get(fact.origin, 0) + 1

    def on_round_sent(self, fact: RoundSent) -> None:
        """Everybody must be through with the round before."""
        exchange = self._exchanges.get(fact.who)
        if exchange is not None and exchange.ring == fact.ring:
            self._check(fact.time, fact.who, exchange, f"begins round {exchange.sent + 1}")
            exchange.sent += 1

    def on_synced(self, record: Synced) -> None:
        """Everybody must be through with the last round, and end at one place."""
        exchange = self._exchanges.get(record.who)
        if exchange is None:
            raise self.fail(record.time, f"without a regular view: {record}")
        self._check(record.time, record.who, exchange, "ends")
        other, seq = self._ends.setdefault(exchange.ring, (record.who, exchange.seq))
        if seq != exchange.seq:
            raise self.fail(
                record.time,
                f"{record.who} ends the synchronisation of {exchange.ring} behind message"
                f" {exchange.seq}, {other} did behind {seq}",
            )

    def _check(self, time: int, who: Process, exchange: _Exchange, what: str) -> None:
        for node in exchange.members:
            rounds = exchange.heard.get(node, 0)
            if rounds < exchange.sent:
                raise self.fail(
                    time,
                    f"{who} {what} of the synchronisation of {exchange.ring}, but node {node} was"
                    f" heard {rounds} times of {exchange.sent}",
                )
