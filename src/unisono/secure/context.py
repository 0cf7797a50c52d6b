"""Context: what all peers of one node share: who we are, our keys, and numbers for sessions.

Keeps:       session numbers are never used twice in one life of the daemon; the entropy is the
             owner's (the kernel's in a daemon, a seed's in the simulator).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from unisono.base.ids import NodeId
from unisono.crypto.keys import ClusterKeys
from unisono.crypto.noise import StaticKeys
from unisono.crypto.sender_keys import Cipher
from unisono.secure.session import Session

_PROLOGUE: Final = b"unisono/ust1"
Entropy = Callable[[int], bytes]
"""So many fresh random bytes."""


@dataclass(slots=True)
class Keyring:
    """The authkeys in use: handshakes begin with `active`, and are accepted with any of them."""

    active: ClusterKeys
    next: ClusterKeys | None = None
    """Installed everywhere before anybody begins with it."""
    previous: ClusterKeys | None = None
    """Accepted until the operator removes it: nodes that were down begin with it."""
    retired: tuple[bytes, ...] = ()
    """Fingerprints of removed keys."""

    def find(self, kid: bytes) -> ClusterKeys | None:
        """The key with this fingerprint."""
        for keys in (self.active, *self.others):
            if keys.kid == kid:
                return keys
        return None

    @property
    def others(self) -> list[ClusterKeys]:
        """Those that are accepted beside the active one."""
        return [keys for keys in (self.next, self.previous) if keys is not None]


@dataclass(slots=True)
class Context:
    """Shared by the peers of one node."""

    me: NodeId
    cluster: str
    ring: Keyring
    cipher: Cipher
    entropy: Entropy
    boot: bytes
    """16 random bytes of this life of the daemon."""
    config_version: int = 0
    static_keys: dict[NodeId, StaticKeys] = field(default_factory=dict)
    """Level 2: the static keys by peer; empty on level 1."""
    sessions: dict[int, tuple[NodeId, Session]] = field(default_factory=dict)
    """Sessions that may be addressed, by our number."""

    def new_index(self) -> int:
        """A random number (u32) for a session that no other has: its order tells nothing."""
        while True:
            index = int.from_bytes(self.entropy(4), "big")
            if index and index not in self.sessions:
                return index

    def prologue(self, keys: ClusterKeys, initiator: NodeId, responder: NodeId) -> bytes:
        """What both sides of a handshake must agree on without saying it."""
        ends = initiator.to_bytes(4, "big") + responder.to_bytes(4, "big")
        return _PROLOGUE + b"\0" + self.cluster.encode() + b"\0" + ends + keys.kid
