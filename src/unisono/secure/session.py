"""Session: the keys that one handshake gave to two nodes, and what travels under them.

Speaks:      `seal(records) -> packet`, `open(header, packet) -> records`.
Counterpart: a WireGuard key pair.
Keeps:       each packet opens once.
"""

from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidTag

from unisono.base.errors import WireError
from unisono.base.group import Buffer
from unisono.base.ids import SECOND, Nanos, NodeId
from unisono.crypto.noise import Secrets
from unisono.crypto.replay import Window
from unisono.crypto.sender_keys import Cipher
from unisono.wire.ust.handshake import Payload
from unisono.wire.ust.header import HEADER_BYTES, Header, PacketType, encode_nonce
from unisono.wire.ust.records import Record, decode_records, encode_records

PAIR_WINDOW: Final = 1_024
SESSION_RENEW_NS: Final = 120 * SECOND
"""Age at which the lower node id makes a new session."""
SESSION_OLD_NS: Final = 180 * SECOND
"""Age at which somebody should look why no newer one could be made."""
SESSION_PACKETS_MAX: Final = 1 << 20
"""Packets sent in one session before a new one is due."""
SALT_BYTES: Final = 4
SESSION_LINGER_NS: Final = 10 * SECOND
"""How long a session is still read after its successor was confirmed."""


class Forged(WireError):
    """A packet that nobody sealed who holds the session's keys."""


class Replayed(WireError):
    """A genuine packet that has come before."""


class Session:
    """One session with one peer, seen from one side."""

    __slots__ = (
        "_counter", "_me", "_receive", "_send", "_window", "born", "index", "kid", "name", "peer",
        "read_until",
    )  # fmt: skip

    def __init__(
        self,
        me: NodeId,
        cipher: Cipher,
        index: int,
        peer: Payload,
        secrets: Secrets,
        kid: bytes,
        now: Nanos,
    ) -> None:
        """`index` is our number; `peer` what the peer told of itself; `kid` names the authkey."""
        self._me = me
        self._send = cipher(secrets.send)
        self._receive = cipher(secrets.receive)
        self._window = Window(PAIR_WINDOW)
        self._counter = 0
        self.index = index
        self.peer = peer
        self.name = secrets.hash[:8].hex()
        """For logs: the same at both ends, and no secret."""
        self.born = now
        self.kid = kid
        self.read_until: Nanos | None = None
        """Set when a successor took over."""

    @property
    def is_worn(self) -> bool:
        """Whether so much was sent that a new session is due."""
        return self._counter >= SESSION_PACKETS_MAX

    def seal(self, records: Iterable[Record], salt: bytes) -> bytes:
        """A PAIR packet; `salt` is 4 fresh random bytes.

        A machine that is rolled back to a snapshot counts anew; the salt keeps its nonces apart.
        """
        counter = self._counter
        self._counter = counter + 1
        number = int.from_bytes(salt, "big")
        header = Header(PacketType.PAIR, 0, self.peer.session, self._me, number, counter).encode()
        nonce = encode_nonce(number, counter)
        return header + self._send.encrypt(nonce, encode_records(records), header)

    def open(self, header: Header, packet: Buffer) -> list[Record]:
        """The records of a PAIR packet; Forged, Replayed, or WireError for nonsense within."""
        view = memoryview(packet)
        nonce = encode_nonce(header.salt, header.counter)
        try:
            body = self._receive.decrypt(nonce, view[HEADER_BYTES:], view[:HEADER_BYTES])
        except InvalidTag:
            raise Forged("packet that does not open") from None
        if not self._window.accept(header.counter):
            raise Replayed(f"packet {header.counter} again")
        return decode_records(body)
