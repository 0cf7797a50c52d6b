"""Network: which transport the ring uses, and its addresses and port.

Counterpart: corosync exec/totemconfig.c, get_interface_params, get_cluster_mcast_addr,
             totem_config_validate.
Keeps:       nothing is silently unauthenticated: without a transport, or with crypto that the
             transport cannot do, the configuration is refused.
"""

import ipaddress
from typing import Final

from unisono.config.document import Block, Document
from unisono.config.grammar import shown
from unisono.config.hosts import Resolver, numeric, resolve_address
from unisono.config.local import ip_version_of
from unisono.config.problems import Report
from unisono.config.settings import UDP, UDPU, TransportSettings

_BROADCAST: Final = "255.255.255.255"
_CLUSTER_ID_MASK: Final = 0xFFFF
_UDP_PORT_MIN: Final = 2
"""udp sends from the port below."""


def transport_kind(document: Document, report: Report) -> str:
    """`udpu` or `udp`; refusals go to `report`, and reading goes on as udpu."""
    totem = document.section("totem")
    if "transport" in totem.given:
        kind = totem.text("transport")
        report.warning(
            totem.place_of("transport"),
            "totem.transport",
            f"{kind} does not authenticate: whoever can send to the ring's port can speak in it",
        )
        _refuse_crypto(totem, kind, report)
        return kind
    if "transport" not in totem.refused:
        report.error(
            None,
            "totem.transport",
            "not set, which asks for the secure transport; it is not in this version; "
            "allowed: `transport: udpu` or `transport: udp`, both unauthenticated",
        )
    return UDPU


def _refuse_crypto(totem: Block, kind: str, report: Report) -> None:
    """crypto_* win over secauth, each for itself, as in Corosync."""
    for name in ("crypto_cipher", "crypto_hash"):
        culprit = name if name in totem.given else "secauth"
        idle = "none" if culprit == name else "off"
        found = totem.text(culprit)
        if culprit in totem.given and found != idle:
            reason = f"found {shown(found)}; allowed with transport {kind}: {idle}"
            text = f"{totem.place_of(culprit)}: totem.{culprit}: {reason}"
            if text not in report.errors:
                report.errors.append(text)


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
        others = [("knet_link_priority", "knet")]
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
