"""Network interfaces of this host and their addresses, as the kernel tells them.

Speaks:      getifaddrs(3) through ctypes; glibc and musl have it; netdevice(7), SIOCGIFMTU.
Counterpart: corosync exec/totemip.c, totemip_getifaddrs.
Keeps:       an address of the loopback network (127.0.0.0/8) counts as local although only
             127.0.0.1 is listed.
"""

import ctypes
import fcntl
import ipaddress
import socket
import struct
from typing import Final, NamedTuple

LISTED_MAX: Final = 65_536
"""Entries read at most (ours); the kernel's list is finite, a damaged one would not be."""
_FAMILY_LAYOUT_BYTES: Final = {socket.AF_INET: (4, 4), socket.AF_INET6: (8, 16)}
_IFF_UP: Final = 1
_IFF_LOOPBACK: Final = 8
SIOCGIFMTU: Final = 0x8921
_IFREQ_LAYOUT: Final = struct.Struct("=16si20x")
"""struct ifreq of a 64-bit kernel: the name, then the MTU."""
assert _IFREQ_LAYOUT.size == 40


class LocalAddress(NamedTuple):
    """One address of one interface: numeric text, prefix length, interface name and index."""

    address: str
    prefix_length: int
    interface: str
    interface_index: int
    is_loopback: bool


class _IfAddrs(ctypes.Structure):
    """struct ifaddrs."""


_IfAddrs._fields_ = [
    ("next", ctypes.POINTER(_IfAddrs)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
    ("netmask", ctypes.c_void_p),
    ("other", ctypes.c_void_p),
    ("data", ctypes.c_void_p),
]


def local_addresses() -> list[LocalAddress]:
    """IPv4 and IPv6 addresses of every interface that is up; OSError when the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    first = ctypes.POINTER(_IfAddrs)()
    if libc.getifaddrs(ctypes.byref(first)) != 0:
        raise OSError(ctypes.get_errno(), "getifaddrs")
    try:
        return _collect(first)
    finally:
        libc.freeifaddrs(first)


def _collect(entry: "ctypes._Pointer[_IfAddrs]") -> list[LocalAddress]:
    found = []
    for _ in range(LISTED_MAX):
        if not bool(entry):  # a null pointer ends the list
            break
        row = entry.contents
        packed = _packed_address(row.address)
        mask = _packed_address(row.netmask)
        if packed is not None and row.flags & _IFF_UP:
            name = row.name.decode(errors="surrogateescape")
            prefix = sum(byte.bit_count() for byte in mask) if mask else len(packed) * 8
            found.append(
                LocalAddress(
                    str(ipaddress.ip_address(packed)),
                    prefix,
                    name,
                    _index_of(name),
                    bool(row.flags & _IFF_LOOPBACK),
                )
            )
        entry = row.next
    return found


def _packed_address(pointer: int | None) -> bytes | None:
    """Address bytes of a struct sockaddr, None for another family."""
    if not pointer:
        return None
    family = ctypes.c_ushort.from_address(pointer).value
    layout = _FAMILY_LAYOUT_BYTES.get(family)  # type: ignore[call-overload]  # int equals the enum
    if layout is None:
        return None
    offset, size = layout
    return ctypes.string_at(pointer + offset, size)


def _index_of(name: str) -> int:
    try:
        return socket.if_nametoindex(name.partition(":")[0])
    except OSError:
        return 0


def interface_of(address: str) -> LocalAddress | None:
    """The entry that makes `address` (numeric, `%zone` allowed) local, or None."""
    text, _, zone = address.partition("%")
    wanted = ipaddress.ip_address(text)
    entries = [entry for entry in local_addresses() if not zone or _is_zone(entry, zone)]
    for entry in entries:
        if ipaddress.ip_address(entry.address) == wanted:
            return entry
    for entry in entries:
        network = ipaddress.ip_network(f"{entry.address}/{entry.prefix_length}", strict=False)
        if entry.is_loopback and wanted in network:
            return entry
    return None


def _is_zone(entry: LocalAddress, zone: str) -> bool:
    return zone in (entry.interface, str(entry.interface_index))


def interface_mtu(sock: socket.socket, interface: str) -> int:
    """MTU in bytes of an interface; OSError when there is none of that name. Any socket will do."""
    request = _IFREQ_LAYOUT.pack(interface.encode(errors="surrogateescape"), 0)
    answer: tuple[bytes, int] = _IFREQ_LAYOUT.unpack(fcntl.ioctl(sock, SIOCGIFMTU, request))
    return answer[1]
