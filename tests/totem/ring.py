"""A ring of machines on a bus that loses nothing unless told to."""

from collections import deque
from collections.abc import Callable

from unisono.base.group import (
    ConfigurationChanged,
    ConfigurationKind,
    Delivered,
    Discard,
    Guarantee,
    Left,
    Marked,
    Multicast,
    SendAll,
    SendTo,
    StoreRingSeq,
    Submitted,
    SyncFinished,
)
from unisono.base.ids import MS, NodeId
from unisono.base.marks import Mark
from unisono.config.settings import RingSettings
from unisono.totem import Start, Totem
from unisono.wire.ring.srp import RingMessage, decode

SETTINGS = RingSettings(
    token_timeout_ns=1000 * MS,
    token_retransmit_ns=238 * MS,
    hold_ns=180 * MS,
    consensus_ns=1200 * MS,
)
HOP_NS = 50_000
ROUNDS_MAX = 200_000


class Ring:
    """Machines 1..n; `lose(source, target, message)` decides what is dropped on the way."""

    def __init__(
        self, count: int, *, settings: RingSettings = SETTINGS, native: bool = False
    ) -> None:
        self.now = 0
        self.native = native
        self.machines: dict[int, Totem] = {}
        self.stored: dict[int, int] = {}
        self.deliveries: dict[int, list[tuple[int, bytes]]] = {}
        self.views: dict[int, list[ConfigurationChanged]] = {}
        self.events: dict[int, list[object]] = {}
        self.effects: dict[int, list[object]] = {}
        self.marks: dict[int, list[Marked]] = {}
        self.wire: deque[tuple[int, int, bytes]] = deque()
        self.lose: Callable[[int, int, RingMessage], bool] = lambda *_: False
        self.auto_sync = True
        for number in range(1, count + 1):
            self.start(number, settings=settings)

    def start(self, number: int, *, settings: RingSettings = SETTINGS) -> None:
        """Start machine `number` with what it stored before."""
        self.stored[number] = self.stored.get(number, 0)
        self.machines[number] = Totem(settings, NodeId(number), self.stored[number] + 1)
        self.deliveries[number] = []
        self.views[number] = []
        self.events[number] = []
        self.effects[number] = []
        self.marks[number] = []
        self.machines[number].submit(Start(), self.now)

    def kill(self, number: int) -> None:
        """The machine is gone without a word."""
        del self.machines[number]

    def send(self, number: int, text: bytes, *, safe: bool = False) -> Submitted:
        """Multicast `text` from machine `number`."""
        guarantee = Guarantee.SAFE if safe else Guarantee.AGREED
        answer = self.machines[number].submit(Multicast(b"g", text, guarantee), self.now)
        self.carry_out(number)
        return answer

    def carry_out(self, number: int) -> None:
        """Drain machine `number` until it is empty."""
        machine = self.machines[number]
        while effects := machine.drain(self.now):
            for effect in effects:
                self._apply(number, machine, effect)

    def _apply(self, number: int, machine: Totem, effect: object) -> None:
        self.effects[number].append(effect)
        match effect:
            case SendTo(target, datagram):
                self.wire.append((number, target, bytes(datagram)))
            case SendAll(datagrams):
                for other in sorted(self.machines):
                    if other != number:
                        self.wire.extend((number, other, bytes(d)) for d in datagrams)
            case StoreRingSeq(seq):
                self.stored[number] = seq
            case Delivered():
                text = bytes(effect.payload)
                self.deliveries[number].append((effect.origin, text))
                self.events[number].append((effect.origin, text))
            case ConfigurationChanged():
                self.views[number].append(effect)
                self.events[number].append(effect)
                if effect.kind is ConfigurationKind.REGULAR and self.auto_sync:
                    machine.submit(SyncFinished(self.native, effect.ring), self.now)
            case Marked():
                self.marks[number].append(effect)
            case Left() | Discard():
                self.events[number].append(effect)

    def hand(self, number: int, datagram: bytes) -> None:
        """Give machine `number` one datagram now."""
        self.machines[number].receive(datagram, None, self.now)
        self.carry_out(number)

    def run(self, until: Callable[[], bool], *, limit_ms: int = 20_000) -> None:
        """Let time pass until `until()`; fails when it has not come true within `limit_ms`."""
        end = self.now + limit_ms * MS
        for _ in range(ROUNDS_MAX):
            if until():
                return
            if self.wire:
                self._one_hop()
            elif not self._next_timer(end):
                break
        assert until(), self.describe()

    def idle(self, milliseconds: int) -> None:
        """Let exactly that much time pass."""
        end = self.now + milliseconds * MS
        for _ in range(ROUNDS_MAX):
            if self.wire:
                self._one_hop()
            elif not self._next_timer(end):
                self.now = end
                return

    def _one_hop(self) -> None:
        self.now += HOP_NS
        source, target, datagram = self.wire.popleft()
        if target in self.machines and not self.lose(source, target, decode(datagram)):
            self.hand(target, datagram)

    def _next_timer(self, end: int) -> bool:
        due = [(m.deadline(), n) for n, m in self.machines.items() if m.deadline() is not None]
        if not due:
            return False
        deadline, number = min(due)  # type: ignore[type-var]  # None was filtered out
        assert deadline is not None
        if max(deadline, self.now) > end:
            return False
        self.now = max(self.now, deadline)
        self.machines[number].expire(self.now)
        self.carry_out(number)
        return True

    def form(self) -> None:
        """Run until all machines share one regular configuration and the first exchange is over."""
        self.run(self.is_formed)

    def is_formed(self) -> bool:
        """Whether all machines that live are one ring."""
        everybody = tuple(sorted(self.machines))
        return all(
            self.views[n]
            and self.views[n][-1].kind is ConfigurationKind.REGULAR
            and self.views[n][-1].members == everybody
            and self.views[n][-1].ring == self.views[min(everybody)][-1].ring
            for n in everybody
        )

    def all_have(self, count: int) -> Callable[[], bool]:
        """A condition: every machine delivered `count` messages."""
        return lambda: all(len(self.deliveries[n]) >= count for n in self.machines)

    def marked(self, number: int, mark: Mark) -> int:
        """How often machine `number` made that mark."""
        return sum(1 for made in self.marks[number] if made.mark is mark)

    def describe(self) -> str:
        """What a failing test wants to know."""
        return "; ".join(
            f"{n}: {m.state.value} ring {m.ring} views {len(self.views[n])} "
            f"delivered {len(self.deliveries[n])}"
            for n, m in sorted(self.machines.items())
        )
