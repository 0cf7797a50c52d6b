"""Hosts: what the configuration must ask of the machine it is read on, and address arithmetic.

Speaks:      `Resolver` and `LocalHost`, protocols that the executive implements and tests fill.
Counterpart: corosync exec/totemip.c, totemip_parse; getaddrinfo(3), getpwnam(3), uname(2).
Keeps:       numeric addresses never reach the resolver.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_FAMILIES: Final[dict[str, tuple[int, ...]]] = {
    "ipv4": (4,),
    "ipv6": (6,),
    "ipv4-6": (4, 6),
    "ipv6-4": (6, 4),
}
"""`totem.ip_version`: families that may be used, the preferred one first."""
_IPV4_LOOPBACK: Final = ipaddress.IPv4Network("127.0.0.0/8")


class Resolver(Protocol):
    """Turns names into numbers; every method answers nothing or None for what is unknown."""

    def resolve(self, name: str, ip_version: str) -> Sequence[str]:
        """Numeric addresses of a host, best first; `ip_version` as in totem, a hint only."""
        ...

    def user(self, name: str) -> int | None:
        """Number of a user."""
        ...

    def group(self, name: str) -> int | None:
        """Number of a group."""
        ...


class LocalHost(Protocol):
    """What is known of this machine."""

    @property
    def names(self) -> Sequence[str]:
        """The host name as uname(2) tells it, then names that its addresses resolve to, if any."""
        ...

    @property
    def addresses(self) -> Sequence[str]:
        """Numeric addresses of its interfaces: `192.0.2.7/24`, or without the prefix length."""
        ...

    @property
    def node_id(self) -> int | None:
        """The node id that the local node was told to be, None to find out by name and address."""
        ...


@dataclass(frozen=True, slots=True)
class StaticResolver:
    """A resolver that knows what it was given; enough for numeric addresses and for tests."""

    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)

    def resolve(self, name: str, ip_version: str) -> Sequence[str]:
        """The addresses given for `name`."""
        del ip_version
        return self.hosts.get(name, ())

    def user(self, name: str) -> int | None:
        """The number given for `name`."""
        return self.users.get(name)

    def group(self, name: str) -> int | None:
        """The number given for `name`."""
        return self.groups.get(name)


@dataclass(frozen=True, slots=True)
class StaticHost:
    """A machine described by its data."""

    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    node_id: int | None = None


def numeric(text: str) -> Address | None:
    """The address that `text` spells, a `%zone` and a `/prefix` included, or None."""
    try:
        return ipaddress.ip_address(text.partition("/")[0])
    except ValueError:
        return None


def resolve_address(text: str, ip_version: str, resolver: Resolver) -> str | None:
    """Numeric form of an address or name under `totem.ip_version`, None when there is none."""
    address = numeric(text) if "/" not in text else None
    if address is not None:
        return str(address) if address.version in _FAMILIES[ip_version] else None
    if not text:
        return None
    found = [numeric(answer) for answer in _ask(text, ip_version, resolver)]
    for family in _FAMILIES[ip_version]:
        for candidate in found:
            if candidate is not None and candidate.version == family:
                return str(candidate)
    return None


def _ask(name: str, ip_version: str, resolver: Resolver) -> Sequence[str]:
    try:
        return resolver.resolve(name, ip_version)
    except (OSError, ValueError):  # the system's resolver refuses labels that DNS cannot carry
        return ()


def is_local(address: str, local: LocalHost) -> bool:
    """Whether a socket can be bound to `address` here; 127.0.0.0/8 is local as a whole."""
    wanted = numeric(address)
    own = [found for found in map(numeric, local.addresses) if found is not None]
    if wanted is None or _without_zone(wanted) in [_without_zone(found) for found in own]:
        return wanted is not None
    loopback = wanted.version == 4 and wanted in _IPV4_LOOPBACK
    return loopback and any(found.version == 4 and found.is_loopback for found in own)


def match_network(network: str, local: LocalHost) -> str | None:
    """The local address that `network` means: itself, or the first in the same IPv4 subnet."""
    wanted = numeric(network)
    if wanted is None:
        return None
    if is_local(network, local):
        return str(wanted)
    for text in local.addresses if wanted.version == 4 else ():
        try:
            interface = ipaddress.ip_interface(text)
        except ValueError:
            continue
        if interface.version == 4 and wanted in interface.network:
            return str(interface.ip)
    return None


def same_address(first: str, second: str) -> bool:
    """Whether two numeric addresses are one; zones are left aside, as Corosync does."""
    one, two = numeric(first), numeric(second)
    return one is not None and two is not None and _without_zone(one) == _without_zone(two)


def _without_zone(address: Address) -> Address:
    return ipaddress.ip_address(address.packed)
