"""Messages of simulated applications: every content is unique, so that it names itself.

Keeps:       a payload's first bytes are its number, the rest a pattern that depends on it.
"""

from hashlib import blake2b
from typing import Final

NUMBER_BYTES: Final = 8
_SIZE_SHIFT: Final = 64


def key_of(group: bytes, *pieces: bytes | bytearray | memoryview) -> int:
    """The name of a message in the trace: its size and a hash of its group and content.

    64 bits, because a checksum of 32 does meet itself in a run of some thousand messages.
    """
    content = blake2b(group, digest_size=8)
    size = 0
    for piece in pieces:
        content.update(piece)
        size += len(piece)
    return size << _SIZE_SHIFT | int.from_bytes(content.digest(), "little")


def size_of(key: int) -> int:
    """The size in bytes of the message that `key` names."""
    return key >> _SIZE_SHIFT


class Mint:
    """Makes payloads of a wished size; no two are equal."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next: dict[int, int] = {}

    def make(self, size: int) -> bytes:
        """A payload of `size` bytes, or of the next size that still has an unused number."""
        width = min(size, NUMBER_BYTES)
        while True:
            number = self._next.get(width, 0)
            if number < 1 << (8 * width):
                break
            width += 1
        self._next[width] = number + 1
        head = number.to_bytes(width, "little")
        rest = max(size, width) - width
        if not rest:
            return head
        pattern = (number * 0x9E3779B97F4A7C15 & (1 << 64) - 1).to_bytes(8, "little")
        return head + (pattern * (rest // 8 + 1))[:rest]
