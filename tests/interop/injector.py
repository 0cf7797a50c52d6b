"""An injector beside the path: it sees every frame and slips forged pieces in before the true ones.

injector.py SWITCH_PID SECONDS      ends with its standard input, and prints what it did, as JSON

It stands at the switch, jumps the queue of the port that leads to the receiver, and overwrites the
last pieces of every frame that was sealed as a whole.
"""

import json
import os
import select
import socket
import sys
import time
from struct import Struct
from typing import Final, NamedTuple

from tests.interop.intruder import Recorder, inside
from unisono.base.errors import WireError
from unisono.wire.ust.header import HEADER_BYTES, Flag, PacketType, decode_header
from unisono.wire.ust.pieces import PIECE_HEADER_BYTES, decode_piece

SPOILED_PIECES: Final = 4
_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20
_IP: Final = Struct(">BBHHHBBH4s4s")
_UDP: Final = Struct(">HHHH")
_ETHERNET: Final = Struct(">6s6sH")
_LEAD_BYTES: Final = HEADER_BYTES + PIECE_HEADER_BYTES
_NUMBER_AT: Final = HEADER_BYTES + 8


class Switch(NamedTuple):
    """What `inside` and Recorder want to know of the laboratory."""

    pid: int

    @property
    def switch(self) -> "Switch":
        return self


def _checksum(header: bytes) -> int:
    total = sum(Struct(">10H").unpack(header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def enclose(
    ethernet: bytes, source: tuple[str, int], target: tuple[str, int], data: bytes
) -> bytes:
    """The Ethernet frame of one datagram over IPv4, without a UDP checksum."""
    addresses = socket.inet_aton(source[0]), socket.inet_aton(target[0])
    size = _IP.size + _UDP.size + len(data)
    ip = _IP.pack(0x45, 0, size, 0, 0x4000, 64, socket.IPPROTO_UDP, 0, *addresses)
    ip = ip[:10] + _checksum(ip).to_bytes(2, "big") + ip[12:]
    return ethernet + ip + _UDP.pack(source[1], target[1], _UDP.size + len(data), 0) + data


def forge(packet: bytes) -> list[bytes]:
    """Other last pieces for the frame of this piece; none if it is no piece that can be forged."""
    try:
        header = decode_header(packet)
        if header.type is not PacketType.GROUP or not header.flags & Flag.PIECE:
            return []
        piece = decode_piece(packet[HEADER_BYTES:])
    except WireError:
        return []
    lead = packet[:_NUMBER_AT]
    rest = packet[_NUMBER_AT + 2 : _LEAD_BYTES]
    numbers = range(max(piece.number + 1, piece.pieces - SPOILED_PIECES), piece.pieces)
    return [
        lead
        + number.to_bytes(2, "big")
        + rest
        + os.urandom(min(piece.step, piece.total - number * piece.step))
        for number in numbers
    ]


class Injector:
    """Reads at the bridge, writes at its ports."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._recorder = Recorder(switch)
        self._ports: dict[str, tuple[socket.socket, bytes]] = {}
        self._attacked: dict[tuple[str, bytes], None] = {}
        """Receivers and frames that have had their share."""
        self.frames = self.forged = self.seen = 0

    def run(self, seconds: float) -> None:
        """Attack every frame, once for each receiver, for so long at most."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self._recorder, sys.stdin], [], [], left)
            if sys.stdin in ready:
                return
            for source, target, data in self._recorder.take():
                self.seen += 1
                key = target[0], data[: HEADER_BYTES + 8]
                if key not in self._attacked and len(data) > HEADER_BYTES:
                    self._attacked[key] = None
                    self._attack(source, target, data)

    def _attack(self, source: tuple[str, int], target: tuple[str, int], data: bytes) -> None:
        forged = forge(data)
        if not forged:
            return
        port, ethernet = self._port(target[0])
        for packet in forged:
            port.send(enclose(ethernet, source, target, packet))
        self.frames += 1
        self.forged += len(forged)

    def _port(self, address: str) -> tuple[socket.socket, bytes]:
        """The way to a host that jumps the queue, and the Ethernet header for it."""
        if address not in self._ports:
            name = f"port{address.rpartition('.')[2]}"
            with inside(self._switch):
                port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                port.bind((name, 0))
            port.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
            # To everybody: the host takes what is for its address, whatever the card's.
            self._ports[address] = port, _ETHERNET.pack(b"\xff" * 6, b"\2" + bytes(5), 0x0800)
        return self._ports[address]


if __name__ == "__main__":
    os.nice(-10)  # it must be there before the frame is
    injector = Injector(Switch(int(sys.argv[1])))
    print("ready", flush=True)
    injector.run(float(sys.argv[2]))
    told = {"seen": injector.seen, "frames": injector.frames, "forged": injector.forged}
    print(json.dumps(told), flush=True)
