"""Bounded memory (P22): what is kept for others has a bound, and after the storm it is given back.

Counterpart: corosync exec/totemsrp.c (QUEUE_RTR_ITEMS_SIZE_MAX, RETRANSMIT_ENTRIES_MAX).
Keeps:       a message must be kept while its number is above the token's aru; an idle process
             holds what its cluster's size explains, not what it has been through.
"""

from typing import Final

from unisono.base.ids import seq_distance
from unisono.base.limits import RTR_ENTRIES_MAX, STORED_MESSAGES_MAX
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import TokenPassed, Weighed

OBJECTS_BASE: Final = {
    "ring": 250,
    "services": 1_000,
    "clients' requests": 10,
    "secure transport": 100,
}
"""Objects that an idle part needs at most in a cluster of nobody: about twice what it needs."""
OBJECTS_PER_NODE: Final = 20
SECURE: Final = "secure transport"
SECURE_OBJECTS_PER_NODE: Final = 400
"""Sessions, keys, links with their pings on the way, and frames of which a piece is missing."""
SECURE_PAYLOAD: Final = 70_000
"""A large frame of each peer of which a piece is missing: it may still come."""
OBJECTS_PER_GROUP: Final = 1_500
OBJECTS_PER_CLIENT: Final = 280
PAYLOAD_BASE: Final = 4_096
PAYLOAD_PER_NODE: Final = 512
PAYLOAD_PER_GROUP: Final = 52_000
PAYLOAD_PER_CLIENT: Final = 13_000
"""Each group knows the headers of 256 deliveries, each local client those of 64 messages: in
neither is more kept than DeliverHeaders.KNOWN_MAX and McastHeaders.KNOWN_MAX say."""


class BoundedMemory(Checker):
    """Fires on a token that asks for too much to be kept, and on an idle process that grew."""

    name = "bounded memory"
    properties = (
        ("P22", "stored messages and requests are bounded; memory is back to base when idle"),
    )

    def on_token_passed(self, fact: TokenPassed) -> None:
        """The token tells what must be kept."""
        if 0 <= fact.seq - fact.aru <= STORED_MESSAGES_MAX and fact.rtr <= RTR_ENTRIES_MAX:
            return
        if fact.rtr > RTR_ENTRIES_MAX:
            raise self.fail(fact.time, f"{fact.who} asks for {fact.rtr} messages at once")
        if seq_distance(fact.aru, fact.seq) > STORED_MESSAGES_MAX:
            raise self.fail(
                fact.time,
                f"{fact.who} passed token {fact.token_seq} of {fact.ring} on with aru {fact.aru}"
                f" and seq {fact.seq}: nobody can keep so many",
            )

    def on_weighed(self, fact: Weighed) -> None:
        """Compare with what a cluster of that size needs."""
        objects = OBJECTS_BASE[fact.part] + OBJECTS_PER_NODE * fact.nodes
        payload = PAYLOAD_BASE + PAYLOAD_PER_NODE * fact.nodes
        if fact.part == SECURE:
            objects += SECURE_OBJECTS_PER_NODE * fact.nodes
            payload += SECURE_PAYLOAD * fact.nodes
        elif fact.part != "ring":
            objects += OBJECTS_PER_GROUP * fact.groups + OBJECTS_PER_CLIENT * fact.clients
            payload += PAYLOAD_PER_GROUP * fact.groups + PAYLOAD_PER_CLIENT * fact.clients
        if fact.objects > objects or fact.payload > payload:
            raise self.fail(
                fact.time,
                f"{fact.who} is idle, but its {fact.part} hold {fact.objects} objects (bound"
                f" {objects}) and {fact.payload} bytes (bound {payload})",
            )
