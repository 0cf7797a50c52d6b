"""Nodes: the node list with numeric addresses and node ids, and which of its nodes is local.

Counterpart: corosync exec/totemconfig.c, put_nodelist_members_to_config.
Keeps:       one address family on a link, every node id once; with the secure transport every
             two nodes have a link in common, and no two the same socket.
Never:       searches for the local node (config.local).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from unisono.base.ids import NodeId
from unisono.base.limits import LINKS_MAX, NODES_MAX
from unisono.config.document import Document
from unisono.config.grammar import shown
from unisono.config.hosts import LocalHost, Resolver, resolve_address
from unisono.config.links import port_of
from unisono.config.local import Candidate, find_local, ip_version_of, node_id_of
from unisono.config.problems import Report
from unisono.config.schema import U32_MAX
from unisono.config.security import public_keys
from unisono.config.settings import UST, NodeSettings


@dataclass(frozen=True, slots=True)
class NodeList:
    """The result: all nodes in the file's order, and which one is local."""

    nodes: tuple[NodeSettings, ...]
    local: NodeSettings
    private_key_file: str = ""
    """Where the key to the local node's public key is; empty on level 1."""


def read_nodes(
    document: Document, kind: str, resolver: Resolver, local: LocalHost, report: Report
) -> NodeList | None:
    """Work the node list out for transport `kind`; None when `report` has the reason."""
    before = len(report.errors)
    ip_version = ip_version_of(document, kind)
    candidates = [Candidate(block) for block in document.nodes]
    if not 0 < len(candidates) <= NODES_MAX:
        found = f"found {len(candidates)} nodes" if candidates else "no node section"
        report.error(None, "nodelist.node", f"{found}; allowed: 1..{NODES_MAX}")
        return None
    for candidate in candidates:
        for link in _allowed_links(candidate, kind, report):
            _resolve(candidate, link, ip_version, resolver, report)
    own = find_local(document, kind, candidates, resolver, local, report)
    for candidate in candidates:
        candidate.node_id = _node_id(document, candidate, report)
    _check_families(candidates, report)
    _check_duplicates(candidates, report)
    keys: Sequence[bytes] = [b""] * len(candidates)
    private_key_file = ""
    if kind == UST:
        _check_sockets(document, candidates, report)
        _check_shared_links(candidates, report)
        blocks = [candidate.block for candidate in candidates]
        keys, private_key_file = public_keys(document.section("totem"), blocks, report)
    if len(report.errors) > before or own is None:
        return None
    nodes = _settings(candidates, keys)
    return NodeList(nodes, nodes[candidates.index(own)], private_key_file)


def _settings(candidates: list[Candidate], keys: Sequence[bytes]) -> tuple[NodeSettings, ...]:
    links = range(1 + max(link for candidate in candidates for link in candidate.addresses))
    return tuple(
        NodeSettings(
            node_id=NodeId(candidate.node_id),
            name=candidate.name or candidate.address,
            addresses=tuple(candidate.addresses.get(link, "") for link in links),
            votes=candidate.block.number("quorum_votes"),
            names=tuple(candidate.written_on(link) for link in links),
            public_key=key,
        )
        for candidate, key in zip(candidates, keys, strict=True)
    )


# -- addresses -------------------------------------------------------------------------------------


def _allowed_links(candidate: Candidate, kind: str, report: Report) -> list[int]:
    """The links of a node that the transport has; the others are refused."""
    count = LINKS_MAX if kind == UST else 1
    for link in candidate.links:
        if link >= count:
            key = f"ring{link}_addr"
            above = kind == UST or link >= LINKS_MAX
            allowed = f"ring0_addr..ring{LINKS_MAX - 1}_addr" if above else "one link (ring0_addr)"
            report.error(
                candidate.block.place_of(key),
                f"nodelist.node.{key}",
                f"found link {link}; allowed: {allowed}",
            )
    return [link for link in candidate.links if link < count]


def _resolve(
    candidate: Candidate, link: int, ip_version: str, resolver: Resolver, report: Report
) -> None:
    written = candidate.written_on(link)
    address = resolve_address(written, ip_version, resolver)
    if address is not None:
        candidate.addresses[link] = address
        return
    key = f"ring{link}_addr"
    report.error(
        candidate.block.place_of(key),
        f"nodelist.node.{key}",
        f"found {shown(written)}; allowed: an address, or a name that resolves "
        f"to one, under ip_version {ip_version}",
    )


# -- node ids and the rules of the whole list ------------------------------------------------------


def _node_id(document: Document, candidate: Candidate, report: Report) -> int:
    node_id = node_id_of(document, candidate)
    if not node_id and candidate.address and "nodeid" not in candidate.block.refused:
        report.error(
            candidate.block.place,
            "nodelist.node.nodeid",
            f"not set, and {candidate.address} does not give one; allowed: 1..{U32_MAX}",
        )
    return node_id


def _check_families(candidates: list[Candidate], report: Report) -> None:
    """All addresses of one link are of one family: one socket carries them."""
    first: dict[int, Candidate] = {}
    for candidate in candidates:
        for link, address in candidate.addresses.items():
            other = first.setdefault(link, candidate)
            key = f"ring{link}_addr"
            if (":" in address) != (":" in other.addresses[link]):
                report.error(
                    candidate.block.place_of(key),
                    f"nodelist.node.{key}",
                    f"found {address}; allowed: the family of {other.addresses[link]} "
                    f"({other.block.place_of(key)})",
                )


def _check_sockets(document: Document, candidates: list[Candidate], report: Report) -> None:
    """An address and port belong to one link of one node: packets are told apart by them."""
    taken: dict[tuple[str, int], str] = {}
    for candidate in candidates:
        for link, address in candidate.addresses.items():
            key, port = f"ring{link}_addr", port_of(document, link)
            place = candidate.block.place_of(key)
            if (address, port) in taken:
                report.error(
                    place,
                    f"nodelist.node.{key}",
                    f"found {address} with port {port}, which {taken[address, port]} has already; "
                    "allowed: another address, or another mcastport for the link",
                )
            taken.setdefault((address, port), str(place))


def _check_shared_links(candidates: list[Candidate], report: Report) -> None:
    """Every two nodes talk to each other, so they need a link that both have."""
    kinds: dict[frozenset[int], Candidate] = {}
    for candidate in candidates:
        links = frozenset(candidate.links)
        apart = [other for known, other in kinds.items() if links and known and not links & known]
        if apart:
            report.error(
                candidate.block.place,
                "nodelist.node",
                f"node {shown(candidate.name)} has no link in common with node "
                f"{shown(apart[0].name)} ({apart[0].block.place}); allowed: ringN_addr of one N",
            )
        kinds.setdefault(links, candidate)


def _check_duplicates(candidates: list[Candidate], report: Report) -> None:
    """A node id twice is an error; an address or a name twice is suspicious."""
    ids: dict[int, Candidate] = {}
    texts: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        place = candidate.block.place_of("nodeid")
        if candidate.node_id and candidate.node_id in ids:
            first = ids[candidate.node_id].block.place_of("nodeid")
            report.error(
                place,
                "nodelist.node.nodeid",
                f"found {candidate.node_id}, which {first} has already; allowed: each node id once",
            )
        ids.setdefault(candidate.node_id, candidate)
        given = [(f"ring{link}_addr", text) for link, text in candidate.addresses.items()]
        for key, text in [*given, ("name", candidate.block.text("name"))]:
            if text and (key, text) in texts:
                report.warning(
                    candidate.block.place_of(key),
                    f"nodelist.node.{key}",
                    f"{shown(text)} is given twice, first at "
                    f"{texts[key, text].block.place_of(key)}",
                )
            texts.setdefault((key, text), candidate)
