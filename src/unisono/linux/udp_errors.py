"""The error queue of a UDP socket: what the network and the kernel say of datagrams sent before.

Speaks:      IP_RECVERR and IPV6_RECVERR, recvmsg(2) with MSG_ERRQUEUE, struct sock_extended_err.
Counterpart: ip(7), ipv6(7); libknet's transport_udp.c reads the same queue.
Keeps:       an ICMP message can be forged by anybody: what is told here is a hint.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

IP_RECVERR: Final = 11
IPV6_RECVERR: Final = 25
MSG_ERRQUEUE: Final = 0x2000
READ_MAX: Final = 64
"""Errors taken from one queue at a time (ours)."""
_ERROR_LAYOUT: Final = struct.Struct("=IBBBBII")
"""struct sock_extended_err: errno, origin, type, code, padding, info, data."""
assert _ERROR_LAYOUT.size == 16
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_ERROR_LAYOUT.size + 28)
"""The error, and a struct sockaddr_in6 of whoever complained."""
_ORIGIN_LOCAL: Final = 1
_ORIGIN_ICMP: Final = 2
_ORIGIN_ICMP6: Final = 3
_PORT_UNREACHABLE: Final = {(_ORIGIN_ICMP, 3, 3), (_ORIGIN_ICMP6, 1, 4)}
"""ICMP destination unreachable, port (RFC 792); ICMPv6 the same (RFC 4443)."""


class Complaint(IntEnum):
    """What a queued error says, as far as anybody here wants to know."""

    OTHER = 0
    PORT_CLOSED = 1
    """The host is there; nobody listens at that port."""
    TOO_LARGE = 2
    """This host refused to send: the device takes packets of `mtu_bytes`."""


class UdpError(NamedTuple):
    """One queued error: where the datagram was to go, in recvmsg()'s spelling."""

    complaint: Complaint
    address: tuple[str, int]
    mtu_bytes: int = 0


def queue_errors(sock: socket.socket) -> None:
    """Have errors queued; OSError. The next send or receive may also fail once with the newest."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)


def read_errors(sock: socket.socket) -> Iterator[UdpError]:
    """Take what is queued, READ_MAX errors at most; a non-blocking socket."""
    for _ in range(READ_MAX):
        try:
            _, ancillary, _, address = sock.recvmsg(0, _ANCILLARY_BYTES, MSG_ERRQUEUE)
        except OSError:  # EAGAIN: the queue is empty
            return
        for level, kind, data in ancillary:
            if (level, kind) in _LEVELS and len(data) >= _ERROR_LAYOUT.size:
                yield _understood(data, address)


_LEVELS: Final = {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}


def _understood(data: bytes, address: tuple[str, int]) -> UdpError:
    number, origin, kind, code, _, info, _ = _ERROR_LAYOUT.unpack_from(data)
    if (origin, kind, code) in _PORT_UNREACHABLE:
        return UdpError(Complaint.PORT_CLOSED, address)
    if origin == _ORIGIN_LOCAL and number == errno.EMSGSIZE:
        return UdpError(Complaint.TOO_LARGE, address, info)
    return UdpError(Complaint.OTHER, address)
