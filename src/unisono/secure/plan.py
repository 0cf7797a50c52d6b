"""Plan: whom one node reaches over which links, as its configuration says.

Counterpart: corosync exec/totemknet.c, totemknet_member_add.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unisono.base.ids import SECOND, NodeId
from unisono.config.settings import LinkSettings, Settings


@dataclass(frozen=True, slots=True)
class SecurePlan:
    """Whom to reach over which links, and how to use them."""

    links: Mapping[NodeId, tuple[LinkSettings, ...]]
    """Every other node, with the links on which both have an address."""
    link_mode: str = "passive"
    mtu_bytes: int = 0
    mtu_interval_ns: int = 30 * SECOND


def plan_of(settings: Settings) -> SecurePlan:
    """The plan that a configuration asks for; its transport is `ust`."""
    how = settings.transport.secure
    assert how is not None
    addresses = {node.node_id: node.addresses for node in settings.nodes}
    own = addresses.pop(settings.node_id)
    return SecurePlan(
        {
            node: tuple(
                link for link in how.links if _at(own, link.number) and _at(theirs, link.number)
            )
            for node, theirs in addresses.items()
        },
        how.link_mode,
        how.mtu_bytes,
        how.mtu_interval_ns,
    )


def _at(addresses: Sequence[str], link: int) -> str:
    return addresses[link] if link < len(addresses) else ""
