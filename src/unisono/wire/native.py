"""The native stream: frames between our client library and our daemon, one group a connection.

Speaks:      frame header (8 bytes) and the kinds of frame below, protocol version 1.
Counterpart: none, this format is ours; its meaning equals CPG's (corosync include/corosync/cpg.h).
Keeps:       a decoded frame is as long as its header says; unknown kinds and flags are refused.
Never:       sockets, partial reads beyond `split_frames`, who is in a group.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from unisono.base.errors import CsError, UsageError, WireError
from unisono.base.event import event
from unisono.base.group import Buffer
from unisono.base.ids import NodeId, Pid, RingId, RingSeq
from unisono.base.limits import GROUP_NAME_BYTES_MAX, NATIVE_FRAME_BYTES_MAX, NODES_MAX

VERSION: Final = 1
JOIN_WANTS_RINGS: Final = 1
"""Flag of JOIN: RING frames please."""
SEND_SAFE: Final = 1
"""Flag of SEND: deliver once every member of the ring holds it."""
KEYRING_FORCE: Final = 1
"""Flag of KEYRING: also where a rule of caution forbids it."""


class Kind(IntEnum):
    """Kinds of frame: below 64 to the daemon, from 64 on to the client."""

    HELLO = 1
    JOIN = 2
    LEAVE = 3
    SEND = 4
    QUERY = 5
    KEYRING = 6
    WELCOME = 64
    REPLY = 65
    VIEW = 66
    RING = 67
    BLOCK = 68
    ANSWER = 69
    PROGRESS = 70


class What(IntEnum):
    """What a QUERY asks for."""

    STATUS = 1
    MEMBERS = 2
    DUMP = 3
    """Dump the flight recorder; of root or the daemon's own user."""
    RELOAD = 4
    """Read the configuration again, on the whole ring; of the same. The answer is JSON."""


class Verb(IntEnum):
    """What a KEYRING asks for."""

    SHOW = 0
    INSTALL = 1
    USE = 2
    REMOVE = 3


class Member(NamedTuple):
    """A process in a list of a VIEW; `reason` as in cpg_reason_t, 0 among the members."""

    node_id: NodeId
    pid: Pid
    reason: int = 0


@event
class Hello:
    """First frame of a client."""

    version: int


@event
class Join:
    """Join the group `name`, at most 128 bytes of any value."""

    name: bytes
    rings: bool


@event
class Leave:
    """Leave the group of this connection."""


@event
class Send:
    """Multicast every payload of the block to the group; no reply."""

    block: memoryview
    safe: bool


@event
class Query:
    """Ask; `argument` is the group's name for What.MEMBERS, else empty."""

    request: int
    what: int
    argument: bytes


@event
class Keyring:
    """Show or change the authkeys; PROGRESS frames may precede the ANSWER.

    `argument`: the new key for Verb.INSTALL, a fingerprint (4 bytes) for the others, or nothing.
    """

    request: int
    verb: int
    is_forced: bool
    timeout_ms: int
    argument: bytes

    def __repr__(self) -> str:
        return f"Keyring({self.request}, {self.verb}, {len(self.argument)} bytes)"


@event
class Welcome:
    """Answer to HELLO; `pid` is the client's as the kernel told the daemon."""

    version: int
    node_id: NodeId
    pid: Pid
    ring: RingId


@event
class Reply:
    """Answer to JOIN or LEAVE (`kind`); `error` is a cs_error_t."""

    kind: int
    error: int


@event
class View:
    """The group changed; the reasons stand in `joined` and `left`."""

    members: list[Member]
    joined: list[Member]
    left: list[Member]


@event
class Ring:
    """The ring below changed."""

    ring: RingId
    members: list[NodeId]


@event
class Block:
    """Messages of one sender in agreed order."""

    node_id: NodeId
    pid: Pid
    block: memoryview


@event
class Answer:
    """Answer to the QUERY with the same `request`; `error` is a cs_error_t."""

    request: int
    error: int
    body: memoryview


@event
class Progress:
    """How far the KEYRING with the same `request` has come, as JSON."""

    request: int
    body: memoryview


ToDaemon: TypeAlias = Hello | Join | Leave | Send | Query | Keyring
ToClient: TypeAlias = Welcome | Reply | View | Ring | Block | Answer | Progress

_HEADER: Final = Struct("<IBBH")
_LENGTH: Final = Struct("<I")
_HELLO: Final = Struct("<I")
_QUERY: Final = Struct("<II")
_KEYRING: Final = Struct("<IB3xI")
_WELCOME: Final = Struct("<IIIIQ")
_REPLY: Final = Struct("<Ii")
_VIEW: Final = Struct("<III")
_MEMBER: Final = Struct("<III")
_RING: Final = Struct("<IIQ")
_BLOCK: Final = Struct("<II")
_ANSWER: Final = Struct("<Ii")
_PROGRESS: Final = Struct("<I")
_BLOCK_FRAME: Final = Struct("<IBBHII")
HEADER_BYTES: Final = 8
assert _HEADER.size == HEADER_BYTES
assert _HELLO.size == _PROGRESS.size == 4
assert _KEYRING.size == 12
assert _WELCOME.size == 24
assert _VIEW.size == _MEMBER.size == 12
assert _RING.size == 16
assert _QUERY.size == _REPLY.size == _BLOCK.size == _ANSWER.size == 8
assert _BLOCK_FRAME.size == 16

_FLAGS: Final = {
    Kind.JOIN: JOIN_WANTS_RINGS,
    Kind.SEND: SEND_SAFE,
    Kind.KEYRING: KEYRING_FORCE,
}

_BLOCK_KIND: Final = int(Kind.BLOCK)
"""A plain int: comparing enums costs more than all the rest."""


# -- frames ----------------------------------------------------------------------------------------


def frame_header(kind: int, body_bytes: int, flags: int = 0) -> bytes:
    """The 8 bytes before a body of `body_bytes`; UsageError when the frame would be too long."""
    length = HEADER_BYTES + body_bytes
    if length > NATIVE_FRAME_BYTES_MAX:
        raise UsageError(f"frame of {length} bytes; use at most {NATIVE_FRAME_BYTES_MAX}")
    return _HEADER.pack(length, kind, flags, 0)


def frame_bytes(stream: Buffer, start: int = 0) -> int:
    """Length of the frame that begins at `start` (8 bytes or more); WireError out of bounds."""
    length: int = _LENGTH.unpack_from(stream, start)[0]
    if not HEADER_BYTES <= length <= NATIVE_FRAME_BYTES_MAX:
        raise WireError(f"frame of {length} bytes")
    return length


def split_frames(stream: memoryview) -> tuple[list[memoryview], int]:
    """Whole frames at the start of `stream` (views), and the bytes they take; the rest is partial.

    WireError as soon as a length is out of bounds, however little of the frame has come.
    """
    frames: list[memoryview] = []
    start, end = 0, len(stream)
    while start + HEADER_BYTES <= end:
        length = frame_bytes(stream, start)
        stop = start + length
        if stop > end:
            break
        frames.append(stream[start:stop])
        start = stop
    return frames, start


def decode_frame(frame: memoryview) -> tuple[int, int, memoryview]:
    """(kind, flags, body) of one whole frame; the kind may be unknown."""
    if len(frame) < HEADER_BYTES:
        raise WireError(f"frame of {len(frame)} bytes has no header")
    length, kind, flags, zero = _HEADER.unpack_from(frame)
    if length != len(frame) or length > NATIVE_FRAME_BYTES_MAX or zero:
        raise WireError(f"frame of {len(frame)} bytes: header says {length}, reserved {zero}")
    if flags & ~_FLAGS.get(kind, 0):
        raise WireError(f"frame of kind {kind} has unknown flags {flags:#x}")
    return kind, flags, frame[HEADER_BYTES:]


# -- client to daemon ------------------------------------------------------------------------------


def encode_hello(version: int = VERSION) -> bytes:
    """HELLO, 12 bytes."""
    return frame_header(Kind.HELLO, 4) + _HELLO.pack(version)


def encode_join(name: bytes, *, rings: bool = False) -> bytes:
    """JOIN; UsageError for a name above 128 bytes."""
    if len(name) > GROUP_NAME_BYTES_MAX:
        raise UsageError(f"group name of {len(name)} bytes; use at most {GROUP_NAME_BYTES_MAX}")
    return frame_header(Kind.JOIN, len(name), JOIN_WANTS_RINGS if rings else 0) + name


def encode_leave() -> bytes:
    """LEAVE, 8 bytes."""
    return frame_header(Kind.LEAVE, 0)


def send_header(block_bytes: int, *, safe: bool = False) -> bytes:
    """The 8 bytes before the block of a SEND."""
    return frame_header(Kind.SEND, block_bytes, SEND_SAFE if safe else 0)


def encode_send(block: Buffer, *, safe: bool = False) -> bytes:
    """SEND as one piece; to gather pieces use `send_header`."""
    return send_header(len(block), safe=safe) + block


def encode_query(request: int, what: int, argument: bytes = b"") -> bytes:
    """QUERY; `what` is a What, `request` any 32-bit number that the answer repeats."""
    body = _QUERY.pack(request, what) + argument
    return frame_header(Kind.QUERY, len(body)) + body


def encode_keyring(
    request: int, verb: int, argument: bytes = b"", *, force: bool = False, timeout_ms: int = 0
) -> bytes:
    """KEYRING; `verb` is a Verb."""
    body = _KEYRING.pack(request, verb, timeout_ms) + argument
    return frame_header(Kind.KEYRING, len(body), KEYRING_FORCE if force else 0) + body


def decode_to_daemon(frame: memoryview) -> ToDaemon:
    """A client's frame; the block of a Send is a view into it and is not looked into."""
    kind, flags, body = decode_frame(frame)
    match kind:
        case Kind.SEND:
            return Send(body, flags == SEND_SAFE)
        case Kind.HELLO:
            return Hello(*_exactly(_HELLO, body))
        case Kind.JOIN:
            return Join(_name(body), flags == JOIN_WANTS_RINGS)
        case Kind.LEAVE:
            _require(not body, "LEAVE has a body")
            return Leave()
        case Kind.QUERY:
            request, what = _at_least(_QUERY, body)
            return Query(request, what, _name(body[_QUERY.size :]))
        case Kind.KEYRING:
            request, verb, timeout_ms = _at_least(_KEYRING, body)
            argument = bytes(body[_KEYRING.size :])
            return Keyring(request, verb, flags == KEYRING_FORCE, timeout_ms, argument)
        case _:
            raise WireError(f"a client sent a frame of kind {kind}")


# -- daemon to client ------------------------------------------------------------------------------


def encode_welcome(node_id: int, pid: int, ring: RingId, version: int = VERSION) -> bytes:
    """WELCOME, 32 bytes."""
    return frame_header(Kind.WELCOME, 24) + _WELCOME.pack(version, node_id, pid, *ring)


def encode_reply(kind: int, error: int = CsError.OK) -> bytes:
    """REPLY to a JOIN or LEAVE, 16 bytes."""
    return frame_header(Kind.REPLY, 8) + _REPLY.pack(kind, error)


def view_body(
    members: Sequence[Member], joined: Sequence[Member] = (), left: Sequence[Member] = ()
) -> bytes:
    """The body of a VIEW, and of the ANSWER to What.MEMBERS."""
    entries = (_MEMBER.pack(*member) for part in (members, joined, left) for member in part)
    return _VIEW.pack(len(members), len(joined), len(left)) + b"".join(entries)


def encode_view(
    members: Sequence[Member], joined: Sequence[Member], left: Sequence[Member]
) -> bytes:
    """VIEW."""
    body = view_body(members, joined, left)
    return frame_header(Kind.VIEW, len(body)) + body


def encode_ring(ring: RingId, members: Sequence[int]) -> bytes:
    """RING."""
    count = len(members)
    head = frame_header(Kind.RING, _RING.size + 4 * count)
    return head + _RING.pack(ring.rep, count, ring.seq) + Struct(f"<{count}I").pack(*members)


def block_header(node_id: int, pid: int, block_bytes: int) -> bytes:
    """The 16 bytes before the block of a BLOCK."""
    length = _BLOCK_FRAME.size + block_bytes
    if length > NATIVE_FRAME_BYTES_MAX:
        raise UsageError(f"frame of {length} bytes; use at most {NATIVE_FRAME_BYTES_MAX}")
    return _BLOCK_FRAME.pack(length, Kind.BLOCK, 0, 0, node_id, pid)


def encode_block_frame(node_id: int, pid: int, block: Buffer) -> bytes:
    """BLOCK as one piece; to gather pieces use `block_header`."""
    return block_header(node_id, pid, len(block)) + block


def encode_answer(request: int, body: Buffer = b"", error: int = CsError.OK) -> bytes:
    """ANSWER to a QUERY."""
    return frame_header(Kind.ANSWER, 8 + len(body)) + _ANSWER.pack(request, error) + body


def encode_progress(request: int, body: Buffer) -> bytes:
    """PROGRESS of a KEYRING."""
    return frame_header(Kind.PROGRESS, _PROGRESS.size + len(body)) + _PROGRESS.pack(request) + body


def split_block(frame: memoryview) -> tuple[int, int, memoryview] | None:
    """Sender (node, pid) and block of a BLOCK, which is what comes most; None for all others.

    For frames of `split_frames`; what is malformed is left to `decode_to_client`.
    """
    if len(frame) < _BLOCK_FRAME.size:
        return None
    _, kind, flags, zero, node_id, pid = _BLOCK_FRAME.unpack_from(frame)
    if kind != _BLOCK_KIND or flags or zero:
        return None
    return node_id, pid, frame[_BLOCK_FRAME.size :]


def decode_to_client(frame: memoryview) -> ToClient:
    """A daemon's frame; the block of a Block and the body of an Answer are views into it."""
    kind, _, body = decode_frame(frame)
    match kind:
        case Kind.BLOCK:
            node_id, pid = _at_least(_BLOCK, body)
            return Block(NodeId(node_id), Pid(pid), body[_BLOCK.size :])
        case Kind.VIEW:
            return decode_view_body(body)
        case Kind.RING:
            return _decode_ring(body)
        case Kind.REPLY:
            return Reply(*_exactly(_REPLY, body))
        case Kind.ANSWER:
            request, error = _at_least(_ANSWER, body)
            return Answer(request, error, body[_ANSWER.size :])
        case Kind.PROGRESS:
            (request,) = _at_least(_PROGRESS, body)
            return Progress(request, body[_PROGRESS.size :])
        case Kind.WELCOME:
            version, node_id, pid, rep, seq = _exactly(_WELCOME, body)
            ring = RingId(NodeId(rep), RingSeq(seq))
            return Welcome(version, NodeId(node_id), Pid(pid), ring)
        case _:
            raise WireError(f"the daemon sent a frame of kind {kind}")


def decode_view_body(body: memoryview) -> View:
    """The body of a VIEW, and of the ANSWER to What.MEMBERS."""
    counts = _at_least(_VIEW, body)
    entries = body[_VIEW.size :]
    _require(len(entries) == sum(counts) * _MEMBER.size, f"VIEW of {len(body)} bytes: {counts}")
    everyone = _members(_MEMBER.iter_unpack(entries))
    n_members, n_joined, _ = counts
    joined_end = n_members + n_joined
    return View(everyone[:n_members], everyone[n_members:joined_end], everyone[joined_end:])


def _decode_ring(body: memoryview) -> Ring:
    rep, count, seq = _at_least(_RING, body)
    fits = count <= NODES_MAX and len(body) == _RING.size + 4 * count
    _require(fits, f"RING of {len(body)} bytes claims {count} members")
    members = [NodeId(node) for node in Struct(f"<{count}I").unpack_from(body, _RING.size)]
    return Ring(RingId(NodeId(rep), RingSeq(seq)), members)


# -- checks ----------------------------------------------------------------------------------------


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise WireError(text)


def _exactly(layout: Struct, body: memoryview) -> tuple[int, ...]:
    _require(len(body) == layout.size, f"body of {len(body)} bytes, need {layout.size}")
    return layout.unpack(body)


def _at_least(layout: Struct, body: memoryview) -> tuple[int, ...]:
    _require(len(body) >= layout.size, f"body of {len(body)} bytes, need {layout.size}")
    return layout.unpack_from(body)


def _name(field: memoryview) -> bytes:
    _require(len(field) <= GROUP_NAME_BYTES_MAX, f"group name of {len(field)} bytes")
    return bytes(field)


def _members(entries: Iterable[tuple[int, ...]]) -> list[Member]:
    return [Member(NodeId(node), Pid(pid), reason) for node, pid, reason in entries]
