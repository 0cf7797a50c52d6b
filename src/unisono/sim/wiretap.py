"""Wiretap: what a node puts on the wire and reads from it, as facts for those who listen.

Speaks:      datagrams and messages of one node in; `trace.Fact` out.
Counterpart: the node's own socket, seen from outside.
Keeps:       looks at bytes only; a ring has the epoch that it had when the node first spoke on it.
Never:       costs more than a look at a list when nobody listens.
"""

from struct import Struct
from typing import Final

from unisono.base.group import Buffer
from unisono.base.ids import NO_RING, NodeId, RingId, RingSeq
from unisono.services import Engine
from unisono.sim import trace
from unisono.sim.plain import HELLO
from unisono.sim.scheduler import Scheduler
from unisono.wire.ring import srp
from unisono.wire.service import votequorum
from unisono.wire.service.header import GROUP_SERVICES, GROUP_SYNC, ID

_TOKEN_FACTS: Final = Struct("<13xIII4xIQ12xi")
"""seq, token_seq, aru, ring, number of retransmit requests."""
_MCAST_FACTS: Final = Struct("<17xI4xIQ8x")
"""seq, ring."""
_COMMIT_FACTS: Final = Struct("<17xIQ12x")
assert _TOKEN_FACTS.size == srp.TOKEN_LAYOUT.size
assert _MCAST_FACTS.size == srp.MCAST_LAYOUT.size
assert _COMMIT_FACTS.size == srp.COMMIT_LAYOUT.size
_MCAST: Final = bytes((srp.TYPE_MCAST,))
UNHEARD_MAX: Final = 1_024
_new: Final = tuple.__new__
"""A fact of the frequent kinds, in half the time that its own class would take."""
_KIND: Final = 3
"""Where the header names the type of the message."""
_HELLO_FACTS: Final = Struct("<IQ4x")
_SYNC_FACTS: Final = Struct("<16xIQ")
"""ring: both messages of the group "sync" begin alike."""
_ROUND_GROUPS: Final = frozenset((GROUP_SYNC, HELLO))
TAPPED_GROUPS: Final = _ROUND_GROUPS | {GROUP_SERVICES}
"""Groups whose messages a wiretap wants to see."""


class Wiretap:
    """Listens at one node; `who` is its present life."""

    __slots__ = (
        "_epochs",
        "_hearers",
        "_judges",
        "_numberers",
        "_ring",
        "_round_hearers",
        "_round_senders",
        "_scheduler",
        "_tokeners",
        "_unheard",
        "_voters",
        "who",
    )

    def __init__(
        self, who: trace.Process, book: trace.Trace, scheduler: Scheduler, epochs: dict[NodeId, int]
    ) -> None:
        self.who = who
        self._scheduler = scheduler
        self._epochs = epochs
        self._ring = trace.Ring(NO_RING.rep, NO_RING.seq, 0)
        self._unheard: list[bytes] = []
        """Multicasts that were read, and nobody was told of yet."""
        self._tokeners = book.ears(trace.TokenPassed)
        self._numberers = book.ears(trace.Numbered)
        self._hearers = book.ears(trace.Heard)
        self._round_senders = book.ears(trace.RoundSent)
        self._round_hearers = book.ears(trace.RoundHeard)
        self._voters = book.ears(trace.Voted)
        self._judges = book.ears(trace.Verdict)

    def begin(self, who: trace.Process) -> None:
        """A new life."""
        self.who = who
        self._enter(*NO_RING)

    def named(self, ring: RingId) -> trace.Ring:
        """The trace's name of a ring that this node installs."""
        if self._ring.seq != ring.seq or self._ring.rep != ring.rep:
            self._enter(ring.rep, ring.seq)
        return self._ring

    def _enter(self, rep: NodeId, seq: int) -> None:
        self._unheard.clear()
        self._ring = trace.Ring(rep, RingSeq(seq), self._epochs.get(rep, 0))

    # -- datagrams --------------------------------------------------------------------------------

    def passed(self, datagram: bytes) -> None:
        """The node sends to its neighbour: a token or a commit token."""
        if not self._tokeners:
            return
        if datagram[_KIND] == srp.TYPE_TOKEN:
            seq, token_seq, aru, rep, ring_seq, rtr = _TOKEN_FACTS.unpack_from(datagram)
            ring = self._ring
            if ring.seq != ring_seq or ring.rep != rep:
                self._enter(rep, ring_seq)
            if self._unheard:
                self._hear()
            now, who = self._scheduler.now, self.who
            fact = _new(
                trace.TokenPassed,
                (now, who, self._ring, token_seq, seq, aru, rtr, datagram),
            )
            for listener in self._tokeners:
                listener(fact)
        elif datagram[_KIND] == srp.TYPE_COMMIT:
            self.named(RingId(*_COMMIT_FACTS.unpack_from(datagram)))

    def sent(self, datagrams: list[bytes]) -> None:
        """The node sends to all."""
        if not self._numberers or datagrams[0][_KIND] != srp.TYPE_MCAST:
            return
        now, who = self._scheduler.now, self.who
        for datagram in datagrams:
            seq, rep, ring_seq = _MCAST_FACTS.unpack_from(datagram)
            ring = self._ring
            if ring.seq != ring_seq or ring.rep != rep:
                self._enter(rep, ring_seq)
            fact = _new(trace.Numbered, (now, who, self._ring, seq, datagram))
            for listener in self._numberers:
                listener(fact)

    def read(self, datagram: bytes) -> None:
        """The node reads a datagram; messages of the ring that it speaks on count."""
        if datagram[_KIND : _KIND + 1] == _MCAST and self._hearers:
            self._unheard.append(datagram)
            if len(self._unheard) >= UNHEARD_MAX:
                self._hear()

    def _hear(self) -> None:
        """Tell what was read since the last time."""
        ring = self._ring
        unpack = _MCAST_FACTS.unpack_from
        seqs = []
        for datagram in self._unheard:
            if len(datagram) >= srp.MCAST_HEADER_BYTES:
                seq, rep, ring_seq = unpack(datagram)
                if ring_seq == ring.seq and rep == ring.rep:
                    seqs.append(seq)
        self._unheard.clear()
        if seqs:
            fact = trace.Heard(self.who, ring, seqs)
            for listener in self._hearers:
                listener(fact)

    # -- messages ---------------------------------------------------------------------------------

    def submitted(self, group: bytes, payload: Buffer, current: trace.Ring | None) -> None:
        """The ring accepted a message of this node, which has installed `current`."""
        if group in _ROUND_GROUPS and self._round_senders and current is not None:
            if _round_of(group, payload) == (current.rep, current.seq):
                fact = trace.RoundSent(self._scheduler.now, self.who, current)
                for listener in self._round_senders:
                    listener(fact)

    def delivered(
        self, origin: NodeId, group: bytes, payload: Buffer, current: trace.Ring | None
    ) -> None:
        """The ring delivered a message to this node, which has installed `current`."""
        if group == GROUP_SERVICES:
            if self._voters and ID.unpack_from(payload)[0] == votequorum.NODEINFO:
                self._vote(origin, payload)
        elif group in _ROUND_GROUPS and self._round_hearers and current is not None:
            if _round_of(group, payload) == (current.rep, current.seq):
                fact = trace.RoundHeard(self._scheduler.now, self.who, current, origin)
                for listener in self._round_hearers:
                    listener(fact)

    def judged(self, group: object) -> None:
        """The services have agreed; `group` says what it makes of the votes, if it counts any."""
        if not self._judges or not isinstance(group, Engine):
            return
        status = group.status()
        votes = status.get("votes")
        if isinstance(votes, dict):
            total, expected, quorum = votes["total"], votes["expected"], votes["quorum"]
            now, quorate = self._scheduler.now, group.quorate
            fact = trace.Verdict(now, self.who, quorate, total, expected, quorum)
            for listener in self._judges:
                listener(fact)

    def _vote(self, origin: NodeId, payload: Buffer) -> None:
        info = votequorum.decode_nodeinfo(memoryview(payload))
        if info.node_id != origin:
            return
        flags = votequorum.NodeFlag
        fact = trace.Voted(
            self._scheduler.now,
            self.who,
            origin,
            info.votes,
            info.expected_votes,
            bool(info.flags & flags.QUORATE),
            bool(info.flags & flags.WAIT_FOR_ALL_STATUS),
        )
        for listener in self._voters:
            listener(fact)


def _round_of(group: bytes, payload: Buffer) -> tuple[int, int] | None:
    """The ring whose synchronisation the message belongs to; None when it says nothing of it."""
    layout = _HELLO_FACTS if group == HELLO else _SYNC_FACTS
    if len(payload) < layout.size:
        return None
    rep, seq = layout.unpack_from(payload)
    return rep, seq
