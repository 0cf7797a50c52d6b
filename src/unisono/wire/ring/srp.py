"""The six messages of the Totem single ring protocol.

Speaks:      orf_token, mcast, memb_merge_detect, memb_join, memb_commit_token, token_hold_cancel.
Counterpart: corosync exec/totemsrp.c, exec/totem.h (struct totem_message_header).
Keeps:       packed, little-endian; a big-endian sender is refused (mixed rings never worked).
"""

from collections.abc import Callable
from struct import Struct
from typing import Final, TypeAlias

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.base.group import Buffer
from unisono.base.ids import NO_RING, NodeId, RingId, RingSeq
from unisono.base.limits import NODES_MAX, RTR_ENTRIES_MAX, TOKEN_BYTES_MAX

MAGIC: Final = 0xC070
MAGIC_SWAPPED: Final = 0x70C0
VERSION: Final = 3

TYPE_TOKEN: Final = 0
TYPE_MCAST: Final = 1
TYPE_MERGE_DETECT: Final = 2
TYPE_JOIN: Final = 3
TYPE_COMMIT: Final = 4
TYPE_HOLD_CANCEL: Final = 5

ENCAPSULATED: Final = 1
PLAIN: Final = 2

_HEADER_FORMAT: Final = "<HBBBII"
HEADER_LAYOUT: Final = Struct(_HEADER_FORMAT)
assert HEADER_LAYOUT.size == 13
TOKEN_LAYOUT: Final = Struct(_HEADER_FORMAT + "IIIIIQIIIi")
assert TOKEN_LAYOUT.size == 57
RTR_LAYOUT: Final = Struct("<IQI")
assert RTR_LAYOUT.size == 16
MCAST_LAYOUT: Final = Struct(_HEADER_FORMAT + "IIIIQII")
assert MCAST_LAYOUT.size == 45
MCAST_HEADER_BYTES: Final = MCAST_LAYOUT.size
JOIN_LAYOUT: Final = Struct(_HEADER_FORMAT + "IIIQ")
assert JOIN_LAYOUT.size == 33
MERGE_DETECT_LAYOUT: Final = Struct(_HEADER_FORMAT + "IIQ")
assert MERGE_DETECT_LAYOUT.size == 29
HOLD_CANCEL_LAYOUT: Final = Struct(_HEADER_FORMAT + "IQ")
assert HOLD_CANCEL_LAYOUT.size == 25
COMMIT_LAYOUT: Final = Struct(_HEADER_FORMAT + "IIQIII")
assert COMMIT_LAYOUT.size == 41
COMMIT_ENTRY_LAYOUT: Final = Struct("<IQIII")
assert COMMIT_ENTRY_LAYOUT.size == 24


@event
class Rtr:
    """One retransmit request: message `seq` of `ring`."""

    ring: RingId
    seq: int


@event
class Token:
    """The regular token (orf_token). Mutable: the holder works on it in place."""

    sender: NodeId
    ring: RingId
    seq: int
    token_seq: int
    aru: int
    aru_addr: NodeId
    backlog: int
    fcc: int
    retrans_flg: int
    rtr: list[Rtr]
    target: int = 0


@event
class Mcast:
    """One multicast datagram. `datagram` is the whole of it, its body begins at byte 45.

    `complete` is for the node that sent it: the (group, payload) of the messages that end in it.
    """

    origin: NodeId
    system_from: NodeId
    seq: int
    this_seqno: int
    ring: RingId
    guarantee: int
    encapsulated: bool
    datagram: Buffer
    complete: list[tuple[bytes, Buffer]] | None = None
    node_id: int = 0
    target: int = 0


@event
class MergeDetect:
    """The representative of `ring` says that it exists."""

    system_from: NodeId
    ring: RingId
    sender: NodeId = NodeId(0)
    target: int = 0


@event
class Join:
    """A membership proposal; `leave` (header nodeid 0) announces that `system_from` goes."""

    system_from: NodeId
    proc: list[NodeId]
    failed: list[NodeId]
    ring_seq: RingSeq
    leave: bool = False
    target: int = 0


@event
class CommitEntry:
    """What one member says of the ring it comes from; all zero until the member has filled it."""

    ring: RingId
    aru: int
    high_delivered: int
    received_flg: int


@event
class CommitToken:
    """The token that forms `ring`; `addr` ascends and gives the token's way round."""

    sender: NodeId
    token_seq: int
    ring: RingId
    retrans_flg: int
    memb_index: int
    addr: list[NodeId]
    entries: list[CommitEntry]
    target: int = 0


@event
class HoldCancel:
    """A member has something to send: the token must not be held."""

    ring: RingId
    sender: NodeId = NodeId(0)
    target: int = 0


RingMessage: TypeAlias = Token | Mcast | MergeDetect | Join | CommitToken | HoldCancel


def decode(datagram: Buffer, ring: RingId = NO_RING) -> RingMessage:
    """Decode one UDP payload; longer than needed is tolerated, as Corosync does.

    `ring` is the one that is probably meant: a multicast on it carries that very object.
    Raises WireError for anything that is not a well-formed message of protocol version 3.
    """
    if len(datagram) < HEADER_LAYOUT.size:
        raise WireError(f"datagram of {len(datagram)} bytes has no header")
    magic, version, kind, encapsulated, _node, _target = HEADER_LAYOUT.unpack_from(datagram)
    if magic != MAGIC:
        what = "a big-endian sender" if magic == MAGIC_SWAPPED else f"magic {magic:#06x}"
        raise WireError(f"{what} is not supported")
    if version != VERSION:
        raise WireError(f"header version {version} is not {VERSION}")
    if kind == TYPE_MCAST:
        return _decode_mcast(datagram, encapsulated, ring)
    if kind == TYPE_TOKEN:
        return _decode_token(datagram)
    try:
        decoder = _DECODERS[kind]
    except KeyError:
        raise WireError(f"message type {kind} is unknown") from None
    return decoder(datagram)


def _need(datagram: Buffer, size: int, what: str) -> None:
    if len(datagram) < size:
        raise WireError(f"{what} of {len(datagram)} bytes, at least {size} needed")


def _decode_mcast(datagram: Buffer, encapsulated: int, ring: RingId) -> Mcast:
    if len(datagram) < MCAST_HEADER_BYTES:
        raise WireError(f"mcast of {len(datagram)} bytes has no header")
    if encapsulated != PLAIN and encapsulated != ENCAPSULATED:
        raise WireError(f"mcast with encapsulation {encapsulated}")
    (
        _magic,
        _version,
        _kind,
        _encapsulated,
        origin,
        target,
        system_from,
        seq,
        this_seqno,
        rep,
        ring_seq,
        node_id,
        guarantee,
    ) = MCAST_LAYOUT.unpack_from(datagram)
    if ring_seq != ring.seq or rep != ring.rep:
        ring = RingId(rep, ring_seq)
    return Mcast(
        origin,
        system_from,
        seq,
        this_seqno,
        ring,
        guarantee,
        encapsulated == ENCAPSULATED,
        datagram,
        None,
        node_id,
        target,
    )


def _decode_token(datagram: Buffer) -> Token:
    _need(datagram, TOKEN_LAYOUT.size, "token")
    if len(datagram) > TOKEN_BYTES_MAX:
        raise WireError(f"token of {len(datagram)} bytes, at most {TOKEN_BYTES_MAX} allowed")
    (
        *_head,
        sender,
        target,
        seq,
        token_seq,
        aru,
        aru_addr,
        rep,
        ring_seq,
        backlog,
        fcc,
        retrans_flg,
        entries,
    ) = TOKEN_LAYOUT.unpack_from(datagram)
    if not 0 <= entries <= RTR_ENTRIES_MAX:
        raise WireError(f"token with {entries} retransmit requests")
    end = TOKEN_LAYOUT.size + entries * RTR_LAYOUT.size
    _need(datagram, end, "token with retransmit requests")
    rtr = [
        Rtr(RingId(r, s), q)
        for r, s, q in RTR_LAYOUT.iter_unpack(memoryview(datagram)[TOKEN_LAYOUT.size : end])
    ]
    return Token(
        sender,
        RingId(rep, ring_seq),
        seq,
        token_seq,
        aru,
        aru_addr,
        backlog,
        fcc,
        retrans_flg,
        rtr,
        target,
    )


def _decode_merge_detect(datagram: Buffer) -> MergeDetect:
    _need(datagram, MERGE_DETECT_LAYOUT.size, "merge detect")
    *_head, sender, target, system_from, rep, seq = MERGE_DETECT_LAYOUT.unpack_from(datagram)
    return MergeDetect(system_from, RingId(rep, seq), sender, target)


def _decode_hold_cancel(datagram: Buffer) -> HoldCancel:
    _need(datagram, HOLD_CANCEL_LAYOUT.size, "hold cancel")
    *_head, sender, target, rep, seq = HOLD_CANCEL_LAYOUT.unpack_from(datagram)
    return HoldCancel(RingId(rep, seq), sender, target)


def _decode_join(datagram: Buffer) -> Join:
    _need(datagram, JOIN_LAYOUT.size, "join")
    *_head, sender, target, system_from, procs, faileds, ring_seq = JOIN_LAYOUT.unpack_from(
        datagram
    )
    if procs > NODES_MAX or faileds > NODES_MAX:
        raise WireError(f"join with {procs} and {faileds} nodes, at most {NODES_MAX} allowed")
    _need(datagram, JOIN_LAYOUT.size + 4 * (procs + faileds), "join with its lists")
    nodes = Struct(f"<{procs + faileds}I").unpack_from(datagram, JOIN_LAYOUT.size)
    return Join(
        system_from, list(nodes[:procs]), list(nodes[procs:]), ring_seq, sender == 0, target
    )


def _decode_commit(datagram: Buffer) -> CommitToken:
    _need(datagram, COMMIT_LAYOUT.size, "commit token")
    *_head, sender, target, token_seq, rep, ring_seq, retrans, index, count = (
        COMMIT_LAYOUT.unpack_from(datagram)
    )
    if not 0 < count <= NODES_MAX or index > count:
        raise WireError(f"commit token with {count} members and index {index}")
    start = COMMIT_LAYOUT.size + 4 * count
    end = start + COMMIT_ENTRY_LAYOUT.size * count
    _need(datagram, end, "commit token with its lists")
    addr = list(Struct(f"<{count}I").unpack_from(datagram, COMMIT_LAYOUT.size))
    entries = [
        CommitEntry(RingId(r, s), aru, high, flag)
        for r, s, aru, high, flag in COMMIT_ENTRY_LAYOUT.iter_unpack(
            memoryview(datagram)[start:end]
        )
    ]
    return CommitToken(
        sender, token_seq, RingId(rep, ring_seq), retrans, index, addr, entries, target
    )


_DECODERS: Final[dict[int, Callable[[Buffer], RingMessage]]] = {
    TYPE_MERGE_DETECT: _decode_merge_detect,
    TYPE_JOIN: _decode_join,
    TYPE_COMMIT: _decode_commit,
    TYPE_HOLD_CANCEL: _decode_hold_cancel,
}


def encode_token(token: Token) -> bytes:
    """The token's datagram: 57 bytes and 16 per retransmit request."""
    ring = token.ring
    head = TOKEN_LAYOUT.pack(
        MAGIC,
        VERSION,
        TYPE_TOKEN,
        0,
        token.sender,
        token.target,
        token.seq,
        token.token_seq,
        token.aru,
        token.aru_addr,
        ring.rep,
        ring.seq,
        token.backlog,
        token.fcc,
        token.retrans_flg,
        len(token.rtr),
    )
    if not token.rtr:
        return head
    return head + b"".join(RTR_LAYOUT.pack(r.ring.rep, r.ring.seq, r.seq) for r in token.rtr)


def encode_mcast_header(
    *,
    origin: int,
    system_from: int,
    seq: int,
    this_seqno: int,
    ring: RingId,
    guarantee: int,
    encapsulated: bool,
    node_id: int = 0,
    target: int = 0,
) -> bytes:
    """The 45 bytes before an mcast's body."""
    return MCAST_LAYOUT.pack(
        MAGIC,
        VERSION,
        TYPE_MCAST,
        ENCAPSULATED if encapsulated else PLAIN,
        origin,
        target,
        system_from,
        seq,
        this_seqno,
        ring.rep,
        ring.seq,
        node_id,
        guarantee,
    )


def encode_merge_detect(message: MergeDetect) -> bytes:
    """29 bytes; header nodeid is the message's `sender`."""
    return MERGE_DETECT_LAYOUT.pack(
        MAGIC,
        VERSION,
        TYPE_MERGE_DETECT,
        0,
        message.sender,
        message.target,
        message.system_from,
        *message.ring,
    )


def encode_hold_cancel(message: HoldCancel) -> bytes:
    """25 bytes."""
    return HOLD_CANCEL_LAYOUT.pack(
        MAGIC, VERSION, TYPE_HOLD_CANCEL, 0, message.sender, message.target, *message.ring
    )


def encode_join(join: Join) -> bytes:
    """33 bytes and 4 per listed node; a leave carries 0 as the header's node id."""
    head = JOIN_LAYOUT.pack(
        MAGIC,
        VERSION,
        TYPE_JOIN,
        0,
        0 if join.leave else join.system_from,
        join.target,
        join.system_from,
        len(join.proc),
        len(join.failed),
        join.ring_seq,
    )
    nodes = [*join.proc, *join.failed]
    return head + Struct(f"<{len(nodes)}I").pack(*nodes)


def encode_commit(commit: CommitToken) -> bytes:
    """41 bytes and 28 per member."""
    count = len(commit.addr)
    head = COMMIT_LAYOUT.pack(
        MAGIC,
        VERSION,
        TYPE_COMMIT,
        0,
        commit.sender,
        commit.target,
        commit.token_seq,
        *commit.ring,
        commit.retrans_flg,
        commit.memb_index,
        count,
    )
    entries = b"".join(
        COMMIT_ENTRY_LAYOUT.pack(e.ring.rep, e.ring.seq, e.aru, e.high_delivered, e.received_flg)
        for e in commit.entries
    )
    return head + Struct(f"<{count}I").pack(*commit.addr) + entries
