"""Armour: how the secure transport is set up in one run, and what its nodes know of each other.

Speaks:      `Armour`, a part of the plan; `Vault`: authkeys by number, keys of nodes, addresses.
Keeps:       every key follows from the seed, and is of no use elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from unisono.base.ids import MS, SECOND, NodeId
from unisono.config.settings import LinkSettings
from unisono.crypto.keys import ClusterKeys, derive
from unisono.crypto.noise import StaticKeys
from unisono.secure.plan import SecurePlan

AUTHKEY_BYTES: Final = 256
CLUSTER: Final = "simulated"
PORT: Final = 5405


@dataclass(frozen=True, slots=True)
class Armour:
    """What the configuration of every node says about the secure transport."""

    links: int = 1
    link_mode: str = "passive"
    cipher: str = "aes256"
    has_node_keys: bool = False
    """Level 2: every node has a key of its own besides the authkey."""
    priorities: tuple[int, ...] = (1,)
    """By link number."""
    ping_interval_ns: int = 50 * MS
    ping_timeout_ns: int = 200 * MS
    mtu_interval_ns: int = 30 * SECOND
    path_bytes: int = 1_472
    """The largest UDP payload that passes the paths: an MTU of 1500."""
    interface_bytes: int = 1_472
    """What the interfaces take, which their owners know."""
    lame_every: int = 0
    """Every so manyth node has an address on link 0 only; 0: none."""
    hints: float = 1.0
    """The share of packets for a closed port that the kernel there answers."""

    def links_of(self, place: int) -> int:
        """On how many links the node at that place of the list has an address."""
        return 1 if self.lame_every and place % self.lame_every == 0 else self.links

    def plan(self, me: NodeId, places: Mapping[NodeId, int]) -> SecurePlan:
        """What the machine of `me` is told when these nodes, with their places, are in its file."""
        links = tuple(
            LinkSettings(
                number,
                PORT + number,
                priority=self.priorities[number % len(self.priorities)],
                ping_interval_ns=self.ping_interval_ns,
                ping_timeout_ns=self.ping_timeout_ns,
            )
            for number in range(self.links)
        )
        own = self.links_of(places[me])
        return SecurePlan(
            {
                node: links[: min(own, self.links_of(place))]
                for node, place in places.items()
                if node != me
            },
            self.link_mode,
            0,
            self.mtu_interval_ns,
        )


class Vault:
    """The keys of one cluster."""

    def __init__(self, seed: str, nodes: Sequence[NodeId]) -> None:
        self._seed = seed
        self._authkeys: dict[int, bytes] = {}
        self._derived: dict[int, ClusterKeys] = {}
        self.places: Final = {node: place for place, node in enumerate(nodes, 1)}
        self._private = {node: self._random(f"node {node}").randbytes(32) for node in nodes}
        self._public = {
            node: X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
            for node, secret in self._private.items()
        }

    def _random(self, purpose: str) -> Random:
        return Random(f"{self._seed}/keys/{purpose}")

    def authkey(self, number: int) -> bytes:
        """The bytes of the authkey of that number."""
        if number not in self._authkeys:
            self._authkeys[number] = self._random(f"authkey {number}").randbytes(AUTHKEY_BYTES)
        return self._authkeys[number]

    def keys(self, number: int) -> ClusterKeys:
        """What this authkey means in the cluster."""
        if number not in self._derived:
            self._derived[number] = derive(self.authkey(number), CLUSTER)
        return self._derived[number]

    def secrets(self, numbers: Sequence[int]) -> list[tuple[str, bytes]]:
        """All that nobody may see of these authkeys, and of the nodes' own keys."""
        found = [(f"key of node {node}", secret) for node, secret in self._private.items()]
        for number in numbers:
            keys = self.keys(number)
            found += [
                ("authkey", self.authkey(number)),
                ("psk", keys.psk),
                ("mac1 key", keys.mac1),
                ("cookie key", keys.cookie),
            ]
        return found

    def static_keys(self, me: NodeId) -> dict[NodeId, StaticKeys]:
        """The keys of level 2 that `me` uses with each other node."""
        return {
            node: StaticKeys(self._private[me], public)
            for node, public in self._public.items()
            if node != me
        }

    def address(self, node: NodeId, link: int) -> str:
        """Where the node's packets of that link come from."""
        return f"10.{link}.0.{self.places[node]}:{PORT + link}"
