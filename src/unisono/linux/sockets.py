"""Socket options of Linux that the standard library does not name: UDP batches, multicast, buffers.

Speaks:      UDP_SEGMENT, UDP_GRO, IP and IPv6 multicast options, SO_*BUFFORCE, *_MTU_DISCOVER.
Counterpart: udp(7), ip(7), ipv6(7), socket(7); corosync exec/totemudp.c, totemudpu.c.
Keeps:       an option that is refused is answered with False or the value in force, never raised,
             unless the socket is of no use without it.
Never:       reads or writes datagrams (transport).
"""

import contextlib
import errno
import socket
import struct
from collections.abc import Iterable
from typing import Final, TypeAlias

from unisono.base.limits import UDP_PAYLOAD_BYTES_MAX

SOL_UDP: Final = socket.IPPROTO_UDP
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
SO_SNDBUFFORCE: Final = 32
SO_RCVBUFFORCE: Final = 33
IP_MULTICAST_ALL: Final = 49
IPV6_MULTICAST_ALL: Final = 29
IP_MTU_DISCOVER: Final = 10
IPV6_MTU_DISCOVER: Final = 23
PMTUDISC_PROBE: Final = 3
"""Never fragment, and believe nobody about the path: only the device's own MTU counts."""
_IPV4_UDP_HEADER_BYTES: Final = 28
_IPV6_UDP_HEADER_BYTES: Final = 48

PRIORITY_INTERACTIVE: Final = 6
"""SO_PRIORITY of ring traffic, TC_PRIO_INTERACTIVE, as Corosync sets it."""
GRO_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(4)
"""Room for the one control message that UDP_GRO adds."""

MREQN_LAYOUT: Final = struct.Struct("=4s4si")
assert MREQN_LAYOUT.size == 12
IPV6_MREQ_LAYOUT: Final = struct.Struct("=16sI")
assert IPV6_MREQ_LAYOUT.size == 20
INT_LAYOUT: Final = struct.Struct("=i")
assert INT_LAYOUT.size == 4
SEGMENT_LAYOUT: Final = struct.Struct("=H")
assert SEGMENT_LAYOUT.size == 2

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
Ancillary: TypeAlias = tuple[int, int, bytes]


def family_of(address: str) -> socket.AddressFamily:
    """AF_INET6 for a numeric IPv6 address (a `%zone` is allowed), else AF_INET."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def socket_address(address: str, port: int) -> SocketAddress:
    """The tuple that bind() and sendto() want; a zone becomes the index of its interface."""
    if ":" not in address:
        return (address, port)
    text, _, zone = address.partition("%")
    index = 0
    if zone:
        index = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    return (text, port, 0, index)


def open_udp(address: SocketAddress, *, shared: bool = False) -> socket.socket:
    """A non-blocking UDP socket bound to `address`; OSError when it cannot be bound.

    `shared` sets SO_REUSEADDR (several multicast receivers on one host).
    """
    family = family_of(address[0])
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    with contextlib.suppress(OSError):  # a container may forbid it; only a hint to the queue
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, PRIORITY_INTERACTIVE)
    return sock


def is_bindable(address: SocketAddress) -> bool:
    """Whether a socket can be bound to the address (any port) now.

    Not yet for an IPv6 address while the kernel looks for duplicates of it.
    """
    try:
        open_udp((address[0], 0, *address[2:])).close()
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def grow_buffers(sock: socket.socket, wanted_bytes: int) -> int:
    """Ask for `wanted_bytes` of receive and send buffer; the smaller of what is now in force."""
    granted = []
    for option, force in (
        (socket.SO_RCVBUF, SO_RCVBUFFORCE),
        (socket.SO_SNDBUF, SO_SNDBUFFORCE),
    ):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, wanted_bytes)
        except OSError:
            sock.setsockopt(socket.SOL_SOCKET, option, wanted_bytes)
        # The kernel doubles the figure for its own bookkeeping (socket(7)).
        granted.append(sock.getsockopt(socket.SOL_SOCKET, option) // 2)
    return min(granted)


def enable_receive_offload(sock: socket.socket) -> bool:
    """UDP_GRO: let one read return several datagrams of equal size; False on an old kernel."""
    try:
        sock.setsockopt(SOL_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


def segment_ancillary(segment_bytes: int) -> list[Ancillary]:
    """Control messages that make one sendmsg() leave as datagrams of `segment_bytes` each."""
    return [(SOL_UDP, UDP_SEGMENT, SEGMENT_LAYOUT.pack(segment_bytes))]


def received_segment_bytes(ancillary: Iterable[Ancillary]) -> int:
    """Size of the datagrams that one read joined; 0 when it returned a single datagram."""
    for level, kind, data in ancillary:
        if level == SOL_UDP and kind == UDP_GRO and len(data) >= INT_LAYOUT.size:
            size: int = INT_LAYOUT.unpack_from(data)[0]
            return max(size, 0)
    return 0


def never_fragment(sock: socket.socket) -> None:
    """What is larger than the device takes is refused with EMSGSIZE, never cut; OSError."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)


def udp_header_bytes(family: int) -> int:
    """What IP, without options, and UDP put before the payload."""
    return _IPV6_UDP_HEADER_BYTES if family == socket.AF_INET6 else _IPV4_UDP_HEADER_BYTES


def udp_room(family: int, mtu_bytes: int) -> int:
    """Largest UDP payload that fits into one IP packet of `mtu_bytes`."""
    return max(0, min(mtu_bytes - udp_header_bytes(family), UDP_PAYLOAD_BYTES_MAX))


def set_multicast_sender(
    sock: socket.socket, local: SocketAddress, *, interface_index: int, ttl: int
) -> None:
    """Send multicasts from `local` out of the interface, `ttl` hops far, heard on this host too."""
    if sock.family == socket.AF_INET:
        request = MREQN_LAYOUT.pack(bytes(4), socket.inet_aton(local[0]), interface_index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        return
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface_index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)


def join_group(sock: socket.socket, group: str, *, interface_index: int) -> None:
    """Receive the multicast `group` on that interface and no group that others have joined."""
    if sock.family == socket.AF_INET:
        request = MREQN_LAYOUT.pack(socket.inet_aton(group), bytes(4), interface_index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        level, option = socket.IPPROTO_IP, IP_MULTICAST_ALL
    else:
        packed = socket.inet_pton(socket.AF_INET6, group)
        request = IPV6_MREQ_LAYOUT.pack(packed, interface_index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        level, option = socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL
    with contextlib.suppress(OSError):  # IPv6: since Linux 4.20
        sock.setsockopt(level, option, 0)


def allow_broadcast(sock: socket.socket) -> None:
    """Let `sock` send to 255.255.255.255."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
