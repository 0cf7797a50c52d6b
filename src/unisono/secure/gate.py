"""Gate: which handshake packets are worth a key agreement.

Speaks:      `Gate.keys_of`, `Gate.is_busy`, `Gate.cookie`, `Gate.shows_cookie`.
Counterpart: WireGuard's MAC1, MAC2 and cookies (section 5.3 and 5.4.4 of its paper).
Keeps:       whoever does not hold the authkey costs us one MAC; whoever recorded genuine HELLOs
             costs us one more, because it cannot receive the cookie.
"""

from typing import Final

from unisono.base.errors import WireError
from unisono.base.group import Buffer
from unisono.base.ids import SECOND, Nanos
from unisono.crypto.cookies import NONCE_BYTES, SECRET_BYTES, CookieJar, is_first_mac
from unisono.crypto.keys import ClusterKeys
from unisono.secure.complaints import Reason
from unisono.secure.context import Context
from unisono.wire.ust.handshake import MAC_BYTES, Hello, encode_cookie
from unisono.wire.ust.header import Header, PacketType

HELLOS_PER_WAY: Final = 8
"""HELLOs a second, for each node and link of the configuration, above which cookies are asked."""
COOKIES_PER_WAY: Final = 64
"""Cookies sent in a second: they go to an address that anybody could have written."""
REPEATED_MAX: Final = 1_024
"""HELLOs of this second that are remembered, so that the same recording costs no second MAC."""


class Refused(WireError):
    """A handshake packet that was made with another key, or by nobody who has one."""

    def __init__(self, reason: Reason, theirs: str) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.theirs = theirs


class Gate:
    """One for a node; it counts the HELLOs of all."""

    __slots__ = ("_answered", "_context", "_cookies", "_count", "_jar", "_second", "_ways")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._jar = CookieJar()
        self._ways = 1
        self._second = Nanos(0)
        self._count = 0
        self._cookies = 0
        self._answered: set[bytes] = set()
        """First MACs of the HELLOs that were given no more than a cookie in this second."""

    def set_ways(self, ways: int) -> None:
        """How many pairs of node and link there are."""
        self._ways = max(ways, 1)

    def keys_of(self, header: Header, packet: Buffer) -> ClusterKeys:
        """The authkey that the packet was made with; Refused when it is not one of ours."""
        kid = header.key.to_bytes(4, "big")
        keys = self._context.ring.find(kid)
        if keys is None:
            retired = kid in self._context.ring.retired
            raise Refused(Reason.RETIRED_KEY if retired else Reason.KEY_DIFFERS, kid.hex())
        if header.type is not PacketType.COOKIE:
            body, mac = packet[: -2 * MAC_BYTES], bytes(packet[-2 * MAC_BYTES : -MAC_BYTES])
            if not is_first_mac(keys, body, mac):
                raise Refused(Reason.CORRUPT_OR_FORGED, "")
        return keys

    def is_busy(self) -> bool:
        """Count a HELLO with a good first MAC; whether there were too many of late."""
        self._count += 1
        return self._count > HELLOS_PER_WAY * self._ways

    def is_repeated(self, hello: Hello, now: Nanos) -> bool:
        """Whether this very HELLO came within the second: who really greets, greets anew."""
        if now - self._second >= SECOND:
            self._second = now
            self._count = self._cookies = 0
            self._answered.clear()
        return hello.mac1 in self._answered

    def may_answer(self, hello: Hello) -> bool:
        """Whether a cookie may still be sent in this second; asked once for each HELLO."""
        if len(self._answered) < REPEATED_MAX:
            self._answered.add(hello.mac1)
        self._cookies += 1
        return self._cookies <= COOKIES_PER_WAY * self._ways

    def shows_cookie(self, source: str, packet: Buffer, now: Nanos) -> bool:
        """Whether the sender has received a cookie at the address it writes from."""
        self._renew(now)
        mac2 = bytes(packet[-MAC_BYTES:])
        return self._jar.accepts(source.encode(), packet[:-MAC_BYTES], mac2)

    def cookie(self, keys: ClusterKeys, hello: Hello, source: str, now: Nanos) -> bytes:
        """A COOKIE that answers the HELLO."""
        self._renew(now)
        context = self._context
        nonce = context.entropy(NONCE_BYTES)
        issued = self._jar.issue(keys, source.encode(), nonce, hello.mac1)
        kid = int.from_bytes(keys.kid, "big")
        header = Header(PacketType.COOKIE, 0, kid, context.me, 0, 0)
        return encode_cookie(header, issued.nonce, issued.sealed)

    def _renew(self, now: Nanos) -> None:
        if self._jar.is_due(now):
            self._jar.renew(self._context.entropy(SECRET_BYTES), now)
