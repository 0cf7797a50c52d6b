"""Identifiers of nodes, rings, messages and processes, and the one way to compare sequences.

Counterpart: corosync exec/totemsrp.c, `sq_lt_compare` (include/corosync/sq.h).
Keeps:       wrap-around arithmetic lives here and nowhere else.
"""

from typing import Final, NamedTuple, NewType

NodeId = NewType("NodeId", int)
"""32-bit node id; 0 is never a node (header nodeid 0 marks a leave message)."""
Seq = NewType("Seq", int)
"""32-bit message or token sequence number; wraps, so compare with `seq_less` only."""
RingSeq = NewType("RingSeq", int)
"""64-bit ring sequence: +4 per ring formed, +1 per start of a daemon."""
Pid = NewType("Pid", int)
Nanos = NewType("Nanos", int)
"""Nanoseconds of a monotonic clock, or a duration in nanoseconds."""
ClientId = NewType("ClientId", int)
"""Number of a local IPC connection; never reused while the daemon runs."""

NO_NODE: Final = NodeId(0)
SEQ_MASK: Final = 0xFFFF_FFFF
SEQ_BEFORE_FIRST: Final = Seq(0xFFFF_FFFF)
"""Initial `aru` of a new ring's token and initial `my_token_seq`: one before the first, which is 0
(corosync exec/totemsrp.c, SEQNO_START_MSG and SEQNO_START_TOKEN)."""
_WRAP_ZONE: Final = 0x8000_0000
_WRAP_SHIFT: Final = 0x1_0000
MS: Final = 1_000_000
"""Nanoseconds in a millisecond."""
SECOND: Final = 1_000 * MS


class RingId(NamedTuple):
    """Identity of a regular configuration: its representative and its ring sequence."""

    rep: NodeId
    seq: RingSeq

    def __str__(self) -> str:
        return f"{self.rep}.{self.seq:x}"


NO_RING: Final = RingId(NO_NODE, RingSeq(0))


def seq_less(a: int, b: int) -> bool:
    """Whether sequence `a` comes before `b`, with Corosync's wrap rule (include/corosync/sq.h)."""
    if a > _WRAP_ZONE or b > _WRAP_ZONE:
        return (a - _WRAP_SHIFT) & SEQ_MASK < (b - _WRAP_SHIFT) & SEQ_MASK
    return a < b


def seq_less_equal(a: int, b: int) -> bool:
    """Whether sequence `a` is `b` or comes before it."""
    return a == b or seq_less(a, b)


def seq_add(a: int, count: int) -> int:
    """The sequence `count` steps after `a` (before it, when `count` is negative)."""
    return (a + count) & SEQ_MASK


def seq_min(a: int, b: int) -> int:
    """The one that comes first."""
    return a if seq_less(a, b) else b


def seq_distance(start: int, end: int) -> int:
    """Steps from `start` up to `end`, 0 to 2**32 - 1."""
    return (end - start) & SEQ_MASK
