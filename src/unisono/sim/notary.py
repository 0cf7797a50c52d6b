"""Notary: entropy and ciphers of one life of a daemon, with a record of what was made of them.

Speaks:      `entropy(count)`, `cipher(key)` for the machine's Context; facts `Secret` and `Sealed`.
Counterpart: the kernel's random device, and a hand on every seal.
Keeps:       whatever becomes of the machine, the stream of entropy goes on: one that is rolled back
             is not given the same bytes again; every seal is noted where it is made.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from unisono.base.group import Buffer
from unisono.crypto.sender_keys import Aead, Cipher
from unisono.sim import trace

SECRET_BYTES: Final = 32
"""Entropy of this size becomes a key: nonces, numbers and salts are shorter."""

PROBE_BYTES: Final = 16


class Notary:
    """Of one process."""

    def __init__(
        self,
        who: trace.Process,
        book: trace.Trace,
        clock: Callable[[], int],
        random: Random,
        cipher: Cipher,
    ) -> None:
        self.opened: list[tuple[bytes, bytes]] = []
        """Seals (key and nonce) that opened since this was emptied, and what was in them."""
        self._named: set[bytes] = set()
        self._who = who
        self._book = book
        self._clock = clock
        self._random = random
        self._cipher = cipher

    def __deepcopy__(self, memo: dict[int, Any]) -> "Notary":
        """The same: it is no part of what a machine remembers."""
        return self

    def entropy(self, count: int) -> bytes:
        """So many fresh bytes."""
        drawn = self._random.randbytes(count)
        if count == SECRET_BYTES:
            self._book.tell(trace.Secret(self._who, "32 bytes of entropy", drawn))
        return drawn

    def cipher(self, key: bytes) -> Aead:
        """A cipher that notes its use."""
        self._book.tell(trace.Secret(self._who, "sealing key", key))
        return _Noted(self, self._cipher(key), bytes(key))

    def note_sealed(self, key: bytes, nonce: bytes) -> None:
        """Something was sealed."""
        self._book.tell(trace.Sealed(self._clock(), self._who, key, nonce))

    def seal_of(self, frame: bytes) -> bytes:
        """The seal from which `frame` came out lately; empty when it came out of several.

        Of equal contents the one that was not named before: a copy that a receiver drops has been
        opened, too.
        """
        seals = [seal for seal, content in self.opened if content.endswith(frame)]
        fresh = [seal for seal in seals if seal not in self._named]
        if not fresh and any(_is_part(content, frame) for _, content in self.opened):
            return b""
        for seal in (fresh or seals)[:1]:
            self._named.add(seal)
            return seal
        return b""

    def forget(self) -> None:
        """What was accepted may be accepted again: the machine was rolled back."""
        self._named.clear()


class _Noted:
    """An AEAD under the eyes of a notary."""

    __slots__ = ("_aead", "_key", "_notary")

    def __init__(self, notary: Notary, aead: Aead, key: bytes) -> None:
        self._notary = notary
        self._aead = aead
        self._key = key

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Noted":
        return self

    def encrypt(self, nonce: bytes, data: Buffer, associated_data: Buffer, /) -> bytes:
        self._notary.note_sealed(self._key, nonce)
        return self._aead.encrypt(nonce, data, associated_data)

    def decrypt(self, nonce: bytes, data: Buffer, associated_data: Buffer, /) -> bytes:
        content = self._aead.decrypt(nonce, data, associated_data)
        self._notary.opened.append((self._key + nonce, content))
        return content


def _is_part(content: bytes, frame: bytes) -> bool:
    """Whether it looks like one piece of the frame, sealed by itself."""
    return len(content) < len(frame) and content[-PROBE_BYTES:] in frame
