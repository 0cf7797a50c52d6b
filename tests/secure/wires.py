"""Some nodes' secure machines on wires that lose nothing unless told to."""

from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from tests.secure.line import joined
from unisono.base.group import Buffer, Marked, SendAll, SendTo
from unisono.base.ids import MS, SECOND, Nanos, NodeId
from unisono.base.marks import Mark
from unisono.config.settings import LinkSettings
from unisono.crypto.keys import ClusterKeys, derive
from unisono.crypto.noise import StaticKeys
from unisono.crypto.sender_keys import CIPHERS
from unisono.secure.context import Context, Keyring
from unisono.secure.events import (
    Adopted,
    Arrived,
    Begin,
    KeyTold,
    PathLimit,
    PeerGone,
    Request,
    Transmit,
)
from unisono.secure.machine import Secure
from unisono.secure.plan import SecurePlan

KEYS = derive(bytes(range(256)), "demo")
HOP_NS = 50_000
ROUNDS_MAX = 500_000


def link_settings(count: int) -> tuple[LinkSettings, ...]:
    """Links 0 .. count-1 as a configuration with defaults has them."""
    return tuple(
        LinkSettings(
            number=number,
            port=5405 + number,
            priority=1,
            ping_interval_ns=100 * MS,
            ping_timeout_ns=400 * MS,
            pong_count=2,
        )
        for number in range(count)
    )


class Wires:
    """Machines 1..n; `lose(source, target, link, packet)` decides what is dropped on the way."""

    def __init__(
        self,
        count: int,
        *,
        links: int = 1,
        mode: str = "passive",
        limit: int = 1_472,
        keys: dict[int, ClusterKeys] | None = None,
        static_keys: dict[int, dict[NodeId, StaticKeys]] | None = None,
    ) -> None:
        self.now = Nanos(10 * SECOND)
        self.count = count
        self.links = link_settings(links)
        self.mode = mode
        self.limit = limit
        self.keys = keys or {}
        self.static_keys = static_keys or {}
        self.lives: dict[int, int] = {}
        self.machines: dict[int, Secure] = {}
        self.contexts: dict[int, Context] = {}
        self.frames: dict[int, list[tuple[int, bytes]]] = {}
        self.events: dict[int, list[object]] = {}
        self.marks: dict[int, list[Marked]] = {}
        self.air: deque[tuple[Nanos, int, int, int, list[bytes]]] = deque()
        self.recorded: list[tuple[int, int, int, bytes]] = []
        self.lose: Callable[[int, int, int, bytes], bool] = lambda *_: False
        for number in range(1, count + 1):
            self.start(number)

    def start(self, number: int) -> None:
        """Start machine `number`, in a new life if there was one."""
        self.lives[number] = self.lives.get(number, 0) + 1
        random = Random(f"{number}/{self.lives[number]}")
        keyring = Keyring(self.keys.get(number, KEYS))
        context = Context(
            NodeId(number), "demo", keyring, CIPHERS["aes256"], random.randbytes,
            random.randbytes(16), static_keys=self.static_keys.get(number, {}),
        )  # fmt: skip
        others = [NodeId(n) for n in range(1, self.count + 1) if n != number]
        plan = SecurePlan(dict.fromkeys(others, self.links), self.mode)
        self.contexts[number] = context
        self.machines[number] = Secure(plan, context, self.now)
        self.frames[number] = []
        self.events[number] = []
        self.marks[number] = []
        for link in self.links:
            self.submit(number, PathLimit(link.number, self.limit))
        self.submit(number, Begin())

    def kill(self, number: int) -> None:
        """The daemon is gone without a word."""
        del self.machines[number]

    def submit(self, number: int, request: Request) -> None:
        """Give machine `number` a request."""
        self.machines[number].submit(request, self.now)
        self._carry_out(number)

    def send(self, number: int, frame: bytes, to: int | None = None) -> None:
        """A datagram of the ring, to all or to one."""
        self.submit(number, SendAll([frame]) if to is None else SendTo(NodeId(to), frame))

    def hand(self, number: int, packets: Sequence[Buffer], node: int | None, link: int = 0) -> None:
        """Packets arrive at machine `number` from the address of `node`."""
        who = None if node is None else NodeId(node)
        source = f"10.0.{link}.{node}:5405"
        self.machines[number].receive(joined(packets), source, who, link, self.now)
        self._carry_out(number)

    def run(self, milliseconds: int) -> None:
        """Let exactly that much time pass."""
        end = Nanos(self.now + milliseconds * MS)
        for _ in range(ROUNDS_MAX):
            if not self._step(end):
                self.now = end
                return
        raise AssertionError("the machines spin")

    def run_until(self, until: Callable[[], bool], *, limit_ms: int = 20_000) -> None:
        """Let time pass until `until()`; fails when it has not come true within `limit_ms`."""
        end = Nanos(self.now + limit_ms * MS)
        for _ in range(ROUNDS_MAX):
            if until():
                return
            if not self._step(end):
                break
        assert until()

    def form(self) -> None:
        """Until everybody can send frames to everybody."""
        self.run_until(self.is_formed, limit_ms=5_000)

    def is_formed(self) -> bool:
        """Whether everybody can send frames to everybody."""
        return all(
            channel.has_key(machine._keys.current.generation) and channel.links.any_up
            for machine in self.machines.values()
            for node, channel in machine._channels.items()
            if node in self.machines
        )

    def marked(self, number: int, mark: Mark) -> list[Marked]:
        """The marks of one kind of machine `number`."""
        return [marked for marked in self.marks[number] if marked.mark is mark]

    def _step(self, end: Nanos) -> bool:
        due = self.air[0][0] if self.air else end
        who = 0
        for number, machine in self.machines.items():
            deadline = machine.deadline()
            if deadline is not None and deadline < due:
                due, who = deadline, number
        if due >= end:
            return False
        self.now = max(self.now, due)
        if who:
            self.machines[who].expire(self.now)
            self._carry_out(who)
        else:
            _, source, target, link, packets = self.air.popleft()
            if target in self.machines:
                self.hand(target, packets, source, link)
        return True

    def _carry_out(self, number: int) -> None:
        machine = self.machines[number]
        while effects := machine.drain():
            for effect in effects:
                self._apply(number, effect)

    def _apply(self, number: int, effect: object) -> None:
        match effect:
            case Transmit(ways, packets):
                for node, link in ways:
                    for packet in packets:
                        assert len(packet) <= 65_507
                        self.recorded.append((number, node, link, packet))
                    passed = [
                        packet
                        for packet in packets
                        if len(packet) <= self.limit and not self.lose(number, node, link, packet)
                    ]
                    if passed:
                        due = Nanos(self.now + HOP_NS)
                        self.air.append((due, number, node, link, passed))
            case Arrived(node, frames):
                self.frames[number] += [(node, bytes(frame)) for frame in frames]
            case Marked():
                self.marks[number].append(effect)
            case PeerGone() | Adopted() | KeyTold():
                self.events[number].append(effect)
            case _:
                raise AssertionError(effect)
