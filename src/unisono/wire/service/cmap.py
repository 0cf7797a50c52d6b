"""CMAP on the ring: a node tells its configuration version.

Speaks:      mcast with items key, type, value (service 0, handler 0).
Counterpart: corosync exec/cmap.c, structs req_exec_cmap_mcast and req_exec_cmap_mcast_item.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.base.limits import CMAP_VALUE_BYTES_MAX
from unisono.wire.service import header
from unisono.wire.service.header import RingService, make_id

MCAST: Final = make_id(RingService.CMAP, 0)
REASON_SYNC: Final = 0
REASON_NEW_CONFIG_VERSION: Final = 1
CONFIG_VERSION_KEY: Final = b"totem.config_version"
TYPE_ABSENT: Final = 0
TYPE_UINT64: Final = 8

_MCAST: Final = Struct("<i4xi4xB7xB7x16x")
_ITEM: Final = Struct("<H6x256sB7xQ")
_U64: Final = Struct("<Q")
_KEY_BYTES: Final = 256
assert _MCAST.size == 48
assert _ITEM.size == 280


@event
class Item:
    """One key; `kind` 0 and no value when the sender does not have it."""

    key: bytes
    kind: int
    value: bytes


@event
class Mcast:
    """What one node tells of its map, and why."""

    reason: int
    items: list[Item]


def encode_mcast(message: Mcast) -> bytes:
    """The message; each item starts at a multiple of 8."""
    items = b"".join([_encode_item(item) for item in message.items])
    size = _MCAST.size + len(items)
    return _MCAST.pack(MCAST, size, message.reason, len(message.items)) + items


def decode_mcast(message: memoryview) -> Mcast:
    """The message; unknown keys are kept."""
    header.check(message, _MCAST.size)
    _, _, reason, count = _MCAST.unpack_from(message)
    items: list[Item] = []
    at = _MCAST.size
    for _ in range(count):
        if at + _ITEM.size > len(message):
            raise WireError(f"cmap item {len(items)} of {count} is cut")
        key_bytes, key, kind, value_bytes = _ITEM.unpack_from(message, at)
        at += _ITEM.size
        end = at + value_bytes
        if key_bytes > _KEY_BYTES or value_bytes > CMAP_VALUE_BYTES_MAX or end > len(message):
            raise WireError(f"cmap item: key of {key_bytes}, value of {value_bytes} bytes")
        items.append(Item(key[:key_bytes], kind, bytes(message[at:end])))
        at = end + -end % 8
    return Mcast(reason, items)


def encode_config_version(version: int, reason: int) -> bytes:
    """The one message that is used: `version` 0 means that the key is not set."""
    value = _U64.pack(version) if version else b""
    kind = TYPE_UINT64 if version else TYPE_ABSENT
    return encode_mcast(Mcast(reason, [Item(CONFIG_VERSION_KEY, kind, value)]))


def config_version(items: Sequence[Item]) -> int | None:
    """The configuration version among `items`, 0 when absent there, None when not told."""
    for item in items:
        if item.key == CONFIG_VERSION_KEY:
            if item.kind == TYPE_UINT64 and len(item.value) == _U64.size:
                return int(_U64.unpack(item.value)[0])
            return 0
    return None


def _encode_item(item: Item) -> bytes:
    head = _ITEM.pack(len(item.key), item.key, item.kind, len(item.value))
    return head + item.value + bytes(-len(item.value) % 8)
