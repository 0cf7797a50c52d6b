"""Authenticity: the ring reads what the ring of the named node has sent, and only where it sent it.

Counterpart: DESIGN D4: nothing unauthenticated reaches a decoder of Totem.
Keeps:       frames are compared by content; who sent one may be dead when it arrives.
"""

from hashlib import blake2b

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Accepted, Entrusted

EVERYBODY = NodeId(0)


class Authenticity(Checker):
    """Fires on a frame that its sender's ring did not send, or sent to somebody else."""

    name = "authenticity"
    properties = (
        ("authenticity", "every frame was sent by the ring of its sender, to who has it"),
    )

    def __init__(self) -> None:
        self._sent: dict[tuple[NodeId, bytes], set[NodeId]] = {}

    def on_entrusted(self, fact: Entrusted) -> None:
        """Remember to whom."""
        self._sent.setdefault((fact.who.node, _digest(fact.frame)), set()).add(fact.target)

    def on_accepted(self, fact: Accepted) -> None:
        """Look who sent it, and to whom."""
        targets = self._sent.get((fact.origin, _digest(fact.frame)))
        if targets is None:
            raise self.fail(
                fact.time,
                f"{fact.who} reads {len(fact.frame)} bytes that {fact.origin} never sent",
            )
        if EVERYBODY not in targets and fact.who.node not in targets:
            raise self.fail(
                fact.time,
                f"{fact.who} reads {len(fact.frame)} bytes that {fact.origin} sent to"
                f" {sorted(targets)} only",
            )


def _digest(frame: bytes) -> bytes:
    return blake2b(frame, digest_size=16).digest()
