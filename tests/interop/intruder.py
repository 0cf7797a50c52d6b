"""An intruder on the wire: it records what passes the bridge, and sends what it likes as anybody.

Speaks:      `Recorder(network)` and `Impostor(host)`; both deal in `Datagram`.
Counterpart: packet(7), ip(7) IP_TRANSPARENT, udp(7) UDP_SEGMENT.
Keeps:       the sockets live in the laboratory's namespaces, this process stays outside; a large
             datagram that the kernel has not cut yet is recorded as the datagrams that it stands
             for.
Never:       holds a key.
"""

import ctypes
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Final, NamedTuple, Protocol, Self

Address = tuple[str, int]

_CLONE_NEWNET: Final = 0x4000_0000
_ETH_P_IP: Final = 0x0800
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_VNET_HDR = 263, 1, 15
_PACKET_MR_PROMISC: Final = 1
_MEMBERSHIP: Final = Struct("iHH8s")
_SO_RCVBUFFORCE: Final = 33
_SO_SNDBUFFORCE: Final = 32
_IP_TRANSPARENT: Final = 19
UDP_SEGMENT: Final = 103

_VNET: Final = Struct("<BBHHHH")
_ETHERNET_BYTES: Final = 14
_UDP: Final = Struct(">HHHH")
_PROTOCOL_UDP: Final = 17
_FRAGMENT: Final = 0x3FFF
"""More-fragments and offset of an IPv4 header."""
_PACKET_BYTES_MAX: Final = 1 << 17
RECORD_BYTES_MAX: Final = 64 << 20
"""What a recorder keeps; later datagrams are not recorded."""


class Host(Protocol):
    """Anything that knows a process inside a host, such as a Namespace."""

    @property
    def pid(self) -> int: ...


class Wire(Protocol):
    """Anything that knows where the bridge is, such as a Network."""

    @property
    def switch(self) -> Host: ...


class Datagram(NamedTuple):
    """One UDP datagram as it passed."""

    source: Address
    target: Address
    data: bytes


@contextmanager
def inside(host: Host) -> Iterator[None]:
    """This thread makes its sockets in the network of that host, until the block ends."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor: int) -> None:
        if libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"/proc/{host.pid}/ns/net", os.O_RDONLY)
        try:
            enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(home)


class Recorder:
    """Keeps every UDP datagram over IPv4 that passes the bridge, from the start on."""

    def __init__(self, network: Wire, device: str = "side0") -> None:
        with inside(network.switch):
            kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
            self._socket = socket.socket(socket.AF_PACKET, kind, 0)
            index = socket.if_nametoindex(device)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECORD_BYTES_MAX // 2)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        promiscuous = _MEMBERSHIP.pack(index, _PACKET_MR_PROMISC, 0, bytes(8))
        self._socket.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, promiscuous)
        self._socket.bind((device, _ETH_P_IP))

    def fileno(self) -> int:
        return self._socket.fileno()

    def take(self) -> list[Datagram]:
        """What has passed since the last call, in order."""
        taken: list[Datagram] = []
        while True:
            try:
                packet = self._socket.recv(_PACKET_BYTES_MAX)
            except BlockingIOError:
                return taken
            taken += parse(packet)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def parse(packet: bytes) -> list[Datagram]:
    """The datagrams in what a packet socket with PACKET_VNET_HDR read; none if it is not UDP."""
    segment_bytes = _VNET.unpack_from(packet)[3]
    ip = _VNET.size + _ETHERNET_BYTES
    fragment = int.from_bytes(packet[ip + 6 : ip + 8], "big") & _FRAGMENT
    if packet[ip] >> 4 != 4 or packet[ip + 9] != _PROTOCOL_UDP or fragment:
        return []
    udp = ip + 4 * (packet[ip] & 0x0F)
    source_port, target_port, length, _ = _UDP.unpack_from(packet, udp)
    source = socket.inet_ntoa(packet[ip + 12 : ip + 16]), source_port
    target = socket.inet_ntoa(packet[ip + 16 : ip + 20]), target_port
    data = packet[udp + _UDP.size : udp + length]
    step = segment_bytes or len(data)
    return [
        Datagram(source, target, data[at : at + step]) for at in range(0, len(data), max(step, 1))
    ]


class Impostor:
    """Sends datagrams from one host with any source address; the host need not own it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._sockets: dict[Address, socket.socket] = {}

    def as_source(self, source: Address) -> socket.socket:
        """A UDP socket that sends as `source`; the receiver cannot tell it from the real one."""
        if source not in self._sockets:
            with inside(self._host):
                made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sockets[source] = made
            made.setsockopt(socket.SOL_IP, _IP_TRANSPARENT, 1)
            made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 8 << 20)
            made.bind(source)
        return self._sockets[source]

    def send(self, datagrams: Iterable[Datagram]) -> None:
        """Send these as their recorded sources to their recorded targets."""
        for source, target, data in datagrams:
            self.as_source(source).sendto(data, target)

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
