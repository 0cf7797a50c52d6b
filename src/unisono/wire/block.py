"""Block: many small messages as one, so that nobody on the way does work for each of them.

Speaks:      u32 count, u32 end_offsets[count] (from the start of the payload area), payloads.
Counterpart: none, this format is ours; the native stream and native ring messages carry it.
Keeps:       a decoded block is whole: ends never fall, and the last one is the end of the bytes.
Never:       who sent it, or what a payload means.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from struct import Struct
from typing import Final, TypeVar

from unisono.base.errors import WireError
from unisono.base.group import Buffer

_Bytes = TypeVar("_Bytes", bytes, memoryview)
_WORD: Final = Struct("<I")
_SOLE: Final = Struct("<II")
"""All that precedes the payload of a block that has one."""
WORD_BYTES: Final = 4
"""Bytes of the count, and of each end offset."""
HEADER_BYTES: Final = WORD_BYTES
assert _WORD.size == WORD_BYTES
assert array("I").itemsize == WORD_BYTES


def encode_block(payloads: Sequence[Buffer]) -> bytes:
    """One block of `payloads` in order; memoryviews must have items of one byte."""
    words = array("I", [len(payloads), *accumulate(map(len, payloads))])
    return b"".join([words, *payloads])


def encode_sole(payload_bytes: int) -> bytes:
    """What precedes the payload in a block that has one; to gather pieces."""
    return _SOLE.pack(1, payload_bytes)


def sole_payload(block: memoryview) -> memoryview | None:
    """The payload of a block that has one, as a view; None for all others, malformed or not."""
    if len(block) >= _SOLE.size and _SOLE.unpack_from(block) == (1, len(block) - _SOLE.size):
        return block[_SOLE.size :]
    return None


def block_bytes(count: int, payload_bytes: int) -> int:
    """Size of a block of `count` payloads with `payload_bytes` bytes in all."""
    return HEADER_BYTES + WORD_BYTES * count + payload_bytes


def count_block(block: Buffer) -> int:
    """Number of payloads that the block claims; WireError if it has no room for their ends."""
    if len(block) < HEADER_BYTES:
        raise WireError(f"block of {len(block)} bytes has no count")
    count = int(_WORD.unpack_from(block)[0])
    if block_bytes(count, 0) > len(block):
        raise WireError(f"block of {len(block)} bytes claims {count} payloads")
    return count


def decode_block(block: _Bytes) -> list[_Bytes]:
    """The payloads: copies when `block` is bytes, views into it when it is a memoryview."""
    area_start = block_bytes(count_block(block), 0)
    ends: list[int] = memoryview(block)[HEADER_BYTES:area_start].cast("I").tolist()
    area = block[area_start:]
    # Sorting a sorted list is one pass in C: the cheapest check that no end falls.
    if ends != sorted(ends) or (ends[-1] if ends else 0) != len(area):
        raise WireError(f"block of {len(block)} bytes: ends fall, or the last is not its end")
    return [area[start:end] for start, end in zip([0, *ends], ends, strict=False)]
