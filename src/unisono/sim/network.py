"""Network: datagrams between simulated nodes, with every common way of going wrong by name.

Speaks:      `send(source, target, datagram)`; calls the target's inlet after the drawn delay.
Counterpart: TigerBeetle testing/packet_simulator.zig; FoundationDB's clogging (sim2.actor.cpp).
Keeps:       one source of dice; bounded datagrams in flight; order per pair unless reordered; a
             fault that does not act costs nothing.
Never:       looks past a datagram's type.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from math import log
from random import Random
from typing import Final, TypeAlias

from unisono.base.ids import MS, NO_NODE, SECOND, NodeId
from unisono.sim.scheduler import Scheduler
from unisono.wire.ring import srp

IN_FLIGHT_PER_PAIR_MAX: Final = 4_096
"""Datagrams between one source and one target at once; more are lost, as in a switch."""
HELD_PER_PAIR_MAX: Final = 4_096
"""Datagrams that a clogged link keeps; more are lost."""
REPLAYS_MAX: Final = 4_096
"""Late copies in flight in the whole network."""
REPLAY_NS_MIN: Final = SECOND
"""A copy that comes later than this is a replay from another time."""
RECORDED_MAX: Final = 512
"""Datagrams that an eavesdropper remembers."""

Link: TypeAlias = tuple[NodeId, NodeId]
"""Source and target: each direction is a link of its own."""


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
    tail_shape: float = 0.0
    """Above 0 the tail is Pareto's of this shape: most are quick, a few are very late."""
    tail_ns_max: int = 500 * MS
    reorder: float = 0.0
    """Chance to be held back by up to `reorder_ns` while later datagrams overtake."""
    reorder_ns: int = 2 * MS
    duplicate: float = 0.0
    duplicate_ns: int = 5 * MS
    """A duplicate arrives up to this much later."""
    replay: float = 0.0
    """Chance that one more copy arrives between REPLAY_NS_MIN and `replay_ns` later."""
    replay_ns: int = 60 * SECOND
    burst: float = 0.0
    """Chance that a link turns bad at a datagram (Gilbert-Elliott); a bad one loses much."""
    burst_length: int = 10
    """Datagrams that a link stays bad for, on average."""
    burst_loss: float = 0.9
    corrupt: float = 0.0
    """Chance that bits flip or the end is missing: what a checksum should have caught."""
    capacity_bytes_s: int = 0
    """Bytes per second of each link; 0 is without bound."""
    backlog_bytes: int = 64 * 1024
    """What may wait for such a link; more is lost."""

    @property
    def is_rough(self) -> bool:
        """Whether more is asked for than loss, delay, reordering and duplicates."""
        return bool(
            self.tail_shape or self.replay or self.burst or self.corrupt or self.capacity_bytes_s
        )


@dataclass(slots=True)
class Rule:
    """Scripted fault: the next `count` datagrams of `kind` from `source` to `target`.

    None matches any. `action` is drop, duplicate, or delay (by `delay_ns`).
    """

    kind: IntEnum | None
    source: NodeId | None
    target: NodeId | None
    count: int
    action: str
    delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class Sieve:
    """Lasting loss of what matches; None matches any kind or node."""

    kind: IntEnum | None
    source: NodeId | None
    target: NodeId | None
    loss: float


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
    """All links of one cluster; `name` says which kind a datagram is of, for rules and sieves."""

    __slots__ = (
        "_bad",
        "_busy_until",
        "_clogs",
        "_cut",
        "_flaps",
        "_held",
        "_in_flight",
        "_inlets",
        "_last_arrival",
        "_name",
        "_pair_options",
        "_random",
        "_rough",
        "_rules",
        "_scheduler",
        "_serial",
        "_sieves",
        "delivered",
        "lost",
        "options",
        "recorded",
        "replays",
        "replays_until",
        "sent",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        options: NetworkOptions,
        name: Callable[[bytes], IntEnum | None] = kind_of,
    ) -> None:
        self._name = name
        self.options = options
        self.sent = 0
        self.delivered = 0
        self.lost = 0
        self.replays = 0
        """Late copies that are still to come."""
        self.replays_until = 0
        """When the last of them arrives."""
        self.recorded: deque[bytes] | None = None
        """What an eavesdropper has heard lately, once there is one."""
        self._scheduler = scheduler
        self._random = random
        self._inlets: dict[NodeId, Inlet] = {}
        self._cut: dict[Link, int] = {}
        self._clogs: dict[Link, int] = {}
        self._held: dict[Link, list[bytes]] = {}
        self._flaps: dict[tuple[Link, ...], tuple[int, bool]] = {}
        self._serial = 0
        self._rules: list[Rule] = []
        self._sieves: list[Sieve] = []
        self._pair_options: dict[Link, NetworkOptions] = {}
        self._bad: set[Link] = set()
        self._busy_until: dict[Link, int] = {}
        self._last_arrival: dict[Link, int] = {}
        self._in_flight: dict[Link, int] = {}
        self._rough = options.is_rough

    def attach(self, node: NodeId, inlet: Inlet) -> None:
        """Deliver datagrams for `node` to `inlet(datagram, source)`."""
        self._inlets[node] = inlet

    # -- faults: links ----------------------------------------------------------------------------

    def links_between(self, sides: Iterable[Iterable[NodeId]]) -> list[Link]:
        """Every link between two nodes that share no side; a node on no side is alone.

        Sides may overlap: two that share one node are joined by a bridge.
        """
        sets = [frozenset(side) for side in sides]
        return [
            (source, target)
            for source in self._inlets
            for target in self._inlets
            if source != target and not any(source in side and target in side for side in sets)
        ]

    def links_of(self, node: NodeId) -> list[Link]:
        """Every link from and to `node`."""
        others = [other for other in self._inlets if other != node]
        return [(node, other) for other in others] + [(other, node) for other in others]

    def cut(self, links: Iterable[Link]) -> None:
        """Lose everything on `links`, until joined as often as cut."""
        for link in links:
            self._cut[link] = self._cut.get(link, 0) + 1

    def join(self, links: Iterable[Link]) -> None:
        """End one cut of each of `links`."""
        _end(self._cut, links)

    def partition(self, sides: Iterable[Iterable[NodeId]]) -> None:
        """Cut every link between nodes that share no side; a node on no side is alone."""
        self.cut(self.links_between(sides))

    def cut_one_way(self, source: NodeId, target: NodeId) -> None:
        """Lose everything from `source` to `target`."""
        self.cut([(source, target)])

    def heal(self) -> None:
        """Join every link again."""
        self._cut.clear()
        self._flaps.clear()

    def flap(self, links: Sequence[Link], period_ns: int) -> None:
        """Cut `links` now, and join and cut them in turn every `period_ns`."""
        self.unflap(links)
        self._serial += 1
        self._toggle(tuple(links), period_ns, self._serial, True)

    def unflap(self, links: Sequence[Link]) -> None:
        """End the flapping of exactly these links."""
        _, is_down = self._flaps.pop(tuple(links), (0, False))
        if is_down:
            self.join(links)

    def _toggle(self, links: tuple[Link, ...], period: int, serial: int, down: bool) -> None:
        if down:
            self.cut(links)
        else:
            self.join(links)
        self._flaps[links] = (serial, down)
        self._scheduler.after(period, self._flap_on, links, period, serial)

    def _flap_on(self, links: tuple[Link, ...], period: int, serial: int) -> None:
        current, is_down = self._flaps.get(links, (0, False))
        if current == serial:
            self._toggle(links, period, serial, not is_down)

    def clog(self, links: Iterable[Link]) -> None:
        """Hold everything that arrives over `links`, until unclogged as often."""
        for link in links:
            self._clogs[link] = self._clogs.get(link, 0) + 1
            self._held.setdefault(link, [])

    def unclog(self, links: Iterable[Link]) -> None:
        """End one clog of each of `links`; what was held arrives now, in order."""
        links = list(links)
        _end(self._clogs, links)
        for link in links:
            if link not in self._clogs:
                for datagram in self._held.pop(link, ()):
                    self._in_flight[link] = self._in_flight.get(link, 0) + 1
                    self._scheduler.after(0, self._arrive, link, datagram)

    def is_open(self, link: Link) -> bool:
        """Whether nothing cuts it."""
        return link not in self._cut

    @property
    def last_arrival(self) -> int:
        """When the last of what is in flight arrives, but for copies a few milliseconds later."""
        return max(self.replays_until, *self._last_arrival.values(), 0)

    @property
    def holds_the_past(self) -> bool:
        """Whether datagrams of long ago may still arrive."""
        return bool(self.replays or self._held)

    # -- faults: datagrams ------------------------------------------------------------------------

    def change(self, **named: float) -> None:
        """Replace options of the whole network by name."""
        self.options = replace(self.options, **named)  # type: ignore[arg-type]  # named by caller
        self._look()

    def change_link(self, link: Link, **named: float) -> None:
        """Replace options of one link by name; without names it is like the others again."""
        if named:
            options = self._pair_options.get(link, self.options)
            options = replace(options, **named)  # type: ignore[arg-type]  # named by caller
            self._pair_options[link] = options
        else:
            self._pair_options.pop(link, None)
        self._look()

    def add_sieve(self, sieve: Sieve) -> None:
        """Lose a share of what `sieve` matches from now on."""
        self._sieves.append(sieve)
        self._look()

    def remove_sieve(self, sieve: Sieve) -> None:
        """No longer, if it was there."""
        if sieve in self._sieves:
            self._sieves.remove(sieve)
            self._look()

    def add_rule(self, rule: Rule) -> None:
        """Let a scripted fault act on the next datagrams that it matches."""
        self._rules.append(rule)
        self._look()

    def record(self) -> None:
        """Let an eavesdropper listen from now on."""
        if self.recorded is None:
            self.recorded = deque(maxlen=RECORDED_MAX)
            self._look()

    def calm(self, options: NetworkOptions) -> None:
        """End every fault and go on with `options` on every link; replays are still to come."""
        self.heal()
        self.unclog([link for link, times in self._clogs.items() for _ in range(times)])
        self._rules.clear()
        self._sieves.clear()
        self._pair_options.clear()
        self._bad.clear()
        self.recorded = None
        self.options = options
        self._look()

    def _look(self) -> None:
        self._rough = bool(
            self._rules
            or self._sieves
            or self._pair_options
            or self.recorded is not None
            or self.options.is_rough
        )

    # -- datagrams --------------------------------------------------------------------------------

    def send(self, source: NodeId, target: NodeId, datagram: bytes) -> None:
        """Send one datagram; it arrives later, twice, or never."""
        link = (source, target)
        self.sent += 1
        if link in self._cut:
            self.lost += 1
        elif self._rough:
            self._send_rough(link, datagram)
        else:
            options = self.options
            if options.loss and self._random.random() < options.loss:
                self.lost += 1
                return
            self._launch(link, datagram, options)
            if options.duplicate and self._random.random() < options.duplicate:
                late = int(self._random.random() * options.duplicate_ns)
                self._launch(link, datagram, options, late=max(1, late))

    def send_all(self, source: NodeId, datagrams: list[bytes]) -> None:
        """Send each datagram, in order, to every other node."""
        for target in self._inlets:
            if target != source:
                for datagram in datagrams:
                    self.send(source, target, datagram)

    def fan_out(self, source: NodeId, datagrams: list[bytes]) -> list[tuple[NodeId, bytes]]:
        """What `send_all` sends to whom, one by one."""
        targets = [target for target in self._inlets if target != source]
        return [(target, datagram) for target in targets for datagram in datagrams]

    def _send_rough(self, link: Link, datagram: bytes) -> None:
        """The long way, for faults that are rare."""
        options = self._pair_options.get(link, self.options)
        random = self._random
        if self.recorded is not None:
            self.recorded.append(datagram)
        rule = self._matching_rule(link, datagram) if self._rules else None
        action = rule.action if rule is not None else ""
        if action == "drop" or self._is_lost(link, datagram, options):
            self.lost += 1
            return
        wait = self._wait_for_room(link, len(datagram), options)
        if wait is None:
            self.lost += 1
            return
        if options.corrupt and random.random() < options.corrupt:
            datagram = corrupted(random, datagram)
        self._launch(link, datagram, options, wait, rule.delay_ns if rule is not None else 0)
        if action == "duplicate" or (options.duplicate and random.random() < options.duplicate):
            late = int(random.random() * options.duplicate_ns)
            self._launch(link, datagram, options, wait, max(1, late))
        if options.replay and random.random() < options.replay:
            self._replay(link, datagram, options)

    def _is_lost(self, link: Link, datagram: bytes, options: NetworkOptions) -> bool:
        random = self._random
        if options.loss and random.random() < options.loss:
            return True
        if self._sieves:
            kind = self._name(datagram)
            for sieve in self._sieves:
                if _matches(sieve, kind, link) and random.random() < sieve.loss:
                    return True
        if not options.burst:
            return False
        if link not in self._bad:
            if random.random() >= options.burst:
                return False
            self._bad.add(link)
        elif random.random() * options.burst_length < 1.0:
            self._bad.remove(link)
            return False
        return random.random() < options.burst_loss

    def _wait_for_room(self, link: Link, size: int, options: NetworkOptions) -> int | None:
        """Nanoseconds until the link has taken `size` bytes; None when its queue is full."""
        rate = options.capacity_bytes_s
        if not rate:
            return 0
        now = self._scheduler.now
        start = max(now, self._busy_until.get(link, 0))
        if (start - now) * rate > options.backlog_bytes * SECOND:
            return None
        self._busy_until[link] = end = start + size * SECOND // rate
        return end - now

    def _matching_rule(self, link: Link, datagram: bytes) -> Rule | None:
        kind = self._name(datagram)
        for rule in self._rules:
            if _matches(rule, kind, link):
                rule.count -= 1
                if rule.count <= 0:
                    self._rules.remove(rule)
                    self._look()
                return rule
        return None

    def _launch(
        self, link: Link, datagram: bytes, options: NetworkOptions, wait: int = 0, late: int = 0
    ) -> None:
        """Let a copy fly: `wait` is the queue before the link; `late` lets others overtake."""
        flying = self._in_flight.get(link, 0)
        if flying >= IN_FLIGHT_PER_PAIR_MAX:
            self.lost += 1
            return
        self._in_flight[link] = flying + 1
        random = self._random
        if options.tail_shape:
            share = random.paretovariate(options.tail_shape) - 1.0
            delay = wait + options.delay_min_ns
            delay += min(int(share * options.delay_mean_ns), options.tail_ns_max)
        else:
            # The exponential distribution, as random.expovariate has it.
            share = -log(1.0 - random.random())
            delay = wait + options.delay_min_ns + int(share * options.delay_mean_ns)
        arrival = self._scheduler.now + delay
        if late:
            arrival += late
        elif options.reorder and random.random() < options.reorder:
            arrival += int(random.random() * options.reorder_ns)
        else:
            # Equal arrival times keep their order in the scheduler, so ">=" is order enough.
            last = self._last_arrival.get(link, 0)
            if arrival < last:
                arrival = last
            else:
                self._last_arrival[link] = arrival
        self._scheduler.at(arrival, self._arrive, link, datagram)

    def _replay(self, link: Link, datagram: bytes, options: NetworkOptions) -> None:
        if self.replays >= REPLAYS_MAX:
            return
        self.replays += 1
        span = max(1, options.replay_ns - REPLAY_NS_MIN)
        arrival = self._scheduler.now + REPLAY_NS_MIN + int(self._random.random() * span)
        self.replays_until = max(self.replays_until, arrival)
        self._scheduler.at(arrival, self._arrive_again, link, datagram)

    def _arrive_again(self, link: Link, datagram: bytes) -> None:
        self.replays -= 1
        self._in_flight[link] = self._in_flight.get(link, 0) + 1
        self._arrive(link, datagram)

    def _arrive(self, link: Link, datagram: bytes) -> None:
        self._in_flight[link] -= 1
        if link in self._cut:
            self.lost += 1
        elif link in self._held:
            held = self._held[link]
            if len(held) < HELD_PER_PAIR_MAX:
                held.append(datagram)
            else:
                self.lost += 1
        else:
            self.delivered += 1
            self._inlets[link[1]](datagram, link[0])


def _end(counts: dict[Link, int], links: Iterable[Link]) -> None:
    for link in links:
        times = counts.get(link, 0)
        if times > 1:
            counts[link] = times - 1
        else:
            counts.pop(link, None)


def _matches(wanted: Rule | Sieve, kind: IntEnum | None, link: Link) -> bool:
    return (
        wanted.kind in (None, kind)
        and wanted.source in (None, link[0])
        and wanted.target in (None, link[1])
    )


def corrupted(random: Random, datagram: bytes) -> bytes:
    """The same with one to eight bits flipped, or cut short, or both."""
    changed = bytearray(datagram)
    if changed and random.random() < 0.7:
        for _ in range(random.randint(1, 8)):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    if random.random() < 0.4:
        del changed[random.randrange(len(changed) + 1) :]
    return bytes(changed)
