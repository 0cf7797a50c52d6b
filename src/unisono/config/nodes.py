"""Nodes: the node list with numeric addresses and node ids, and which of its nodes is local.

Counterpart: corosync exec/totemconfig.c, put_nodelist_members_to_config.
Keeps:       one link, one address family, every node id once.
Never:       searches for the local node (config.local).
"""

import re
from dataclasses import dataclass
from typing import Final

from unisono.base.ids import NodeId
from unisono.base.limits import LINKS_MAX, NODES_MAX
from unisono.config.document import Document
from unisono.config.grammar import shown
from unisono.config.hosts import LocalHost, Resolver, resolve_address
from unisono.config.local import Candidate, find_local, ip_version_of, node_id_of
from unisono.config.problems import Report
from unisono.config.schema import U32_MAX
from unisono.config.settings import NodeSettings

_RING_ADDRESS: Final = re.compile(r"ring([0-9]+)_addr")


@dataclass(frozen=True, slots=True)
class NodeList:
    """The result: all nodes in the file's order, and which one is local."""

    nodes: tuple[NodeSettings, ...]
    local: NodeSettings


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
        _check_links(candidate, report)
        candidate.address = _address(candidate, ip_version, resolver, report)
    own = find_local(document, kind, candidates, resolver, local, report)
    for candidate in candidates:
        candidate.node_id = _node_id(document, candidate, report)
    _check_families(candidates, report)
    _check_duplicates(candidates, report)
    if len(report.errors) > before or own is None:
        return None
    nodes = tuple(map(_settings, candidates))
    return NodeList(nodes, nodes[candidates.index(own)])


def _settings(candidate: Candidate) -> NodeSettings:
    return NodeSettings(
        node_id=NodeId(candidate.node_id),
        name=candidate.name or candidate.address,
        addresses=(candidate.address,),
        votes=candidate.block.number("quorum_votes"),
    )


def _check_links(candidate: Candidate, report: Report) -> None:
    for key, given in candidate.block.given.items():
        found = _RING_ADDRESS.fullmatch(key)
        if found is None or key == "ring0_addr":
            continue
        above = int(found[1]) >= LINKS_MAX
        allowed = f"ring0_addr..ring{LINKS_MAX - 1}_addr" if above else "one link (ring0_addr)"
        report.error(
            given.place, f"nodelist.node.{key}", f"found link {found[1]}; allowed: {allowed}"
        )


def _address(candidate: Candidate, ip_version: str, resolver: Resolver, report: Report) -> str:
    if "ring0_addr" not in candidate.block.given:
        return ""
    address = resolve_address(candidate.written, ip_version, resolver)
    if address is None:
        report.error(
            candidate.block.place_of("ring0_addr"),
            "nodelist.node.ring0_addr",
            f"found {shown(candidate.written)}; allowed: an address, or a name that resolves "
            f"to one, under ip_version {ip_version}",
        )
    return address or ""


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
    resolved = [candidate for candidate in candidates if candidate.address]
    for candidate in resolved[1:]:
        first = resolved[0]
        if (":" in candidate.address) != (":" in first.address):
            report.error(
                candidate.block.place_of("ring0_addr"),
                "nodelist.node.ring0_addr",
                f"found {candidate.address}; allowed: the family of {first.address} "
                f"({first.block.place_of('ring0_addr')})",
            )


def _check_duplicates(candidates: list[Candidate], report: Report) -> None:
    """A node id twice is an error; an address or a name twice is suspicious."""
    ids: dict[int, Candidate] = {}
    addresses: dict[str, Candidate] = {}
    names: dict[str, Candidate] = {}
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
        for table, key, text in (
            (addresses, "ring0_addr", candidate.address),
            (names, "name", candidate.block.text("name")),
        ):
            if text and text in table:
                report.warning(
                    candidate.block.place_of(key),
                    f"nodelist.node.{key}",
                    f"{shown(text)} is given twice, first at {table[text].block.place_of(key)}",
                )
            table.setdefault(text, candidate)
