"""Forgery: ring datagrams that no node sent, or not so.

Speaks:      `forge(kind, fields) -> bytes`; `alter(datagram, fields) -> bytes`.
Counterpart: the packed structs of corosync exec/totemsrp.c, whose fields are altered by name.
Keeps:       only what an unauthenticated network lets anybody send.
"""

from collections.abc import Mapping
from struct import Struct, unpack_from
from typing import Final

from unisono.base.ids import NodeId, RingId, RingSeq
from unisono.wire.ring import srp

_HEADER_FIELDS: Final = {
    "magic": (0, "<H"),
    "version": (2, "<B"),
    "type": (3, "<B"),
    "encapsulated": (4, "<B"),
    "sender": (5, "<I"),
    "target": (9, "<I"),
}
_FIELDS: Final[dict[int, dict[str, tuple[int, str]]]] = {
    srp.TYPE_TOKEN: {
        "seq": (13, "<I"),
        "token_seq": (17, "<I"),
        "aru": (21, "<I"),
        "aru_addr": (25, "<I"),
        "rep": (29, "<I"),
        "ring_seq": (33, "<Q"),
        "backlog": (41, "<I"),
        "fcc": (45, "<I"),
        "retrans_flg": (49, "<I"),
        "rtr_entries": (53, "<I"),
    },
    srp.TYPE_MCAST: {
        "system_from": (13, "<I"),
        "seq": (17, "<I"),
        "rep": (25, "<I"),
        "ring_seq": (29, "<Q"),
        "guarantee": (41, "<I"),
        "fragmented": (49, "<B"),
        "continuation": (50, "<B"),
        "msg_count": (51, "<H"),
        "msg_len": (53, "<H"),
    },
    srp.TYPE_MERGE_DETECT: {"system_from": (13, "<I"), "rep": (17, "<I"), "ring_seq": (21, "<Q")},
    srp.TYPE_JOIN: {
        "system_from": (13, "<I"),
        "proc_entries": (17, "<I"),
        "failed_entries": (21, "<I"),
        "ring_seq": (25, "<Q"),
    },
    srp.TYPE_COMMIT: {
        "token_seq": (13, "<I"),
        "rep": (17, "<I"),
        "ring_seq": (21, "<Q"),
        "memb_index": (33, "<I"),
        "addr_entries": (37, "<I"),
    },
    srp.TYPE_HOLD_CANCEL: {"rep": (13, "<I"), "ring_seq": (17, "<Q")},
}


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


def alter(datagram: bytes, fields: Mapping[str, str]) -> bytes:
    """`datagram` with other contents of the named fields: a number, or +N or -N to what was there.

    `size` cuts it, or lengthens it with zeros, after all else. KeyError: an unknown field.
    """
    altered = bytearray(datagram)
    names = _HEADER_FIELDS | _FIELDS.get(datagram[3], {})
    for name, value in fields.items():
        if name != "size":
            offset, layout = names[name]
            before = unpack_from(layout, altered, offset)[0] if value[0] in "+-" else 0
            Struct(layout).pack_into(altered, offset, before + int(value, 0))
    if "size" in fields:
        size = int(fields["size"], 0)
        altered = altered[:size].ljust(size, b"\0")
    return bytes(altered)
