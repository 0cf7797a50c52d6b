"""Authkeys: the authkeys of one node by role, and what each order makes of them.

Counterpart: Serf's key ring (install, use, remove).
Keeps:       each key has one role; a key that was removed never has one again; a new value is
             made, so that what is on the disk and what is wanted can be told apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

from unisono.base.limits import KEYS_RETIRED_MAX
from unisono.crypto.keys import ClusterKeys, derive
from unisono.secure.context import Keyring
from unisono.wire.service.keyring import Held


@dataclass(frozen=True, slots=True)
class Authkey:
    """One authkey; only `kid` may be shown."""

    raw: bytes = field(repr=False)
    """The content of the key file."""
    keys: ClusterKeys

    @classmethod
    def of(cls, raw: bytes, cluster: str) -> Self:
        """The authkey with this content; UsageError for a wrong size."""
        return cls(raw, derive(raw, cluster))

    @property
    def kid(self) -> bytes:
        """Its fingerprint."""
        return self.keys.kid


@dataclass(frozen=True, slots=True)
class Authkeys:
    """The keys of a node: handshakes begin with `active`, and are accepted with any of them."""

    active: Authkey
    next: Authkey | None = None
    previous: Authkey | None = None
    retired: tuple[bytes, ...] = ()
    """Fingerprints of those that were removed, oldest first."""

    def settled(self) -> Self:
        """The same without contradictions, which a crash between two files may have left."""
        active = self.active.kid
        retired = tuple(kid for kid in self.retired if kid != active)
        following, previous = self.next, self.previous
        if following is not None and following.kid in (active, *retired):
            following = None
        if previous is not None and previous.kid in (active, *retired):
            previous = None
        if following is not None and previous is not None and following.kid == previous.kid:
            following = None
        return replace(self, next=following, previous=previous, retired=retired)

    def find(self, kid: bytes) -> Authkey | None:
        """The key with this fingerprint."""
        for key in (self.active, self.next, self.previous):
            if key is not None and key.kid == kid:
                return key
        return None

    def holding(self, key: Authkey) -> Self:
        """With `key` as the next one."""
        return self if self.find(key.kid) else replace(self, next=key)

    def using(self, key: Authkey) -> Self:
        """With `key` active; the one that was is the previous one."""
        if key.kid == self.active.kid:
            return self
        return replace(self, active=key, previous=self.active).settled()

    def without(self, kids: Iterable[bytes]) -> Self:
        """With these retired; the active one stays whatever is asked."""
        new = [kid for kid in kids if kid != self.active.kid and kid not in self.retired]
        retired = (*self.retired, *new)[-KEYS_RETIRED_MAX:]
        return replace(self, retired=retired).settled()

    def learning(self, kids: Iterable[bytes]) -> Self:
        """With what others have retired retired too: what we hold, the rest while there is room.

        So lists of several nodes that are full grow to no agreement, and do not change for ever.
        """
        unknown = [kid for kid in dict.fromkeys(kids) if kid not in self.retired]
        held = [kid for kid in unknown if self.find(kid) is not None]
        rest = [kid for kid in unknown if self.find(kid) is None]
        room = max(KEYS_RETIRED_MAX - len(self.retired) - len(held), 0)
        return self.without([*held, *rest[:room]])

    def held(self, serial: int) -> Held:
        """What the others may know of them."""
        return Held(
            serial,
            self.active.kid,
            self.next.kid if self.next else None,
            self.previous.kid if self.previous else None,
            self.retired,
        )

    def put_into(self, ring: Keyring) -> None:
        """Let handshakes go by these."""
        ring.active = self.active.keys
        ring.next = self.next.keys if self.next else None
        ring.previous = self.previous.keys if self.previous else None
        ring.retired = self.retired
