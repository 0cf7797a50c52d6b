"""Counterfeits: lies that look like the ring's own datagrams, drawn from one number each.

Speaks:      `counterfeit(kind, sender, ring, members, number)`; `tampered(datagram, ...)`.
Keeps:       the header is always good, so that the lie is read; counts and lists need not be.
"""

from collections.abc import Callable, Sequence
from typing import Final

from unisono.base.ids import NodeId, RingId
from unisono.wire.ring import srp

U32: Final = 0xFFFF_FFFF


def tampered(datagram: bytes, word: int, value: int) -> bytes:
    """`datagram` with `value` in place of the `word`th four bytes after the header, as they fit."""
    fields = (len(datagram) - srp.HEADER_LAYOUT.size) // 4
    if fields <= 0:
        return datagram
    begin = srp.HEADER_LAYOUT.size + 4 * (word % fields)
    return datagram[:begin] + (value & U32).to_bytes(4, "little") + datagram[begin + 4 :]


def counterfeit(
    kind: str, sender: NodeId, ring: RingId, members: Sequence[NodeId], number: int
) -> bytes:
    """A datagram of `kind` (KINDS) about `ring`; the bits of `number` choose all the rest."""
    return _MAKERS[kind](sender, ring, members, number & U32)


def _chosen(members: Sequence[NodeId], number: int) -> list[NodeId]:
    return [node for place, node in enumerate(members) if number >> (place % 32) & 1]


def _join(sender: NodeId, ring: RingId, members: Sequence[NodeId], number: int) -> bytes:
    proc = sorted({*_chosen(members, number), sender})
    failed = _chosen(members, number >> 8)
    return srp.encode_join(srp.Join(sender, proc, failed, ring.seq))


def _leave(sender: NodeId, ring: RingId, members: Sequence[NodeId], number: int) -> bytes:
    proc = [node for node in members if node != sender]
    return srp.encode_join(srp.Join(sender, proc, [sender], ring.seq, leave=True))


def _merge(sender: NodeId, ring: RingId, members: Sequence[NodeId], number: int) -> bytes:
    return srp.encode_merge_detect(srp.MergeDetect(sender, ring, sender))


def _cancel(sender: NodeId, ring: RingId, members: Sequence[NodeId], number: int) -> bytes:
    return srp.encode_hold_cancel(srp.HoldCancel(ring, sender))


def _token(sender: NodeId, ring: RingId, members: Sequence[NodeId], number: int) -> bytes:
    seq = number >> 4 & 0x7FFF
    aru = seq if number & 1 else seq // 2
    requests = [srp.Rtr(ring, seq + step) for step in range(number & 0xF)]
    token_seq = U32 >> 1 if number & 2 else number >> 8 & 0xFFFF
    return srp.encode_token(
        srp.Token(sender, ring, seq, token_seq, aru, sender, number & U32, number >> 16,
                  number >> 2 & 1, requests)
    )  # fmt: skip


def _commit(sender: NodeId, ring: RingId, members: Sequence[NodeId], number: int) -> bytes:
    addr = sorted({*_chosen(members, number), sender})
    entries = [srp.CommitEntry(ring, number >> 8 & 0xFF, number >> 4 & 0xFF, 0) for _ in addr]
    return srp.encode_commit(
        srp.CommitToken(sender, number >> 20, ring, 0, number >> 16 & 7, addr, entries)
    )


def _mcast(sender: NodeId, ring: RingId, members: Sequence[NodeId], number: int) -> bytes:
    header = srp.encode_mcast_header(
        origin=sender,
        system_from=sender,
        seq=number & 0x3FFF,
        this_seqno=number >> 8,
        ring=ring,
        guarantee=number >> 3 & 1,
        encapsulated=bool(number >> 4 & 1),
    )
    return header + number.to_bytes(4, "little") * (number >> 20 & 0xFF)


_MAKERS: Final[dict[str, Callable[[NodeId, RingId, Sequence[NodeId], int], bytes]]] = {
    "join": _join,
    "leave": _leave,
    "merge": _merge,
    "cancel": _cancel,
    "token": _token,
    "commit": _commit,
    "mcast": _mcast,
}
KINDS: Final = tuple(_MAKERS)
