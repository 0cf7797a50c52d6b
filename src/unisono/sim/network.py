"""Network: datagrams between simulated nodes, with every common way of going wrong by name.

Speaks:      `send(source, target, datagram)`; calls the target's inlet after the drawn delay.
Counterpart: TigerBeetle testing/packet_simulator.zig.
Keeps:       one source of dice; bounded datagrams in flight; order per pair unless reordered.
Never:       looks past a datagram's type.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from random import Random
from typing import Final, TypeAlias

from unisono.base.ids import MS, NO_NODE, NodeId
from unisono.sim.scheduler import Scheduler
from unisono.wire.ring import srp

IN_FLIGHT_PER_PAIR_MAX: Final = 4_096
"""Datagrams between one source and one target at once; more are lost, as in a switch."""


class DatagramKind(IntEnum):
    """The ring's message types as the header says them; a leave is a join without a node id."""

    TOKEN = srp.TYPE_TOKEN
    MCAST = srp.TYPE_MCAST
    MERGE = srp.TYPE_MERGE_DETECT
    JOIN = srp.TYPE_JOIN
    COMMIT = srp.TYPE_COMMIT
    CANCEL = srp.TYPE_HOLD_CANCEL
    LEAVE = 100


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Probabilities are 0 to 1 per datagram and target; durations are nanoseconds."""

    loss: float = 0.0
    delay_min_ns: int = 50_000
    delay_mean_ns: int = 100_000
    """Mean of the exponential tail on top of the minimum."""
    reorder: float = 0.0
    """Chance to be held back by up to `reorder_ns` while later datagrams overtake."""
    reorder_ns: int = 2 * MS
    duplicate: float = 0.0
    duplicate_ns: int = 5 * MS
    """A duplicate arrives up to this much later."""


@dataclass(slots=True)
class Rule:
    """Scripted fault: the next `count` datagrams of `kind` from `source` to `target`.

    None matches any. `action` is drop, duplicate, or delay (by `delay_ns`).
    """

    kind: DatagramKind | None
    source: NodeId | None
    target: NodeId | None
    count: int
    action: str
    delay_ns: int = 0


_KINDS: Final = {int(kind): kind for kind in DatagramKind}
Inlet: TypeAlias = Callable[[bytes, NodeId], None]


def kind_of(datagram: bytes) -> DatagramKind | None:
    """The ring message type of `datagram`, None if it is none."""
    if len(datagram) < srp.HEADER_LAYOUT.size:
        return None
    _, _, number, _, sender, _ = srp.HEADER_LAYOUT.unpack_from(datagram)
    if number == srp.TYPE_JOIN and sender == NO_NODE:
        return DatagramKind.LEAVE
    return _KINDS.get(number)


class Network:
    """All links of one cluster."""

    __slots__ = (
        "_cut",
        "_in_flight",
        "_inlets",
        "_last_arrival",
        "_random",
        "_rules",
        "_scheduler",
        "delivered",
        "lost",
        "options",
        "pair_options",
    )

    def __init__(self, scheduler: Scheduler, random: Random, options: NetworkOptions) -> None:
        self.options = options
        self.pair_options: dict[tuple[NodeId, NodeId], NetworkOptions] = {}
        self.delivered = 0
        self.lost = 0
        self._scheduler = scheduler
        self._random = random
        self._inlets: dict[NodeId, Inlet] = {}
        self._cut: set[tuple[NodeId, NodeId]] = set()
        self._rules: list[Rule] = []
        self._last_arrival: dict[tuple[NodeId, NodeId], int] = {}
        self._in_flight: dict[tuple[NodeId, NodeId], int] = {}

    def attach(self, node: NodeId, inlet: Inlet) -> None:
        """Deliver datagrams for `node` to `inlet(datagram, source)`."""
        self._inlets[node] = inlet

    # -- faults -----------------------------------------------------------------------------------

    def change(self, **named: float) -> None:
        """Replace options of the whole network by name."""
        self.options = replace(self.options, **named)  # type: ignore[arg-type]  # named by caller

    def partition(self, sides: Iterable[Iterable[NodeId]]) -> None:
        """Cut every link between nodes of different sides; a node on no side is alone."""
        side_of = {node: number for number, side in enumerate(sides) for node in side}
        for source in self._inlets:
            for target in self._inlets:
                apart = side_of.get(source, -source - 1) != side_of.get(target, -target - 1)
                if source != target and apart:
                    self._cut.add((source, target))

    def cut_one_way(self, source: NodeId, target: NodeId) -> None:
        """Lose everything from `source` to `target`."""
        self._cut.add((source, target))

    def heal(self) -> None:
        """Join every link again."""
        self._cut.clear()

    def calm(self, options: NetworkOptions) -> None:
        """Heal, forget all rules, and go on with `options` on every link."""
        self.heal()
        self._rules.clear()
        self.pair_options.clear()
        self.options = options

    def add_rule(self, rule: Rule) -> None:
        """Let a scripted fault act on the next datagrams that it matches."""
        self._rules.append(rule)

    # -- datagrams --------------------------------------------------------------------------------

    def send(self, source: NodeId, target: NodeId, datagram: bytes) -> None:
        """Send one datagram; it arrives later, twice, or never."""
        pair = (source, target)
        if pair in self._cut:
            self.lost += 1
            return
        extra = 0
        copies = 1
        if self._rules:
            rule = self._matching_rule(source, target, datagram)
            if rule is not None:
                copies = {"drop": 0, "duplicate": 2}.get(rule.action, 1)
                extra = rule.delay_ns
        options = self.pair_options.get(pair, self.options) if self.pair_options else self.options
        if options.loss and self._random.random() < options.loss:
            copies = 0
        if copies == 0:
            self.lost += 1
            return
        self._launch(pair, datagram, options, extra)
        if copies == 2 or (options.duplicate and self._random.random() < options.duplicate):
            late = int(self._random.random() * options.duplicate_ns)
            self._launch(pair, datagram, options, max(1, late))

    def send_all(self, source: NodeId, datagrams: list[bytes]) -> None:
        """Send each datagram, in order, to every other node."""
        for target in self._inlets:
            if target != source:
                for datagram in datagrams:
                    self.send(source, target, datagram)

    def _matching_rule(self, source: NodeId, target: NodeId, datagram: bytes) -> Rule | None:
        kind = kind_of(datagram)
        for rule in self._rules:
            if (
                rule.kind in (None, kind)
                and rule.source in (None, source)
                and rule.target in (None, target)
            ):
                rule.count -= 1
                if rule.count <= 0:
                    self._rules.remove(rule)
                return rule
        return None

    def _launch(
        self, pair: tuple[NodeId, NodeId], datagram: bytes, options: NetworkOptions, extra: int
    ) -> None:
        flying = self._in_flight.get(pair, 0)
        if flying >= IN_FLIGHT_PER_PAIR_MAX:
            self.lost += 1
            return
        self._in_flight[pair] = flying + 1
        random = self._random
        delay = options.delay_min_ns + int(random.expovariate(1.0) * options.delay_mean_ns)
        arrival = self._scheduler.now + delay
        if extra:
            arrival += extra
        elif options.reorder and random.random() < options.reorder:
            arrival += int(random.random() * options.reorder_ns)
        else:
            # Equal arrival times keep their order in the scheduler, so ">=" is order enough.
            arrival = max(arrival, self._last_arrival.get(pair, 0))
            self._last_arrival[pair] = arrival
        self._scheduler.at(arrival, self._arrive, pair, datagram)

    def _arrive(self, pair: tuple[NodeId, NodeId], datagram: bytes) -> None:
        self._in_flight[pair] -= 1
        if pair in self._cut:
            self.lost += 1
            return
        self.delivered += 1
        self._inlets[pair[1]](datagram, pair[0])
