"""MACs and cookies: what a handshake message must show before anything costly is computed.

Speaks:      `first_mac`, `second_mac`; `CookieJar.issue`, `CookieJar.accepts`; `open_cookie`.
Counterpart: WireGuard, sections 5.3 and 5.4.4 of its paper (MAC1, MAC2, cookie reply).
Keeps:       the first MAC proves the authkey in microseconds; under load the second proves, too,
             that the sender receives at the address it writes from. Comparisons take equal time.
"""

from hashlib import sha256
from hmac import compare_digest, digest
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from unisono.base.errors import WireError
from unisono.base.group import Buffer
from unisono.base.ids import SECOND, Nanos
from unisono.crypto.keys import ClusterKeys
from unisono.wire.ust.handshake import MAC_BYTES, NO_MAC, Cookie

COOKIE_LIFETIME_NS: Final = 120 * SECOND
"""How long a secret makes cookies; they are accepted for as long again."""
NONCE_BYTES: Final = 12
SECRET_BYTES: Final = 32


def first_mac(keys: ClusterKeys, body: Buffer) -> bytes:
    """16 bytes over everything before the MACs."""
    return digest(keys.mac1, body, sha256)[:MAC_BYTES]


def is_first_mac(keys: ClusterKeys, body: Buffer, mac: bytes) -> bool:
    """Whether whoever wrote `body` holds the authkey, or recorded it from one who does."""
    return compare_digest(first_mac(keys, body), mac)


def second_mac(cookie: bytes | None, body_with_first: Buffer) -> bytes:
    """16 bytes over everything before, the first MAC included; zeros without a cookie."""
    if cookie is None:
        return NO_MAC
    return digest(cookie, body_with_first, sha256)[:MAC_BYTES]


def open_cookie(keys: ClusterKeys, reply: Cookie, answered_mac: bytes) -> bytes:
    """The cookie in a reply to the message that bore `answered_mac`; WireError if it is none."""
    try:
        return AESGCM(keys.cookie).decrypt(reply.nonce, reply.sealed, answered_mac)
    except InvalidTag:
        raise WireError("cookie that does not open") from None


class CookieJar:
    """The responder's side: cookies are computed, never stored, one for each source address."""

    __slots__ = ("_former", "_renew_at", "_secret")

    def __init__(self) -> None:
        self._secret = self._former = b""
        self._renew_at = Nanos(0)

    def is_due(self, now: Nanos) -> bool:
        """Whether `renew` must be called before the jar is used."""
        return now >= self._renew_at

    def renew(self, secret: bytes, now: Nanos) -> None:
        """Begin with a new secret of 32 random bytes; the former is still accepted."""
        is_long_ago = now >= self._renew_at + COOKIE_LIFETIME_NS
        self._former = b"" if is_long_ago else self._secret
        self._secret = secret
        self._renew_at = Nanos(now + COOKIE_LIFETIME_NS)

    def issue(self, keys: ClusterKeys, address: bytes, nonce: bytes, answered_mac: bytes) -> Cookie:
        """The sealed cookie of `address`; `nonce` is 12 random bytes."""
        cookie = _bake(self._secret, address)
        return Cookie(nonce, AESGCM(keys.cookie).encrypt(nonce, cookie, answered_mac))

    def accepts(self, address: bytes, body_with_first: Buffer, mac: bytes) -> bool:
        """Whether the second MAC was made with a cookie that was issued to `address` lately."""
        return any(
            compare_digest(second_mac(_bake(secret, address), body_with_first), mac)
            for secret in (self._secret, self._former)
            if secret
        )


def _bake(secret: bytes, address: bytes) -> bytes:
    return digest(secret, address, sha256)[:MAC_BYTES]
