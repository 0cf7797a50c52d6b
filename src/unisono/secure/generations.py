"""Generations: the key under which this node seals, and the next one on its way to the peers.

Counterpart: Signal's sender keys; the renewal of keys in WireGuard.
Keeps:       a new key is used when all who are there have it, or two seconds later; what was used
             is erased.
"""

from collections.abc import Callable
from typing import Final

from unisono.base.ids import SECOND, Nanos, NodeId
from unisono.crypto.keys import KEY_BYTES
from unisono.crypto.sender_keys import Cipher, OwnKey

LIFETIME_NS: Final = 3_600 * SECOND
"""Age at which a sender key is renewed: what is recorded stays closed from then on."""
SWITCH_NS: Final = 2 * SECOND
"""How long the old key is used while peers have not acknowledged the new one."""


class Generations:
    """This node's sender keys: `current`, and at most one that is coming."""

    __slots__ = (
        "_cipher",
        "_coming",
        "_entropy",
        "_made",
        "_me",
        "_renew_at",
        "_switch_at",
        "current",
    )

    def __init__(
        self, cipher: Cipher, me: NodeId, entropy: Callable[[int], bytes], now: Nanos
    ) -> None:
        self._cipher = cipher
        self._me = me
        self._entropy = entropy
        self.current = OwnKey(cipher, me, 1, entropy(KEY_BYTES))
        self._coming: OwnKey | None = None
        self._made = 1
        """The newest generation: none is made twice."""
        self._renew_at = Nanos(now + LIFETIME_NS)
        self._switch_at = Nanos(0)

    @property
    def shared(self) -> list[OwnKey]:
        """The keys that peers must have."""
        return [self.current] if self._coming is None else [self.current, self._coming]

    @property
    def granted(self) -> OwnKey:
        """The key for a peer that has none yet."""
        return self.current if self.current.is_told or self._coming is None else self._coming

    def distrust(self, now: Nanos) -> None:
        """This machine may have been rolled back: a fresh key, and nobody new gets the present one.

        A key that was coming may have been used in the life that is undone.
        """
        self._coming = None
        self.renew(now)
        self.current.is_told = False

    @property
    def deadline(self) -> Nanos:
        """When `renew` or `settle` is due; at once when the key is worn."""
        if self._coming is not None:
            return self._switch_at
        return Nanos(0) if self.current.is_worn else self._renew_at

    def is_due(self, now: Nanos) -> bool:
        """Whether `renew` should be called."""
        return self._coming is None and self.deadline <= now

    def renew(self, now: Nanos) -> bool:
        """Make the next key, unless one is coming already; whether it was made."""
        if self._coming is not None:
            return False
        self._made += 1
        self._coming = OwnKey(self._cipher, self._me, self._made, self._entropy(KEY_BYTES))
        self._switch_at = Nanos(now + SWITCH_NS)
        return True

    def settle(self, now: Nanos, has_all: Callable[[int], bool]) -> bool:
        """Use the coming key if everybody has it or time is up; whether it was taken up."""
        coming = self._coming
        if coming is None or not (has_all(coming.generation) or now >= self._switch_at):
            return False
        self.current.erase()
        self.current = coming
        self._coming = None
        self._renew_at = Nanos(now + LIFETIME_NS)
        return True
