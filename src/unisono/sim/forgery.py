"""Forgery: well-formed ring datagrams that no node sent.

Speaks:      `forge(kind, fields) -> bytes`.
Keeps:       only what an unauthenticated network lets anybody send.
"""

from collections.abc import Mapping

from unisono.base.ids import NodeId, RingId, RingSeq
from unisono.wire.ring import srp


def forge(kind: str, fields: Mapping[str, int]) -> bytes:
    """A datagram of `kind` (join, merge, cancel, token); absent fields are 0. Raises ValueError."""
    sender = NodeId(fields["sender"])
    ring = RingId(NodeId(fields.get("rep", 0)), RingSeq(fields.get("ring_seq", 0)))
    match kind:
        case "join":
            return srp.encode_join(srp.Join(sender, [sender], [], ring.seq))
        case "merge":
            return srp.encode_merge_detect(srp.MergeDetect(sender, ring))
        case "cancel":
            return srp.encode_hold_cancel(srp.HoldCancel(ring, sender))
        case "token":
            seq = fields.get("seq", 0)
            token_seq = fields.get("token_seq", 0)
            token = srp.Token(sender, ring, seq, token_seq, seq, NodeId(0), 0, 0, 0, [])
            return srp.encode_token(token)
        case _:
            raise ValueError(kind)
