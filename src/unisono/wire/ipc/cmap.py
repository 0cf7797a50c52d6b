"""CMAP: requests and replies of the configuration map, as far as a read-only view needs them.

Speaks:      GET, ITER_INIT, ITER_NEXT, ITER_FINALIZE, SET_CURRENT_MAP.
Counterpart: corosync include/corosync/ipc_cmap.h, lib/cmap.c, exec/cmap.c.
Keeps:       a GET reply is 40 bytes plus the *requested* length, zero filled.
"""

from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Final

from unisono.base.errors import CsError, UsageError, WireError
from unisono.base.event import event
from unisono.base.group import Buffer
from unisono.wire.ipc import qb


class Request(IntEnum):
    """Request ids (enum req_cmap_types)."""

    SET = 0
    DELETE = 1
    GET = 2
    ADJUST_INT = 3
    ITER_INIT = 4
    ITER_NEXT = 5
    ITER_FINALIZE = 6
    TRACK_ADD = 7
    TRACK_DELETE = 8
    SET_CURRENT_MAP = 9


class Response(IntEnum):
    """Reply and event ids (enum res_cmap_types)."""

    SET = 0
    DELETE = 1
    GET = 2
    ADJUST_INT = 3
    ITER_INIT = 4
    ITER_NEXT = 5
    ITER_FINALIZE = 6
    TRACK_ADD = 7
    TRACK_DELETE = 8
    NOTIFY = 9
    SET_CURRENT_MAP = 10


class Map(IntEnum):
    """The maps of a daemon (cmap_map_t)."""

    ICMAP = 0
    STATS = 1


class ValueType(IntEnum):
    """cmap_value_types_t."""

    INT8 = 1
    UINT8 = 2
    INT16 = 3
    UINT16 = 4
    INT32 = 5
    UINT32 = 6
    INT64 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    STRING = 11
    BINARY = 12


KEY_BYTES_MAX: Final = 255
VALUE_BYTES_MAX: Final = 16_384
_OK: Final = 1

_KEY: Final = Struct("<H6x256s")
_KEYED: Final = Struct("<i4xi4x264s")
_GET: Final = Struct("<i4xi4x264sQ")
_GET_REPLY: Final = Struct("<i4xi4xi4xQB7x")
_ITER_NEXT_REPLY: Final = Struct("<i4xi4xi4x264sQB7x")
_SET_MAP: Final = Struct("<i4xi4xi4x")
assert _KEY.size == 264
assert _KEYED.size == 280
assert _GET.size == 288
assert _GET_REPLY.size == 40
assert _ITER_NEXT_REPLY.size == 304
assert _SET_MAP.size == 24

_NUMBERS: Final = {
    ValueType.INT8: Struct("<b"),
    ValueType.UINT8: Struct("<B"),
    ValueType.INT16: Struct("<h"),
    ValueType.UINT16: Struct("<H"),
    ValueType.INT32: Struct("<i"),
    ValueType.UINT32: Struct("<I"),
    ValueType.INT64: Struct("<q"),
    ValueType.UINT64: Struct("<Q"),
    ValueType.FLOAT: Struct("<f"),
    ValueType.DOUBLE: Struct("<d"),
}


class NameTooLong(WireError):
    """A key claims more than 255 bytes: the answer is CS_ERR_NAME_TOO_LONG."""


@event
class GetReply:
    """`value_bytes` is the length of the value, `value` what fitted (empty in a length probe)."""

    error: int
    value_bytes: int
    type: int
    value: bytes


@event
class IterNextReply:
    """One key; error NO_SECTIONS ends the iteration."""

    error: int
    key: bytes
    value_bytes: int
    type: int


# -- values --------------------------------------------------------------------------------------


def encode_value(kind: ValueType, value: float | str | bytes) -> bytes:
    """A value as the map stores it: little endian, strings with their NUL; UsageError if unfit."""
    if kind is ValueType.STRING:
        return str(value).encode() + b"\0"
    if kind is ValueType.BINARY:
        return value if isinstance(value, bytes) else str(value).encode()
    try:
        return _NUMBERS[kind].pack(value)
    except StructError as reason:
        raise UsageError(f"{value!r} is no {kind.name}") from reason


def decode_value(kind: int, value: Buffer) -> int | float | str | bytes:
    """A value of the map by its type; strings lose their NUL."""
    if kind == ValueType.STRING:
        return bytes(value).partition(b"\0")[0].decode(errors="replace")
    if kind == ValueType.BINARY:
        return bytes(value)
    form = _NUMBERS.get(kind)  # type: ignore[call-overload]  # an int key finds its IntEnum
    if form is None or len(value) != form.size:
        raise WireError(f"value of type {kind} with {len(value)} bytes")
    number: int | float = form.unpack(value)[0]
    return number


# -- requests ------------------------------------------------------------------------------------


def encode_get(key: bytes, buffer_bytes: int) -> bytes:
    """GET, 288 bytes; `buffer_bytes` 0 asks for the length only."""
    return _GET.pack(Request.GET, 288, _encode_key(key), buffer_bytes)


def decode_get(message: memoryview) -> tuple[bytes, int]:
    """GET: (key, size of the client's buffer in bytes)."""
    qb.check_request(message, 288)
    _, _, field, buffer_bytes = _GET.unpack_from(message)
    return _decode_key(field), buffer_bytes


def encode_iter_init(prefix: bytes = b"") -> bytes:
    """ITER_INIT, 280 bytes; an empty prefix means all keys."""
    return _KEYED.pack(Request.ITER_INIT, 280, _encode_key(prefix))


def decode_iter_init(message: memoryview) -> bytes:
    """ITER_INIT: the prefix."""
    return decode_key_request(message)


def decode_key_request(message: memoryview) -> bytes:
    """The key with which DELETE, ITER_INIT, SET, GET, ADJUST_INT and TRACK_ADD all begin."""
    qb.check_request(message, 280)
    return _decode_key(_KEYED.unpack_from(message)[2])


def encode_iter_next(handle: int) -> bytes:
    """ITER_NEXT, 24 bytes."""
    return qb.encode_u64_request(Request.ITER_NEXT, handle)


def encode_iter_finalize(handle: int) -> bytes:
    """ITER_FINALIZE, 24 bytes."""
    return qb.encode_u64_request(Request.ITER_FINALIZE, handle)


def decode_iter_handle(message: memoryview) -> int:
    """The handle in an ITER_NEXT or ITER_FINALIZE."""
    return qb.decode_u64_request(message)


def encode_set_current_map(which: int) -> bytes:
    """SET_CURRENT_MAP, 24 bytes."""
    return _SET_MAP.pack(Request.SET_CURRENT_MAP, 24, which)


def decode_set_current_map(message: memoryview) -> int:
    """SET_CURRENT_MAP: a Map, or an unknown number."""
    qb.check_request(message, 24)
    return int(_SET_MAP.unpack_from(message)[2])


# -- replies -------------------------------------------------------------------------------------


def encode_get_reply(kind: int, value: bytes, buffer_bytes: int) -> bytes:
    """Reply to GET: 40 bytes and `buffer_bytes` more, in which the value lies.

    `buffer_bytes` is the client's; answer INVALID_PARAM if it is too small for the value.
    """
    size = _GET_REPLY.size + buffer_bytes
    head = _GET_REPLY.pack(Response.GET, size, _OK, len(value), kind)
    return head + value.ljust(buffer_bytes, b"\0") if buffer_bytes else head


def encode_get_failure(error: int) -> bytes:
    """Failed reply to GET, 40 bytes."""
    return _GET_REPLY.pack(Response.GET, _GET_REPLY.size, error, 0, 0)


def decode_get_reply(message: memoryview) -> GetReply:
    """Reply to GET."""
    error = qb.check_reply(message, _GET_REPLY.size)
    if error != CsError.OK:
        return GetReply(error, 0, 0, b"")
    _, _, _, value_bytes, kind = _GET_REPLY.unpack_from(message)
    value = message[_GET_REPLY.size :]
    if value and value_bytes > len(value):
        raise WireError(f"GET reply: value of {value_bytes} in {len(value)} bytes")
    return GetReply(error, value_bytes, kind, bytes(value[:value_bytes]))


def encode_iter_init_reply(handle: int, error: int = _OK) -> bytes:
    """Reply to ITER_INIT, 32 bytes."""
    return qb.encode_u64_reply(Response.ITER_INIT, error, handle)


def decode_iter_init_reply(message: memoryview) -> tuple[int, int]:
    """(cs_error, handle)."""
    return qb.decode_u64_reply(message)


def encode_iter_next_reply(
    key: bytes = b"", value_bytes: int = 0, kind: int = 0, error: int = _OK
) -> bytes:
    """Reply to ITER_NEXT, 304 bytes."""
    field = _encode_key(key)
    return _ITER_NEXT_REPLY.pack(Response.ITER_NEXT, 304, error, field, value_bytes, kind)


def decode_iter_next_reply(message: memoryview) -> IterNextReply:
    """Reply to ITER_NEXT."""
    error = qb.check_reply(message, 304)
    if error != CsError.OK:
        return IterNextReply(error, b"", 0, 0)
    _, _, _, field, value_bytes, kind = _ITER_NEXT_REPLY.unpack_from(message)
    return IterNextReply(error, _decode_key(field), value_bytes, kind)


def _encode_key(key: bytes) -> bytes:
    if len(key) > KEY_BYTES_MAX:
        raise UsageError(f"key of {len(key)} bytes; use at most {KEY_BYTES_MAX}")
    return _KEY.pack(len(key), key)


def _decode_key(field: bytes) -> bytes:
    length, value = _KEY.unpack(field)
    if length > KEY_BYTES_MAX:
        raise NameTooLong(f"key of {length} bytes")
    return bytes(value[:length])
