"""The local node: which entry of the node list is this machine.

Counterpart: corosync exec/totemconfig.c, find_local_node, generate_nodeid; nodelist in
             man corosync.conf(5) describes the order of the search.
Keeps:       the node that is found has an address that a socket can be bound to here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from unisono.config.document import Block, Document
from unisono.config.grammar import shown
from unisono.config.hosts import (
    LocalHost,
    Resolver,
    is_local,
    match_network,
    numeric,
    resolve_address,
    same_address,
)
from unisono.config.links import link_of
from unisono.config.problems import Report
from unisono.config.schema import U32_MAX
from unisono.config.settings import UDP, UST

_HIGH_BIT_CLEARED: Final = 0x7FFF_FFFF
_SHOWN_ADDRESSES_MAX: Final = 16


@dataclass(slots=True, eq=False)
class Candidate:
    """A node while it is worked out; `addresses` are numeric, by link, those that are known."""

    block: Block
    addresses: dict[int, str] = field(default_factory=dict)
    node_id: int = 0
    links: list[int] = field(init=False)
    """Links on which the file gives it an address, ascending."""

    def __post_init__(self) -> None:
        self.links = sorted(link for key in self.block.given if (link := link_of(key)) is not None)

    @property
    def address(self) -> str:
        """The address on its first link; empty while none is known."""
        return self.addresses[min(self.addresses)] if self.addresses else ""

    @property
    def written(self) -> str:
        """Its first `ringN_addr` as the file has it."""
        return next((self.written_on(link) for link in self.links), "")

    @property
    def name(self) -> str:
        """`name`, or its first address in its place."""
        return self.block.text("name") or self.written

    @property
    def names(self) -> Iterator[str]:
        """The texts that may name the local node."""
        texts = (self.block.text("name"), *map(self.written_on, self.links))
        return (text for text in texts if text)

    @property
    def is_resolved(self) -> bool:
        """Whether every address that the file gives it became a number."""
        return all(link in self.addresses for link in self.links)

    def written_on(self, link: int) -> str:
        """`ringN_addr` of a link as the file has it, empty when it has none."""
        return self.block.text(f"ring{link}_addr")


def ip_version_of(document: Document, kind: str) -> str:
    """`totem.ip_version` in force: udp prefers IPv4, everything else IPv6."""
    return document.section("totem").text("ip_version") or ("ipv4" if kind == UDP else "ipv6-4")


def node_id_of(document: Document, candidate: Candidate) -> int:
    """`nodeid`, else the IPv4 address as a number; 0 when there is neither."""
    if candidate.block.has("nodeid"):
        return candidate.block.number("nodeid")
    address = numeric(candidate.address) if candidate.address else None
    if address is None or address.version != 4:
        return 0
    clear = document.section("totem").switch("clear_node_high_bit")
    return int(address) & (_HIGH_BIT_CLEARED if clear else U32_MAX)


def find_local(
    document: Document,
    kind: str,
    candidates: list[Candidate],
    resolver: Resolver,
    local: LocalHost,
    report: Report,
) -> Candidate | None:
    """The local node: as told, else by Corosync's search; its address must be local."""
    if local.node_id is not None:
        own = _by_node_id(document, candidates, local.node_id, report)
    else:
        own = _by_name(candidates, local) or _by_address(candidates, resolver, local)
        _warn_if_ambiguous(own, candidates, local, report)
    for candidate in candidates:
        if 0 not in candidate.links and not (kind == UST and candidate.links):
            if candidate is own and kind == UDP:
                if address := _bound_address(document, resolver, local, report):
                    candidate.addresses[0] = address
            else:
                report.error(
                    candidate.block.place,
                    "nodelist.node.ring0_addr",
                    "not set; allowed: an address or a name",
                )
    if own is None and local.node_id is None and all(node.is_resolved for node in candidates):
        _report_no_local(candidates, local, report)
    elif own is not None:
        _check_local(own, local, report)
    return own


def _check_local(own: Candidate, local: LocalHost, report: Report) -> None:
    for link, address in own.addresses.items():
        if not is_local(address, local):
            key = f"ring{link}_addr"
            report.error(
                own.block.place_of(key),
                f"nodelist.node.{key}",
                f"node {shown(own.name)} is this host, but its address {address} is not local; "
                f"this host has {_listed(local.addresses)}",
            )


def _by_node_id(
    document: Document, candidates: list[Candidate], node_id: int, report: Report
) -> Candidate | None:
    ids = [node_id_of(document, candidate) for candidate in candidates]
    for candidate, found in zip(candidates, ids, strict=True):
        if found == node_id:
            return candidate
    report.error(
        None,
        "nodelist.node.nodeid",
        f"this node was told to be {node_id}; the list has {', '.join(map(str, ids))}",
    )
    return None


def _by_name(candidates: list[Candidate], local: LocalHost) -> Candidate | None:
    """Host name, then shorter and shorter, then against shortened names; then the other names."""
    for position, name in enumerate(filter(None, local.names)):
        labels = name.split(".")
        shorter = [".".join(labels[:count]) for count in range(len(labels), 0, -1)]
        tries = shorter if position == 0 else [name, labels[0]]
        for text in tries:
            for candidate in candidates:
                if text in candidate.names:
                    return candidate
        for candidate in candidates if position == 0 else ():
            if labels[0] in [text.partition(".")[0] for text in candidate.names]:
                return candidate
    return None


def _by_address(
    candidates: list[Candidate], resolver: Resolver, local: LocalHost
) -> Candidate | None:
    """First local address that the list spells out; then the first node that resolves to one."""
    for own in local.addresses:
        for candidate in candidates:
            if any(same_address(own, text) for text in candidate.names):
                return candidate
    for candidate in candidates:
        for text in candidate.names:
            address = resolve_address(text, "ipv6-4", resolver)
            if address is not None and is_local(address, local):
                return candidate
    return None


def _bound_address(document: Document, resolver: Resolver, local: LocalHost, report: Report) -> str:
    """Address from `bindnetaddr`, for a local node without an address in the list (udp)."""
    link = document.links.get(0) or Block("totem.interface")
    if not link.has("bindnetaddr"):
        report.error(
            link.place,
            "totem.interface.bindnetaddr",
            "not set, nor has the local node a ring0_addr; allowed: one of them",
        )
        return ""
    text = link.text("bindnetaddr")
    network = resolve_address(text, ip_version_of(document, UDP), resolver)
    address = match_network(network, local) if network else None
    if address is None:
        report.error(
            link.place_of("bindnetaddr"),
            "totem.interface.bindnetaddr",
            f"found {shown(text)}; allowed: an own address or its network; "
            f"this host has {_listed(local.addresses)}",
        )
    return address or ""


def _warn_if_ambiguous(
    own: Candidate | None, candidates: list[Candidate], local: LocalHost, report: Report
) -> None:
    if own is None or _by_name(candidates, local) is own:
        return
    here = {
        address: node
        for node in candidates
        for address in node.addresses.values()
        if is_local(address, local)
    }
    if len(set(map(id, here.values()))) > 1:
        report.warning(
            own.block.place,
            "nodelist.node",
            f"the addresses {_listed(list(here))} are all local; "
            f"this is taken to be node {shown(own.name)}",
        )


def _report_no_local(candidates: list[Candidate], local: LocalHost, report: Report) -> None:
    sought = [
        text
        for candidate in candidates
        for text in list(candidate.addresses.values()) or [candidate.name]
    ]
    report.error(
        candidates[0].block.place,
        "nodelist.node",
        f"none of the nodes is this host: sought {_listed(sought)}; this host has "
        f"{_listed(local.addresses)} and the name {', '.join(map(shown, local.names)) or 'none'}",
    )


def _listed(addresses: Sequence[str]) -> str:
    texts = [shown(text.partition("/")[0]) for text in addresses if text]
    more = len(texts) - _SHOWN_ADDRESSES_MAX
    return (
        ", ".join(texts[:_SHOWN_ADDRESSES_MAX] + ([f"{more} more"] if more > 0 else [])) or "none"
    )
