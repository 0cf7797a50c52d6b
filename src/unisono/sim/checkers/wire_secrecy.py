"""Wire secrecy: no message and no key is ever to be read from a packet.

Counterpart: the first promise of any encrypted transport; knet's crypto modules.
Keeps:       only what cannot be in a packet by chance is looked for: sixteen bytes that vary.
"""

from struct import Struct
from typing import Final

from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import PacketSent, Said, Secret
from unisono.wire.ust.header import HEADER_BYTES, MAGIC

PROBE_BYTES: Final = 16
VARIED_MIN: Final = 6
"""Bytes that differ, for a probe to be somebody's."""
_WORD: Final = 8
_PROBES_MAX: Final = 20_000
"""Messages of which a probe is kept: the first ones of a run."""


class WireSecrecy(Checker):
    """Fires on a packet with a piece of a message or of a key in it, or without any seal."""

    name = "wire secrecy"
    properties = (("secrecy", "no packet shows a message, an authkey or a key made of entropy"),)

    def __init__(self) -> None:
        self._probes: dict[int, tuple[str, bytes]] = {}
        """By any eight bytes of a probe: one such word stands on an eighth place of a packet."""
        self._known: set[bytes] = set()

    def on_secret(self, fact: Secret) -> None:
        """Every part of a key is a secret."""
        for begin in range(0, len(fact.key) - PROBE_BYTES + 1, PROBE_BYTES):
            self._look_for(fact.what, fact.key[begin : begin + PROBE_BYTES])

    def on_said(self, fact: Said) -> None:
        """Of a message, some bytes behind the number at its beginning."""
        if len(self._known) < _PROBES_MAX:
            self._look_for("a message", fact.payload[_WORD : _WORD + PROBE_BYTES])

    def _look_for(self, what: str, probe: bytes) -> None:
        if len(probe) < PROBE_BYTES or len(set(probe)) < VARIED_MIN or probe in self._known:
            return
        self._known.add(probe)
        for begin in range(PROBE_BYTES - _WORD + 1):
            word = int.from_bytes(probe[begin : begin + _WORD], "little")
            self._probes[word] = what, probe

    def on_packet_sent(self, fact: PacketSent) -> None:
        """Compare every eighth place with what must not be there."""
        packet = fact.packet
        if len(packet) < HEADER_BYTES or packet[0] != MAGIC:
            raise self.fail(fact.time, f"{fact.who} sent {len(packet)} bytes without a header")
        words = _words(len(packet) // _WORD).unpack_from(packet)
        if self._probes.keys().isdisjoint(words):
            return
        for word in words:
            what, probe = self._probes.get(word, ("", b""))
            if what and probe in packet:
                raise self.fail(
                    fact.time,
                    f"{what} can be read in a packet of {len(packet)} bytes from {fact.who}"
                    f" to {fact.target} over link {fact.link}",
                )


_layouts: dict[int, Struct] = {}


def _words(count: int) -> Struct:
    layout = _layouts.get(count)
    if layout is None:
        layout = _layouts[count] = Struct(f"<{count}Q")
    return layout
