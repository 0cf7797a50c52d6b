"""libqb framing: the headers of every message, and the request and reply that open a connection.

Speaks:      request header (16 bytes), response header (24), connect request (24), connect reply.
Counterpart: libqb lib/ipc_int.h, include/qb/qbipc_common.h; corosync ipc_*.h for status replies.
Keeps:       `header.size` always equals the length of the message that is decoded.
"""

from struct import Struct
from typing import Final

from unisono.base.errors import CsError, WireError
from unisono.base.event import event
from unisono.base.group import Buffer

AUTHENTICATE: Final = -1
NEW_EVENT_SOCKET: Final = -2
DISCONNECT: Final = -3
SOCKET: Final = 0
SHM: Final = 1
PATH_BYTES: Final = 4_096

REQUEST_HEADER: Final = Struct("<i4xi4x")
"""id, size."""
RESPONSE_HEADER: Final = Struct("<i4xi4xi4x")
"""id, size, error."""
CONNECT_REQUEST: Final = Struct("<i4xi4xI4x")
"""id, size, max_msg_size."""
CONNECT_REPLY: Final = Struct(f"<i4xi4xi4xiIq{PATH_BYTES}s{PATH_BYTES}s{PATH_BYTES}s")
"""id, size, error, connection_type, max_msg_size, connection, request, response, event."""
assert REQUEST_HEADER.size == 16
assert RESPONSE_HEADER.size == 24
assert CONNECT_REQUEST.size == 24
assert CONNECT_REPLY.size == 12_328

_SOLE_U32: Final = Struct("<i4xi4xI4x")
_REPLY_U32: Final = Struct("<i4xi4xi4xI4x")
_SOLE_U64: Final = Struct("<i4xi4xQ")
_REPLY_U64: Final = Struct("<i4xi4xi4xQ")


@event
class ConnectReply:
    """The server's answer to a connect request; `error` is 0 or a negative errno.

    For SHM the paths are base names of the three rings; for SOCKET `request` is the control file,
    `response` the base of the datagram socket names and `event` empty.
    """

    error: int
    kind: int
    message_bytes_max: int
    connection: int
    request: bytes
    response: bytes
    event: bytes


# -- headers -------------------------------------------------------------------------------------


def check_request(message: memoryview, bytes_min: int) -> int:
    """The request's id; WireError unless the header's size is the message's and >= `bytes_min`."""
    length = len(message)
    if length < 16:
        raise WireError(f"request of {length} bytes has no header")
    ident, size = REQUEST_HEADER.unpack_from(message)
    if size != length or length < bytes_min:
        raise WireError(f"request {ident}: header says {size}, got {length}, need {bytes_min}")
    return int(ident)


def check_reply(message: memoryview, bytes_min: int) -> int:
    """The reply's cs_error; WireError unless the size fits and >= `bytes_min`.

    A failure may be a bare header (24 bytes), whatever the reply's usual length.
    """
    length = len(message)
    if length < 24:
        raise WireError(f"reply of {length} bytes has no header")
    ident, size, error = RESPONSE_HEADER.unpack_from(message)
    if size != length or (length < bytes_min and (error == CsError.OK or length != 24)):
        raise WireError(f"reply {ident}: header says {size}, got {length}, need {bytes_min}")
    return int(error)


def check_event(message: memoryview, ident: int, bytes_min: int) -> None:
    """WireError unless this is the event `ident`, of its header's size and >= `bytes_min`."""
    length = len(message)
    if length < bytes_min:
        raise WireError(f"event of {length} bytes, need {bytes_min}")
    found, size, _ = RESPONSE_HEADER.unpack_from(message)
    if found != ident or size != length:
        raise WireError(f"event {found} of {size} bytes, expected {ident} of {length}")


def message_id(message: memoryview) -> int:
    """The id of a request, reply or event; WireError when there is none."""
    if len(message) < 16:
        raise WireError(f"message of {len(message)} bytes has no header")
    return int(REQUEST_HEADER.unpack_from(message)[0])


def encode_request(ident: int, body: Buffer = b"") -> bytes:
    """A request: header and body."""
    return REQUEST_HEADER.pack(ident, 16 + len(body)) + body


def encode_status(ident: int, error: int) -> bytes:
    """A reply (or event) that is only a header; `error` is a cs_error_t."""
    return RESPONSE_HEADER.pack(ident, 24, error)


def decode_status(message: memoryview) -> int:
    """The cs_error_t of any reply."""
    return check_reply(message, 24)


# -- shapes that several services share ----------------------------------------------------------


def encode_u32_request(ident: int, value: int) -> bytes:
    """A request of one 32-bit word (24 bytes)."""
    return _SOLE_U32.pack(ident, 24, value)


def decode_u32_request(message: memoryview) -> int:
    """The word of a request of one 32-bit word."""
    check_request(message, 24)
    return int(_SOLE_U32.unpack_from(message)[2])


def encode_u64_request(ident: int, value: int) -> bytes:
    """A request of one 64-bit word, a handle (24 bytes)."""
    return _SOLE_U64.pack(ident, 24, value)


def decode_u64_request(message: memoryview) -> int:
    """The word of a request of one 64-bit word."""
    check_request(message, 24)
    return int(_SOLE_U64.unpack_from(message)[2])


def encode_u32_reply(ident: int, error: int, value: int) -> bytes:
    """A reply of one 32-bit word (32 bytes)."""
    return _REPLY_U32.pack(ident, 32, error, value)


def decode_u32_reply(message: memoryview) -> tuple[int, int]:
    """(cs_error, word) of a reply of one 32-bit word; word 0 in a bare failure."""
    error = check_reply(message, 32)
    return error, int(_REPLY_U32.unpack_from(message)[3]) if len(message) >= 32 else 0


def encode_u64_reply(ident: int, error: int, value: int) -> bytes:
    """A reply of one 64-bit word, a handle (32 bytes)."""
    return _REPLY_U64.pack(ident, 32, error, value)


def decode_u64_reply(message: memoryview) -> tuple[int, int]:
    """(cs_error, word) of a reply of one 64-bit word; word 0 in a bare failure."""
    error = check_reply(message, 32)
    return error, int(_REPLY_U64.unpack_from(message)[3]) if len(message) >= 32 else 0


# -- connection set-up ---------------------------------------------------------------------------


def encode_connect_request(message_bytes_max: int) -> bytes:
    """The first message of a client: its wish for the size of messages."""
    return CONNECT_REQUEST.pack(AUTHENTICATE, 24, message_bytes_max)


def decode_connect_request(message: memoryview) -> int:
    """The client's wish for the size of messages, in bytes."""
    if len(message) != 24:
        raise WireError(f"connect request of {len(message)} bytes")
    ident, size, message_bytes_max = CONNECT_REQUEST.unpack_from(message)
    if ident != AUTHENTICATE or size != 24:
        raise WireError(f"first message has id {ident}, size {size}")
    return int(message_bytes_max)


def encode_connect_reply(reply: ConnectReply) -> bytes:
    """The server's answer, always 12328 bytes."""
    return CONNECT_REPLY.pack(
        AUTHENTICATE,
        CONNECT_REPLY.size,
        reply.error,
        reply.kind,
        reply.message_bytes_max,
        reply.connection,
        reply.request,
        reply.response,
        reply.event,
    )


def decode_connect_reply(message: memoryview) -> ConnectReply:
    """The server's answer; WireError unless it is one, with NUL-terminated paths."""
    if len(message) != CONNECT_REPLY.size:
        raise WireError(f"connect reply of {len(message)} bytes")
    ident, size, error, kind, bytes_max, connection, *paths = CONNECT_REPLY.unpack_from(message)
    if ident != AUTHENTICATE or size != CONNECT_REPLY.size:
        raise WireError(f"connect reply has id {ident}, size {size}")
    names: list[bytes] = []
    for path in paths:
        name, end, _ = path.partition(b"\0")
        if not end:
            raise WireError("connect reply: a path has no end")
        names.append(name)
    return ConnectReply(error, kind, bytes_max, connection, names[0], names[1], names[2])
