"""Keys: what one authkey file means in one cluster.

Speaks:      `derive(authkey, cluster) -> ClusterKeys`.
Counterpart: corosync-keygen(8)'s file, 128 to 4096 bytes as libknet demands.
Keeps:       each purpose has a key of its own, bound to the cluster's name (HKDF, RFC 5869).
"""

from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from unisono.base.errors import UsageError

AUTHKEY_BYTES_MIN: Final = 128
AUTHKEY_BYTES_MAX: Final = 4096
KEY_BYTES: Final = 32
KID_BYTES: Final = 4
_SALT: Final = b"unisono/ust1/psk"


@dataclass(frozen=True, slots=True)
class ClusterKeys:
    """The keys of one authkey; only `kid` may be shown."""

    kid: bytes
    """Public fingerprint, 4 bytes: equal keys in equal clusters have equal fingerprints."""
    psk: bytes = field(repr=False)
    """Noise pre-shared key, 32 bytes."""
    mac1: bytes = field(repr=False)
    """Key of the first MAC of a handshake message: proves the authkey for two microseconds."""
    cookie: bytes = field(repr=False)
    """Key under which cookies travel."""

    @property
    def fingerprint(self) -> str:
        """`kid` as people compare it: 8 hexadecimal digits."""
        return self.kid.hex()


def derive(authkey: bytes, cluster: str) -> ClusterKeys:
    """The keys of `authkey` in the cluster of that name; UsageError for a wrong size."""
    if not AUTHKEY_BYTES_MIN <= len(authkey) <= AUTHKEY_BYTES_MAX:
        raise UsageError(
            f"an authkey has {AUTHKEY_BYTES_MIN} to {AUTHKEY_BYTES_MAX} bytes, not {len(authkey)}"
        )
    root = digest(_SALT, authkey, sha256)
    name = cluster.encode()
    return ClusterKeys(
        kid=_expand(root, b"ust1 kid", name)[:KID_BYTES],
        psk=_expand(root, b"ust1 noise", name),
        mac1=_expand(root, b"ust1 mac1", name),
        cookie=_expand(root, b"ust1 cookie", name),
    )


def group_key(sender_key: bytes, sender: int, generation: int) -> bytes:
    """The AEAD key under which `sender` (node id) seals its frames of one generation."""
    context = sender.to_bytes(4, "big") + generation.to_bytes(4, "big")
    return HKDFExpand(SHA256(), KEY_BYTES, b"ust1 group" + context).derive(sender_key)


def _expand(root: bytes, purpose: bytes, cluster: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, purpose + b"\0" + cluster).derive(root)
