"""Our private ring messages: that a node is one of ours, blocks of clients, authkeys, reloads.

Speaks:      group "unisono", version 1: hello (32 bytes), block, keyring and reload (see keyring.py
             and reload.py).
Counterpart: none, this format is ours; Corosync drops the group silently (nobody joined it).
Keeps:       the sender's node id is never inside: the ring knows who sent a message.
"""

from struct import Struct
from typing import Final

from unisono.base.errors import UsageError, WireError
from unisono.base.event import event
from unisono.base.group import Buffer
from unisono.base.ids import NodeId, Pid, RingId, RingSeq
from unisono.base.limits import GROUP_NAME_BYTES_MAX

KIND_HELLO: Final = 1
KIND_BLOCK: Final = 2
KIND_KEYRING: Final = 3
KIND_RELOAD: Final = 4
VERSION: Final = 1
_HEADER: Final = Struct("<BBHI")
_HELLO: Final = Struct("<BBHII4xQI4x")
HEADER_BYTES: Final = 8
assert _HEADER.size == HEADER_BYTES
assert _HELLO.size == 32


@event
class Hello:
    """The sender of this synchronisation is a Unisono daemon; `features` is for later versions."""

    ring: RingId
    features: int


@event
class Block:
    """A block of the process `pid` for the group `name`; `block` is a view, not looked into."""

    name: bytes
    pid: Pid
    block: memoryview


@event
class Keyring:
    """What wire.service.keyring reads; `body` is a view, not looked into."""

    body: memoryview


@event
class Reload:
    """What wire.service.reload reads; `body` is a view, not looked into."""

    body: memoryview


def encode_hello(ring: RingId, features: int = 0) -> bytes:
    """Hello, 32 bytes."""
    return _HELLO.pack(KIND_HELLO, VERSION, 0, 0, *ring, features)


def block_prefix(name: bytes, pid: int) -> bytes:
    """All that stands before the block; UsageError for a name above 128 bytes."""
    if len(name) > GROUP_NAME_BYTES_MAX:
        raise UsageError(f"group name of {len(name)} bytes; use at most {GROUP_NAME_BYTES_MAX}")
    return _HEADER.pack(KIND_BLOCK, VERSION, len(name), pid) + name


def encode_block(name: bytes, pid: int, block: Buffer) -> bytes:
    """A block of the process `pid` for the group `name`."""
    return block_prefix(name, pid) + block


def encode_keyring(body: Buffer) -> bytes:
    """A message about authkeys."""
    return _HEADER.pack(KIND_KEYRING, VERSION, 0, 0) + body


def encode_reload(body: Buffer) -> bytes:
    """A message about a reload of the configuration."""
    return _HEADER.pack(KIND_RELOAD, VERSION, 0, 0) + body


def decode_native(message: memoryview) -> Hello | Block | Keyring | Reload:
    """Any message of the group "unisono"; WireError also for later versions."""
    if len(message) < HEADER_BYTES:
        raise WireError(f"native message of {len(message)} bytes")
    kind, version, name_bytes, pid = _HEADER.unpack_from(message)
    if version != VERSION:
        raise WireError(f"native message of version {version}")
    if kind == KIND_BLOCK:
        start = HEADER_BYTES + name_bytes
        if name_bytes > GROUP_NAME_BYTES_MAX or start > len(message):
            raise WireError(f"block of {len(message)} bytes, name of {name_bytes}")
        return Block(bytes(message[HEADER_BYTES:start]), Pid(pid), message[start:])
    if kind == KIND_KEYRING:
        return Keyring(message[HEADER_BYTES:])
    if kind == KIND_RELOAD:
        return Reload(message[HEADER_BYTES:])
    if kind == KIND_HELLO and len(message) == _HELLO.size:
        _, _, _, _, rep, seq, features = _HELLO.unpack(message)
        return Hello(RingId(NodeId(rep), RingSeq(seq)), features)
    raise WireError(f"native message of kind {kind} and {len(message)} bytes")
