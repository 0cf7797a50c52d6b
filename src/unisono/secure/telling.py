"""Telling: which of our sender keys one peer has, and which it must be told.

Keeps:       a key is told again until the peer has said that it has it.
"""

from collections.abc import Sequence
from typing import Final

from unisono.base.ids import MS, Nanos
from unisono.crypto.sender_keys import OwnKey
from unisono.wire.ust.records import Key

KEY_RETRY_NS: Final = 100 * MS
KEY_LIFETIME_MS: Final = 3_600_000


class Telling:
    """Seen from the sender; the keys themselves are shared by all peers."""

    __slots__ = ("_has", "_keys", "again_at")

    def __init__(self) -> None:
        self._keys: Sequence[OwnKey] = ()
        self._has: set[int] = set()
        self.again_at: Nanos | None = None
        """When to tell again what was not acknowledged."""

    def share(self, keys: Sequence[OwnKey]) -> None:
        """These are in use, or will be; others are forgotten."""
        self._keys = keys
        self._has &= {key.generation for key in keys}

    def has(self, generation: int) -> bool:
        """Whether the peer said that it has our key of this generation."""
        return generation in self._has

    def on_ack(self, generation: int) -> None:
        """The peer has this one."""
        if any(key.generation == generation for key in self._keys):
            self._has.add(generation)
        if not self._lacking():
            self.again_at = None

    def again(self, generation: int) -> list[Key]:
        """The peer asks for this one; it may have been asked to by a forger, so nothing changes."""
        asked = [key for key in self._keys if key.generation == generation and key.is_told]
        return [_key(key) for key in asked]

    def forget(self) -> None:
        """The peer has nothing: it was started anew."""
        self._has.clear()

    def tell(self, now: Nanos) -> list[Key]:
        """What the peer lacks."""
        lacking = self._lacking()
        self.again_at = Nanos(now + KEY_RETRY_NS) if lacking else None
        return [_key(key) for key in lacking]

    def _lacking(self) -> list[OwnKey]:
        return [key for key in self._keys if key.is_told and key.generation not in self._has]


def _key(key: OwnKey) -> Key:
    return Key(key.generation, key.secret, key.next_counter, KEY_LIFETIME_MS)
