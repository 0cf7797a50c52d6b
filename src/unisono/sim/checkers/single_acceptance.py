"""Single acceptance: a seal opens once for each life of a receiver, and never for the next life.

Counterpart: RFC 6479, IPsec anti-replay; knet's defragmentation window, which replays get past.
Keeps:       who was rolled back has forgotten what it accepted: it begins anew. What was sealed
             before a daemon started is not for it: its keys begin behind that. A sender that was
             rolled back without noticing it cannot know what it had sealed before.
"""

from hashlib import blake2b

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Accepted, Booted, Entrusted, Process, RolledBack, Sealed


class SingleAcceptance(Checker):
    """Fires on a frame that the ring is given twice from one seal, or oftener than it was sent."""

    name = "single acceptance"
    properties = (("replay", "no receiver accepts a frame twice, nor oftener than it was sent"),)

    def __init__(self) -> None:
        self._seals: dict[Process, set[bytes]] = {}
        self._made: dict[bytes, int] = {}
        self._born: dict[Process, int] = {}
        self._undone: set[NodeId] = set()
        self._sent: dict[tuple[NodeId, bytes], int] = {}
        self._taken: dict[tuple[Process, NodeId, bytes], int] = {}

    def on_booted(self, record: Booted) -> None:
        """Nothing older is for this life."""
        self._born[record.who] = record.time

    def on_sealed(self, fact: Sealed) -> None:
        """Remember when."""
        self._made[fact.key + fact.nonce] = fact.time

    def on_entrusted(self, fact: Entrusted) -> None:
        """One more that anybody may accept."""
        frame = (fact.who.node, _digest(fact.frame))
        self._sent[frame] = self._sent.get(frame, 0) + 1

    def on_rolled_back(self, fact: RolledBack) -> None:
        """It does not know what it has accepted."""
        if not fact.noticed:
            self._undone.add(fact.who.node)
        self._seals.pop(fact.who, None)
        for key in [key for key in self._taken if key[0] == fact.who]:
            del self._taken[key]

    def on_accepted(self, fact: Accepted) -> None:
        """Look whether it was there before."""
        if fact.seal:
            seals = self._seals.setdefault(fact.who, set())
            if fact.seal in seals:
                raise self.fail(
                    fact.time, f"{fact.who} accepts a frame of {fact.origin} for the second time"
                )
            seals.add(fact.seal)
            made = self._made.get(fact.seal, fact.time)
            if made < self._born.get(fact.who, 0) and fact.origin not in self._undone:
                raise self.fail(
                    fact.time,
                    f"{fact.who} accepts a frame of {fact.origin} that was sealed at {made} ns,"
                    " before it lived",
                )
        digest = _digest(fact.frame)
        key = (fact.who, fact.origin, digest)
        taken = self._taken[key] = self._taken.get(key, 0) + 1
        sent = self._sent.get((fact.origin, digest), 0)
        if taken > sent:
            raise self.fail(
                fact.time,
                f"{fact.who} accepts {len(fact.frame)} bytes of {fact.origin} {taken} times,"
                f" sent {sent} times",
            )


def _digest(frame: bytes) -> bytes:
    return blake2b(frame, digest_size=16).digest()
