"""Network: which transport the ring uses, and its addresses and port.

Counterpart: corosync exec/totemconfig.c, get_interface_params, get_cluster_mcast_addr,
             totem_config_validate.
Keeps:       nothing is silently unauthenticated: without a transport it is the secure one, and
             crypto that a transport cannot do is refused.
"""

import ipaddress
from typing import Final

from unisono.base.ids import SECOND
from unisono.config.document import Block, Document
from unisono.config.grammar import shown
from unisono.config.hosts import Resolver, numeric, resolve_address
from unisono.config.links import check_interfaces, link_settings
from unisono.config.local import ip_version_of
from unisono.config.nodes import NodeList
from unisono.config.problems import Report
from unisono.config.security import (
    check_cluster_name,
    check_crypto,
    cipher_of,
    refuse_crypto,
    secret_of,
)
from unisono.config.settings import UDP, UST, SecureSettings, TransportSettings
from unisono.config.timers import token_ms

_BROADCAST: Final = "255.255.255.255"
_CLUSTER_ID_MASK: Final = 0xFFFF
_UDP_PORT_MIN: Final = 2
"""udp sends from the port below."""
_MTU_MIN: Final = 1280
_MTU_MAX: Final = 65_535
"""knet_mtu: what every IPv6 path carries (RFC 8200), and the largest IPv4 packet."""


def transport_kind(document: Document, report: Report) -> str:
    """`ust`, `udpu` or `udp`; after a refusal reading goes on as ust, which allows most."""
    totem = document.section("totem")
    kind = totem.text("transport")
    if "transport" in totem.refused:
        return UST
    if kind == UST:
        check_crypto(totem, report)
        check_cluster_name(totem, report)
        if totem.has("netmtu"):
            report.warning(
                totem.place_of("netmtu"),
                "totem.netmtu",
                f"is ignored by transport {UST}, which finds out what each link carries",
            )
        return UST
    report.warning(
        totem.place_of("transport"),
        "totem.transport",
        f"{kind} does not authenticate: whoever can send to the ring's port can speak in it",
    )
    refuse_crypto(totem, kind, report)
    return kind


def secure_settings(
    document: Document, found: NodeList | None, key_file: str, report: Report
) -> TransportSettings:
    """Settings of transport ust; `key_file` is the cluster key's file when totem.key is not it."""
    totem = document.section("totem")
    addresses = found.local.addresses if found else ()
    used = {link for node in (found.nodes if found else ()) for link in _links(node.addresses)}
    if found:
        check_interfaces(document, used, report)
    token = token_ms(totem, len(document.nodes))
    links = link_settings(document, _links(addresses), token, report)
    mtu = totem.number("knet_mtu")
    if mtu and not _MTU_MIN <= mtu <= _MTU_MAX:
        report.error(
            totem.place_of("knet_mtu"),
            "totem.knet_mtu",
            f"found {mtu}; allowed with transport {UST}: 0 or {_MTU_MIN}..{_MTU_MAX} bytes",
        )
    return TransportSettings(
        kind=UST,
        bind_address=addresses[links[0].number] if links else "",
        port=links[0].port if links else 0,
        block_unlisted_ips=totem.switch("block_unlisted_ips"),
        secure=SecureSettings(
            cipher=cipher_of(totem),
            key_file=key_file,
            key=secret_of(totem, report),
            link_mode=totem.text("link_mode"),
            links=links,
            mtu_bytes=mtu,
            mtu_interval_ns=totem.number("knet_pmtud_interval") * SECOND,
            private_key_file=found.private_key_file if found else "",
        ),
    )


def _links(addresses: tuple[str, ...]) -> list[int]:
    return [link for link, address in enumerate(addresses) if address]


def transport_settings(
    document: Document, kind: str, bind_address: str, resolver: Resolver, report: Report
) -> TransportSettings:
    """Settings of link 0; `bind_address` is the local node's, empty while it is unknown."""
    _check_links(document, kind, report)
    link = document.links.get(0) or Block("totem.interface")
    broadcast = link.switch("broadcast") and kind == UDP
    _warn_if_ignored(document, link, kind, report)
    multicast = ""
    if broadcast:
        multicast = _BROADCAST
        if ":" in bind_address:
            report.error(
                link.place_of("broadcast"),
                "totem.interface.broadcast",
                f"found yes; allowed: no, because {bind_address} is an IPv6 address",
            )
    elif kind == UDP and bind_address:
        multicast = _multicast_address(document, link, bind_address, resolver, report)
    port = link.number("mcastport")
    if kind == UDP and port < _UDP_PORT_MIN:
        report.error(
            link.place_of("mcastport"),
            "totem.interface.mcastport",
            f"found {port}; allowed with udp: {_UDP_PORT_MIN}..65535 (it sends from the one below)",
        )
    return TransportSettings(
        kind=kind,
        bind_address=bind_address,
        port=port,
        multicast_address=multicast,
        ttl=link.number("ttl"),
        broadcast=broadcast,
        block_unlisted_ips=document.section("totem").switch("block_unlisted_ips"),
    )


def _check_links(document: Document, kind: str, report: Report) -> None:
    for number, link in document.links.items():
        used = set(link.given) - {"linknumber", "ringnumber"}
        if number and used:
            report.error(
                link.place_of("linknumber"),
                "totem.interface.linknumber",
                f"found {number}; allowed with transport {kind}: 0",
            )
        others = [("knet_link_priority", UST)]
        if kind != UDP:
            others.append(("ttl", UDP))
        for name, transport in others:
            if link.number(name) != 1:
                report.error(
                    link.place_of(name),
                    f"totem.interface.{name}",
                    f"found {link.number(name)}; allowed: 1, unless the transport is {transport}",
                )


def _warn_if_ignored(document: Document, link: Block, kind: str, report: Report) -> None:
    if link.has("bindnetaddr") and any(node.has("ring0_addr") for node in document.nodes):
        report.warning(
            link.place_of("bindnetaddr"),
            "totem.interface.bindnetaddr",
            "is ignored, because the node list gives the address",
        )
    for name in ("mcastaddr", "broadcast"):
        if kind != UDP and link.text(name) not in {"", "no"}:
            report.warning(
                link.place_of(name), f"totem.interface.{name}", f"is ignored by transport {kind}"
            )


def _multicast_address(
    document: Document, link: Block, bind_address: str, resolver: Resolver, report: Report
) -> str:
    """`mcastaddr`, else an address made from `cluster_name`, in the family of `bind_address`."""
    bound = ipaddress.ip_address(bind_address)
    if not link.has("mcastaddr"):
        name = document.section("totem").given.get("cluster_name")
        if name is not None:
            return cluster_address(str(name.value), bound.version)
        report.error(
            None,
            "totem.interface.mcastaddr",
            "not set, and no totem.cluster_name to make it from; allowed with udp: one of them",
        )
        return ""
    text = link.text("mcastaddr")
    found = resolve_address(text, ip_version_of(document, UDP), resolver)
    address = numeric(found) if found else None
    if address is None or not address.is_multicast or address.version != bound.version:
        report.error(
            link.place_of("mcastaddr"),
            "totem.interface.mcastaddr",
            f"found {shown(text)}; allowed: an IPv{bound.version} multicast address "
            f"(this node is {bind_address}) under ip_version {ip_version_of(document, UDP)}",
        )
        return ""
    return str(address)


def cluster_address(cluster_name: str, version: int) -> str:
    """Multicast address that Corosync makes from a cluster's name, for IP `version` 4 or 6."""
    value = 0
    for byte in cluster_name.encode("utf-8", "surrogateescape"):
        signed = byte - 0x100 if byte >= 0x80 else byte  # a C char on x86
        value = (value * 2 + signed) & _CLUSTER_ID_MASK
    if version == 4:
        return f"239.192.{value >> 8}.{value % 255}"  # 255, not 256: the original's own choice
    return str(ipaddress.IPv6Address(f"ff15::{value:x}"))
