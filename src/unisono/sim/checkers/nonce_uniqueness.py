"""Nonce uniqueness: no key ever seals twice with the same nonce, and no key has two writers.

Counterpart: NIST SP 800-38D, section 8: a repeated nonce gives AES-GCM away.
Keeps:       seals are noted where they are made; handshakes and sessions are seen on the wire, too.
"""

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.fabric import packet_type
from unisono.sim.trace import PacketSent, Process, Sealed
from unisono.wire.ust.handshake import ANSWER_BYTES, HELLO_BYTES
from unisono.wire.ust.header import HEADER_BYTES, PacketType

_EPHEMERAL_BYTES = 32
_NOISE_AT = {PacketType.HELLO: HEADER_BYTES + 4, PacketType.ANSWER: HEADER_BYTES + 8}
_SIZE_OF = {PacketType.HELLO: HELLO_BYTES, PacketType.ANSWER: ANSWER_BYTES}
_MAC2_BYTES = 16


class NonceUniqueness(Checker):
    """Fires on a second seal with one key and nonce, and on an ephemeral key in two handshakes."""

    name = "nonce uniqueness"
    properties = (("nonces", "no key seals twice with one nonce, no ephemeral key comes twice"),)

    def __init__(self) -> None:
        self._nonces: dict[bytes, set[bytes]] = {}
        self._writers: dict[bytes, NodeId] = {}
        self._ephemerals: dict[bytes, bytes] = {}
        self._pairs: dict[tuple[Process, NodeId, bytes], bytes] = {}

    def on_sealed(self, fact: Sealed) -> None:
        """The key has one writer, who has not used this nonce."""
        writer = self._writers.setdefault(fact.key, fact.who.node)
        nonces = self._nonces.setdefault(fact.key, set())
        if writer != fact.who.node or fact.nonce in nonces:
            raise self.fail(
                fact.time,
                f"{fact.who} seals with nonce {fact.nonce.hex()} under a key of node {writer}"
                f" that has sealed {len(nonces)} times",
            )
        nonces.add(fact.nonce)

    def on_packet_sent(self, fact: PacketSent) -> None:
        """Handshakes have fresh keys; in a session each place seals one packet."""
        kind = packet_type(fact.packet)
        if kind is PacketType.PAIR:
            # Header: whose session, who sends, salt and counter; a copy over two links is the same.
            place = (fact.who, fact.target, fact.packet[4:HEADER_BYTES])
            before = self._pairs.setdefault(place, fact.packet)
            if before != fact.packet:
                raise self.fail(
                    fact.time,
                    f"{fact.who} sealed two packets for {fact.target} under one session's number,"
                    f" salt and counter {fact.packet[12:HEADER_BYTES].hex()}",
                )
        elif kind in (PacketType.HELLO, PacketType.ANSWER):
            self._on_handshake(fact, PacketType(kind))

    def _on_handshake(self, fact: PacketSent, kind: PacketType) -> None:
        if len(fact.packet) != _SIZE_OF[kind]:
            raise self.fail(fact.time, f"{kind.name} of {len(fact.packet)} bytes")
        begin = _NOISE_AT[kind]
        ephemeral = fact.packet[begin : begin + _EPHEMERAL_BYTES]
        said = fact.packet[:-_MAC2_BYTES]
        if self._ephemerals.setdefault(ephemeral, said) != said:
            raise self.fail(fact.time, f"{fact.who} uses an ephemeral key in two handshakes")
