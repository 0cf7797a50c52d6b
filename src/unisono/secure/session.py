"""Session: the keys that one handshake gave to two nodes, and what travels under them.

Speaks:      `seal(records) -> packet`, `open(header, packet) -> records`.
Counterpart: a WireGuard key pair.
Keeps:       each packet opens once; a session that was not confirmed by a packet of the peer may
             have been asked for by a replay, so nothing secret is sent in it.
"""

from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from unisono.base.group import Buffer
from unisono.base.ids import SECOND, Nanos, NodeId
from unisono.crypto.noise import Secrets
from unisono.crypto.replay import Window
from unisono.wire.ust.handshake import Payload
from unisono.wire.ust.header import HEADER_BYTES, Header, PacketType, encode_nonce
from unisono.wire.ust.records import Record, decode_records, encode_records

PAIR_WINDOW: Final = 1_024
SESSION_RENEW_NS: Final = 120 * SECOND
"""Age at which the lower node id makes a new session."""
SESSION_LINGER_NS: Final = 10 * SECOND
"""How long a session is still read after its successor was confirmed."""


class Session:
    """One session with one peer, seen from one side."""

    __slots__ = ("_counter", "_me", "_receive", "_send", "_window", "born", "index", "is_confirmed",
                 "name", "peer", "read_until")  # fmt: skip

    def __init__(
        self,
        me: NodeId,
        index: int,
        peer: Payload,
        secrets: Secrets,
        now: Nanos,
        *,
        confirmed: bool,
    ) -> None:
        """`index` is our number for it; `peer` is what the peer told of itself."""
        self._me = me
        self._send = AESGCM(secrets.send)
        self._receive = AESGCM(secrets.receive)
        self._window = Window(PAIR_WINDOW)
        self._counter = 0
        self.index = index
        self.peer = peer
        self.name = secrets.hash[:8].hex()
        """For logs: the same at both ends, and no secret."""
        self.born = now
        self.is_confirmed = confirmed
        self.read_until: Nanos | None = None
        """Set when a successor took over."""

    def seal(self, records: Iterable[Record]) -> bytes:
        """A PAIR packet."""
        counter = self._counter
        self._counter = counter + 1
        header = Header(PacketType.PAIR, 0, self.peer.session, self._me, 0, counter).encode()
        return header + self._send.encrypt(
            encode_nonce(0, counter), encode_records(records), header
        )

    def open(self, header: Header, packet: Buffer) -> list[Record] | None:
        """The records of a PAIR packet; None when it is forged or comes again. WireError."""
        view = memoryview(packet)
        nonce = encode_nonce(header.salt, header.counter)
        try:
            body = self._receive.decrypt(nonce, view[HEADER_BYTES:], view[:HEADER_BYTES])
        except InvalidTag:
            return None
        if not self._window.accept(header.counter):
            return None
        return decode_records(body)
