"""Tap: what arrives at each node, counted, kept for later, altered or withheld on the way.

Speaks:      `Tap(network, nodes)`; takes the place of every node's inlet.
Keeps:       a datagram is touched once at most; nothing is touched unless a scenario says so.
Never:       decides when: the network brings, scenarios give the rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from unisono.base.ids import NodeId
from unisono.sim.forgery import alter
from unisono.sim.network import DatagramKind, Inlet, Network, kind_of
from unisono.sim.node import SimulatedNode


@dataclass(slots=True)
class TapRule:
    """What befalls the next `count` datagrams that match; None matches any.

    `name` keeps a copy; `fields` are altered (see `forgery.alter`); `lost` withholds it. Only what
    is longer than `over_bytes` matches.
    """

    kind: DatagramKind | None
    source: NodeId | None
    target: NodeId | None
    count: int
    over_bytes: int = 0
    name: str = ""
    lost: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)

    def matches(self, datagram: bytes, source: NodeId, target: NodeId) -> bool:
        """Whether the rule is about this datagram."""
        return (
            self.source in (None, source)
            and self.target in (None, target)
            and len(datagram) > self.over_bytes
            and self.kind in (None, kind_of(datagram))
        )


class Tap:
    """Between the network and all nodes of one cluster."""

    def __init__(self, network: Network, nodes: Mapping[NodeId, SimulatedNode]) -> None:
        self.arrived: dict[DatagramKind, int] = {}
        """Datagrams that reached a node, running or not, by kind."""
        self.kept: dict[str, bytes] = {}
        self.rules: list[TapRule] = []
        self._inlets = {node: machine.arrive for node, machine in nodes.items()}
        for node, inlet in self._inlets.items():
            network.attach(node, partial(self._arrive, inlet, node))

    def replay(self, name: str, target: NodeId, source: NodeId, fields: Mapping[str, str]) -> None:
        """Let a kept datagram arrive (again), altered. KeyError when none has that name."""
        self._inlets[target](alter(self.kept[name], fields), source)

    def _arrive(self, inlet: Inlet, target: NodeId, datagram: bytes, source: NodeId) -> None:
        kind = kind_of(datagram)
        if kind is not None:
            self.arrived[kind] = self.arrived.get(kind, 0) + 1
        for rule in self.rules:
            if rule.matches(datagram, source, target):
                rule.count -= 1
                if rule.count <= 0:
                    self.rules.remove(rule)
                if rule.lost:
                    return
                if rule.name:
                    self.kept[rule.name] = datagram
                if rule.fields:
                    datagram = alter(datagram, rule.fields)
                break
        inlet(datagram, source)
