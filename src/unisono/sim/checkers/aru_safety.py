"""Aru safety (P19): what the token says that all have received, all have received.

Counterpart: Totem paper, section 3.2 (token.aru, safe delivery); corosync exec/totemsrp.c,
             message_handler_orf_token.
Keeps:       what a process read may be more than what it kept, never less: the check is lenient.
"""

from unisono.base.ids import SEQ_MASK, seq_less
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Heard, Numbered, Process, Ring, TokenPassed


class _Holding:
    """What one process can have received of one ring; all up to `upto`, and those in `beyond`."""

    __slots__ = ("beyond", "circle", "last_taken", "ring", "token_seq", "upto", "who")

    def __init__(self, who: Process, ring: Ring) -> None:
        self.who = who
        self.ring = ring
        self.upto = 0
        self.beyond: set[int] = set()
        self.token_seq = -1
        self.last_taken: int | None = None
        self.circle: _Circle | None = None

    def add(self, seq: int) -> None:
        if seq == (self.upto + 1) & SEQ_MASK:
            while True:
                self.upto = seq
                seq = (seq + 1) & SEQ_MASK
                if seq not in self.beyond:
                    return
                self.beyond.remove(seq)
        elif seq_less(self.upto, seq):
            self.beyond.add(seq)


class _Circle:
    """One ring: who has passed its token on, and what was known of all at least."""

    __slots__ = ("aru", "floor", "holdings", "token_seq")

    def __init__(self) -> None:
        self.holdings: list[_Holding] = []
        self.token_seq = -1
        self.aru = 0
        self.floor = 0


class AruSafety(Checker):
    """Fires when an aru is above what its sender, or what any member, can have received."""

    name = "aru safety"
    properties = (
        ("P19", "a message up to the token's aru on two visits has been received by all members"),
    )

    def __init__(self) -> None:
        self._holdings: dict[Process, _Holding] = {}
        self._circles: dict[Ring, _Circle] = {}

    def on_heard(self, fact: Heard) -> None:
        """Messages arrived."""
        holding = self._holdings.get(fact.who)
        if holding is None or holding.ring is not fact.ring:
            holding = self._hold(fact.who, fact.ring)
        for seq in fact.seqs:
            holding.add(seq)

    def on_numbered(self, fact: Numbered) -> None:
        """What one sends, one has."""
        holding = self._holdings.get(fact.who)
        if holding is None or holding.ring is not fact.ring:
            holding = self._hold(fact.who, fact.ring)
        holding.add(fact.seq)

    def _hold(self, who: Process, ring: Ring) -> _Holding:
        holding = self._holdings.get(who)
        if holding is None or holding.ring != ring:
            holding = _Holding(who, ring)
            self._holdings[who] = holding
        return holding

    def on_token_passed(self, fact: TokenPassed) -> None:
        """Compare the aru with what its sender has; at each visit, with what all have."""
        _, who, ring, number, _, aru, *_ = fact
        holding = self._holdings.get(who)
        if holding is None or holding.ring is not ring:
            holding = self._hold(who, ring)
        if holding.token_seq == number:
            return
        if aru != holding.upto and seq_less(holding.upto, aru):
            raise self.fail(
                fact.time,
                f"{fact.who} passed on token {fact.token_seq} of {fact.ring} with aru {fact.aru},"
                f" it has received all up to {holding.upto}",
            )
        circle = holding.circle
        if circle is None:
            circle = holding.circle = self._circles.setdefault(ring, _Circle())
            circle.holdings.append(holding)
        if number == (circle.token_seq + 1) & SEQ_MASK and circle.token_seq >= 0:
            taken, last = circle.aru, holding.last_taken
            holding.last_taken = taken
            if last is not None and taken != circle.floor != last:
                self._compare(fact, circle, taken, last)
        holding.token_seq = circle.token_seq = number
        circle.aru = aru

    def _compare(self, fact: TokenPassed, circle: _Circle, taken: int, last: int) -> None:
        """Everybody must have what was on the token twice: here it counts as safe."""
        safe = taken if seq_less(taken, last) else last
        if not seq_less(circle.floor, safe):
            return
        for each in circle.holdings:
            if seq_less(each.upto, safe):
                raise self.fail(
                    fact.time,
                    f"{fact.who} had aru {last}, then {taken} on {fact.ring}, but {each.who} has"
                    f" received all up to {each.upto} only",
                )
        circle.floor = safe
