"""Quorum: no two disjoint partitions are both quorate, and each verdict follows from the votes.

Counterpart: votequorum(5), corosync exec/votequorum.c; Pacemaker's vqsim in spirit.
Keeps:       an oracle of its own counts the votes that were delivered; it judges where all members
             state the same expected votes, which makes one version of the configuration.
"""

from typing import Final

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Installed, Process, Ring, Verdict, Voted

TWO_NODES: Final = 2


class Quorum(Checker):
    """Fires on a verdict that the votes do not give, and on two quorate views without a bridge."""

    name = "quorum"
    properties = (
        ("quorum", "no two disjoint quorate views; every verdict as an independent count has it"),
    )

    def __init__(self) -> None:
        self._views: dict[Process, Installed] = {}
        self._votes: dict[Process, dict[NodeId, Voted]] = {}
        self._quorate: dict[int, dict[Ring, frozenset[NodeId]]] = {}
        """By expected votes: the quorate views so far."""

    def on_installed(self, record: Installed) -> None:
        """Everybody tells its votes again in each regular view."""
        if record.regular:
            self._views[record.who] = record
            self._votes[record.who] = {}

    def on_voted(self, fact: Voted) -> None:
        """A member's votes; what it said last counts."""
        self._votes.setdefault(fact.who, {})[fact.origin] = fact

    def on_verdict(self, fact: Verdict) -> None:
        """Count again, and compare with all other quorate views."""
        view = self._views[fact.who]
        told = self._votes[fact.who]
        silent = [node for node in view.members if node not in told]
        if silent:
            raise self.fail(fact.time, f"{fact.who} judges, but {silent[0]} told no votes: {fact}")
        votes = [told[node] for node in view.members]
        self._count(fact, view, votes)
        if fact.quorate and fact.quorum > 1:
            self._compare(fact, view)

    def _count(self, fact: Verdict, view: Installed, votes: list[Voted]) -> None:
        total = sum(vote.votes for vote in votes)
        if total != fact.total:
            raise self.fail(fact.time, f"{total} votes in {view}, {fact.who} counts {fact.total}")
        expected = {vote.expected for vote in votes}
        if expected != {fact.expected}:
            return
        two_node = fact.quorum == 1 and len(view.members) <= TWO_NODES
        majority = max(fact.expected, total) // 2 + 1
        if fact.quorum != majority and not two_node:
            raise self.fail(
                fact.time,
                f"{majority} of {fact.expected} votes are a majority, for {fact.who} it is"
                f" {fact.quorum}",
            )
        waits = self._waits(fact.who, votes) and total < fact.expected
        if fact.quorate != (total >= fact.quorum and not waits):
            raise self.fail(
                fact.time,
                f"{fact.who} says {'' if fact.quorate else 'not '}quorate with {total} of"
                f" {fact.expected} votes, quorum {fact.quorum}: {view}",
            )

    def _waits(self, who: Process, votes: list[Voted]) -> bool:
        """Whether it waits for all still, and nobody has told it that this is over."""
        own = next(vote for vote in votes if vote.origin == who.node)
        return own.waits and not any(vote.claims and not vote.waits for vote in votes)

    def _compare(self, fact: Verdict, view: Installed) -> None:
        known = self._quorate.setdefault(fact.expected, {})
        if view.ring in known:
            return
        members = known[view.ring] = frozenset(view.members)
        for ring, others in known.items():
            if not members & others:
                raise self.fail(
                    fact.time,
                    f"{ring} of {sorted(others)} was quorate as well, with the same"
                    f" {fact.expected} expected votes: {view}",
                )
