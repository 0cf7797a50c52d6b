"""A simulated node: the real ring and a real group machine, wired as the executive must wire them.

Speaks:      datagrams from the network, requests of simulated clients, virtual timers.
Counterpart: the executive; corosync exec/main.c.
Keeps:       effects are carried out one by one, in order: stored first, what depends on it after;
             the machines see only the node's own clock, the trace only the world's.
Never:       decides anything: what to break and when comes from faults.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeAlias

from unisono.base.clients import ClientGone, Disconnect, Notify, Reply, ShutDown
from unisono.base.group import (
    ConfigurationChanged,
    ConfigurationKind,
    Delivered,
    Discard,
    Guarantee,
    Leave,
    Left,
    Marked,
    Multicast,
    Pace,
    SendAll,
    SendTo,
    StoreRingSeq,
    Submitted,
    SyncFinished,
)
from unisono.base.ids import MS, NO_RING, ClientId, Nanos, NodeId, RingId
from unisono.base.limits import SEND_QUEUE_BYTES_MAX
from unisono.base.marks import Mark
from unisono.config.reload import (
    ConfigurationRead,
    ReadConfiguration,
    ReloadAsked,
    SettingsChanged,
)
from unisono.config.settings import RingSettings
from unisono.services import Engine
from unisono.sim import trace
from unisono.sim.clock import NodeClock
from unisono.sim.files import READING_NS, ConfigurationFile
from unisono.sim.messages import key_of
from unisono.sim.network import Inlet, Network
from unisono.sim.scheduler import Livelock, Scheduler
from unisono.sim.wiretap import TAPPED_GROUPS, Wiretap
from unisono.totem import Reconfigure, Start, State, Totem

INBOX_BYTES_MAX: Final = 2_179_072
"""A socket's receive buffer while its process sleeps: Corosync's SO_RCVBUF."""
READ_PER_WAKE_MAX: Final = 64
"""Datagrams that a driver reads before it looks at its timers (DESIGN D1)."""
EFFECTS_PER_CALL_MAX: Final = 100_000
LEVEL_STOP: Final = 0.75
LEVEL_RESUME: Final = 0.5
STORES_KEPT: Final = 64
"""Ring sequences that were stored one after the other: a disk image may be of any of them."""
SYNC: Final = "sync"
"""The part of State.OPERATIONAL in which the services agree."""
KEPT_MAX: Final = 512
"""Multicasts that the ring refused and the driver keeps; readers have stopped long before."""


News: TypeAlias = ClientGone | ConfigurationRead | ReloadAsked
"""What the services are told whether clients are read or not."""


class GroupMachine(Protocol):
    """What stands above the ring: the services' engine, or `PlainGroup`."""

    @property
    def accepting(self) -> bool:
        """Whether requests of clients are welcome."""

    def receive(self, event: Delivered | ConfigurationChanged, now: Any) -> None:
        """One event of the ring."""

    def submit(self, request: Any, now: Any) -> Any:
        """One request of a client."""

    def expire(self, now: Any) -> None:
        """The deadline has come."""

    def deadline(self) -> int | None:
        """When to be called next."""

    def drain(self) -> list[Any]:
        """What is to be done, in order."""


class Desk(Protocol):
    """The simulated clients of one node."""

    def carry(self, effect: Reply | Notify | Disconnect) -> None:
        """An effect for one of them."""

    def daemon_gone(self) -> None:
        """Their daemon died."""


@dataclass(slots=True)
class World:
    """What the nodes of one cluster share."""

    scheduler: Scheduler
    network: Network
    trace: trace.Trace
    epochs: dict[NodeId, int]
    """How often each node has lost its store."""
    marks: dict[Mark, int]
    members: tuple[NodeId, ...]
    """All nodes of the configuration."""


@dataclass(frozen=True, slots=True)
class Trap:
    """Crash `effects` effects after the ring was first seen in `state`, if that is before `until`.

    `state` is a value of State, or SYNC.
    """

    state: str
    effects: int
    until: int


@dataclass(slots=True)
class Waiting:
    """A client's request that the daemon has not read yet; `taken()` is called when it does."""

    request: Any
    taken: Callable[[], None] | None = None

    @property
    def size(self) -> int:
        """Bytes of the message, if it is one."""
        return len(getattr(self.request, "payload", b"") or getattr(self.request, "message", b""))


class SimulatedNode:
    """One machine with its disk; its daemon may crash, start, sleep and wake."""

    def __init__(
        self,
        node: NodeId,
        world: World,
        settings: RingSettings,
        make_group: Callable[[NodeId], GroupMachine],
        *,
        lives_before: int = 0,
    ) -> None:
        self.node = node
        self.world = world
        self.settings = settings
        """What the next start takes up."""
        self.known = world.members
        """Who may join, as far as this node's configuration goes; the next start takes it up."""
        self.taken_up = (settings, world.members)
        """What the last start did take up of these two."""
        self.stored_ring_seq: int | None = None
        self.stored_before: deque[int] = deque(maxlen=STORES_KEPT)
        self.who = trace.Process(node, lives_before)
        self.totem: Totem | None = None
        self.group: GroupMachine = make_group(node)
        self.desk: Desk | None = None
        self.paused = False
        self.crash_after: int | None = None
        """Crash when that many more effects were carried out."""
        self.crash_in_send: tuple[int, int] | None = None
        """Skip so many multicasts, then crash in the middle of one; the second picks the place."""
        self.trap: Trap | None = None
        self.waiting: deque[Waiting] = deque()
        self._make_group = make_group
        self._effects: deque[Any] = deque()
        self._news: deque[News] = deque()
        self.file = ConfigurationFile()
        self._kept: deque[Multicast] = deque()
        self._kept_sync: deque[Multicast] = deque()
        self._syncing = False
        self._reading = True
        self._clean = False
        self._carrying = False
        self._inbox: deque[tuple[bytes, Any]] = deque()
        """What waits to be read, and where it comes from."""
        self._inbox_bytes = 0
        self._rings: dict[RingId, trace.Ring] = {}
        self._current: RingId = NO_RING
        self._timer_at: int | None = None
        self._cost_ns = 0
        self._is_working = False
        self._batch = 0
        self._clock = NodeClock(world.scheduler)
        self._tap = Wiretap(self.who, world.trace, world.scheduler, world.epochs)
        self._sayers = world.trace.ears(trace.Said)
        self._carriers: dict[type, Callable[[Any], None]] = {
            SendTo: self._send_to,
            SendAll: self._send_all,
            StoreRingSeq: self._store,
            Delivered: self._deliver,
            ConfigurationChanged: self._install,
            Marked: self._mark,
            Left: self._leave_done,
            Discard: self._discard,
            Multicast: self._multicast,
            SyncFinished: self._sync_finished,
            Reply: self._client_effect,
            Notify: self._client_effect,
            Disconnect: self._client_effect,
            ShutDown: self._shut_down,
            ReadConfiguration: self._read_configuration,
            SettingsChanged: self._settings_changed,
        }
        world.network.attach(node, self.arrive)

    @property
    def running(self) -> bool:
        """Whether the daemon lives (it may be paused)."""
        return self.totem is not None

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be read from clients or to be taken by the ring."""
        totem = self.totem
        return (
            not self.waiting
            and not self._kept
            and not self._kept_sync
            and (totem is None or totem.queue_level == 0)
        )

    @property
    def ring_rep(self) -> NodeId:
        """The representative of the ring installed last, 0 before the first."""
        return self._current.rep

    @property
    def more_parts(self) -> dict[str, object]:
        """Machines besides ring and services, by name."""
        return {}

    def is_involved_with(self, node: NodeId) -> bool:
        """Whether the daemon is on a ring that `node` made, forms one, or may have read of one."""
        if self.totem is None:
            return False
        reps = (self._current.rep, self.totem.ring.rep)
        return self.paused or bool(self._inbox) or node in reps

    @property
    def bytes_waiting(self) -> int:
        """Bytes of messages that clients, driver and ring still hold (the ring's as a guess)."""
        held = sum(len(kept.payload) for kept in (*self._kept, *self._kept_sync))
        held += sum(waiting.size for waiting in self.waiting)
        return held + int((self.totem.queue_level if self.totem else 0) * SEND_QUEUE_BYTES_MAX)

    # -- what happens to the machine --------------------------------------------------------------

    def start(self, *, keep_store: bool = True, stores_back: int = 0) -> None:
        """Start the daemon: a new life, with the stored ring sequence or without.

        With `stores_back`, as a machine rolled back to a snapshot: what was stored that many times
        ago is what it finds.
        """
        assert self.totem is None, "the daemon runs already"
        kept = keep_store and not (stores_back and self.stored_before)
        if not kept and self.stored_ring_seq is not None:
            before = self.stored_before
            self.stored_ring_seq = before[max(0, len(before) - stores_back)] if keep_store else None
            self.world.epochs[self.node] = self.world.epochs.get(self.node, 0) + 1
            before.clear()
        self.who = trace.Process(self.node, self.who.life + 1)
        ring_seq = (self.stored_ring_seq or 0) + 1
        self._tap.begin(self.who)
        self._add(trace.Booted(self._now, self.who, ring_seq, kept))
        self.totem = Totem(self.settings, self.node, ring_seq, known=self.known)
        self.taken_up = (self.settings, self.known)
        self.group = self._make_group(self.node)
        self._effects.clear()
        self._news.clear()
        self._kept.clear()
        self._kept_sync.clear()
        self._rings.clear()
        self._current = NO_RING
        self._syncing = self._clean = self.paused = False
        self._reading = True
        self._empty_inbox()
        self._is_working = False
        self._timer_at = None
        self.totem.submit(Start(), self._clock.now)
        self._carry()

    def crash(self) -> None:
        """The daemon is gone between two effects; what it stored stays."""
        if self.totem is None:
            return
        self.totem = None
        self.crash_after = self.crash_in_send = self.trap = None
        self.paused = False
        self._clock.run()
        self._effects.clear()
        self._empty_inbox()
        self.waiting.clear()
        self._add(trace.Crashed(self._now, self.who, self._clean))
        if self.desk is not None:
            self.desk.daemon_gone()

    def spare(self) -> None:
        """Forget every crash to come."""
        self.crash_after = self.crash_in_send = self.trap = None

    def leave(self) -> None:
        """Ask the daemon to leave the ring cleanly and to end."""
        if self.totem is not None and not self.paused:
            self.totem.submit(Leave(), self._clock.now)
            self._carry()

    def pace(self, slow: bool) -> None:
        """Tell the ring that a local reader is behind, or no longer."""
        if self.totem is not None and not self.paused:
            self.totem.submit(Pace(slow), self._clock.now)
            self._carry()

    def pause(self, *, clock_too: bool = False) -> None:
        """Stop the process (SIGSTOP): datagrams queue up, timers pass unnoticed.

        With `clock_too`, as a virtual machine whose clock stops with it: it will not notice.
        """
        if self.totem is not None:
            self.paused = True
            if clock_too:
                self._clock.stop()

    def resume(self) -> None:
        """Let the process go on: it reads what has queued up, then looks at its timers."""
        if not self.paused:
            return
        self.paused = False
        self._clock.run()
        if self._cost_ns and self._inbox:
            self._work_later()
            return
        self._catch_up()

    def slow_down(self, cost_ns: int) -> None:
        """Let each datagram cost that much time from now on; 0 is as fast as can be."""
        self._cost_ns = cost_ns
        if not cost_ns and self.totem is not None and not self.paused:
            self._catch_up()

    def drift(self, parts_per_million: int) -> None:
        """Let the node's clock run that much faster (negative: slower) than the world's."""
        if parts_per_million or self._clock.is_own:
            self._clock.drift(parts_per_million)
            self._clock_changed()

    def leap(self, nanoseconds: int) -> None:
        """Let the node's clock jump ahead."""
        self._clock.leap(nanoseconds)
        self._clock_changed()

    def _clock_changed(self) -> None:
        self._timer_at = None
        if self.totem is not None and not self.paused:
            self._expire_due()

    def _catch_up(self) -> None:
        while self._inbox and not self.paused:
            for _ in range(min(READ_PER_WAKE_MAX, len(self._inbox))):
                if not self._inbox:
                    break
                self._read(*self._take())
            self._expire_due()
        self._expire_due()

    def _take(self) -> tuple[bytes, Any]:
        datagram, source = self._inbox.popleft()
        self._inbox_bytes -= len(datagram)
        return datagram, source

    def _work_later(self) -> None:
        if not self._is_working:
            self._is_working = True
            life = self.who.life
            self.world.scheduler.after(self._cost_ns, self._work, life)

    def _work(self, life: int) -> None:
        """A slow process has read one datagram more; timers have their turn after a batch."""
        if life != self.who.life or self.totem is None:
            return
        self._is_working = False
        if self.paused or not self._inbox:
            return
        self._read(*self._take())
        self._batch += 1
        if not self._inbox or self._batch >= READ_PER_WAKE_MAX:
            self._batch = 0
            self._expire_due()
        if self._inbox and self._cost_ns:
            self._work_later()

    def offer(self, waiting: Waiting) -> None:
        """A client writes a request; the daemon reads it when it accepts requests."""
        if self.totem is None:
            return
        self.waiting.append(waiting)
        if not self._carrying and not self.paused:
            self._carry()

    def tell(self, news: News) -> None:
        """A client is gone, or the like; the driver notices whether it reads clients or not."""
        if self.totem is not None:
            self._news.append(news)
            if not self._carrying and not self.paused:
                self._carry()

    @property
    def is_reloading(self) -> bool:
        """Whether this daemon takes part in a reload."""
        return self.running and isinstance(self.group, Engine) and self.group.is_reloading

    def hang_up(self) -> None:
        """SIGHUP: services read the configuration again; without them nobody does."""
        if isinstance(self.group, Engine):
            self.tell(ReloadAsked())

    def withdraw(self, client: ClientId) -> None:
        """Forget what `client` wrote and the daemon has not read."""
        self.waiting = deque(each for each in self.waiting if each.request.client != client)

    def arrive(self, datagram: bytes, source: NodeId) -> None:
        """One datagram from the network."""
        if self.totem is None:
            return
        if not self.paused and not self._cost_ns:
            self._read(datagram, source)
        elif self._inbox_bytes + len(datagram) <= INBOX_BYTES_MAX:
            self._inbox.append((datagram, source))
            self._inbox_bytes += len(datagram)
            if not self.paused:
                self._work_later()

    def wiretap(self, wrap: Callable[[Inlet], Inlet]) -> None:
        """Put something before the door through which the ring's datagrams come."""
        # Whoever else stands before a node (its twin) goes through the same door.
        setattr(self, "arrive", wrap(self.arrive))  # noqa: B010  # the one door of all datagrams
        self.world.network.attach(self.node, self.arrive)

    # -- the wiring -------------------------------------------------------------------------------

    def _read(self, datagram: bytes, source: NodeId) -> None:
        totem = self.totem
        if totem is not None:
            self._tap.read(datagram)
            totem.receive(datagram, source, self._clock.now)
            self._carry()

    def _carry(self) -> None:
        """Carry out effects until there are none and no client may be read; set the timer."""
        assert not self._carrying, "the driver is not reentrant"
        self._carrying = True
        effects = self._effects
        budget = EFFECTS_PER_CALL_MAX
        now = self._clock.now
        while (totem := self.totem) is not None:
            effects.extend(totem.drain(now))
            if self.trap is not None:
                self._look_at_trap(self.trap)
            if not effects and not self._hear_news() and not self._read_client():
                self._set_timer()
                break
            while effects:
                budget -= 1
                if budget < 0:
                    raise Livelock(f"node {self.node}: effects without end: {effects[0]}")
                self._carry_one(effects.popleft())
        self._carrying = False

    def _carry_one(self, effect: Any) -> None:
        if self.crash_after is not None:
            if self.crash_after <= 0:
                self.crash()
                return
            self.crash_after -= 1
        self._carriers[type(effect)](effect)

    def _look_at_trap(self, trap: Trap) -> None:
        assert self.totem is not None
        state = self.totem.state
        in_sync = state is State.OPERATIONAL and self._syncing
        if self.world.scheduler.now > trap.until:
            self.trap = None
        elif state.value == trap.state or (in_sync and trap.state == SYNC):
            self.trap = None
            self.crash_after = trap.effects

    def _carry_group(self) -> None:
        """The group machine's effects, in order, at once; what the ring makes of them waits."""
        for effect in self.group.drain():
            if self.totem is None:
                return
            self._carry_one(effect)

    def _hear_news(self) -> bool:
        if not self._news:
            return False
        self.group.submit(self._news.popleft(), self._clock.now)
        self._carry_group()
        return True

    def _read_client(self) -> bool:
        """Hand on one kept multicast or one client's request; False when nothing may move."""
        if not (self.waiting or self._kept or self._kept_sync):
            return False
        totem = self.totem
        assert totem is not None
        kept = self._kept_sync or (None if self._syncing else self._kept)
        if kept:
            if not self._try(kept[0]):
                return False
            kept.popleft()
            return True
        level = totem.queue_level
        self._reading = level < (LEVEL_STOP if self._reading else LEVEL_RESUME)
        if not (self.waiting and self._reading and self.group.accepting) or self._syncing:
            return False
        waiting = self.waiting.popleft()
        if waiting.taken is not None:
            waiting.taken()
        self.group.submit(waiting.request, self._clock.now)
        self._carry_group()
        return True

    def _try(self, request: Multicast) -> bool:
        totem = self.totem
        assert totem is not None
        if totem.submit(request, self._clock.now) is Submitted.FULL:
            return False
        key = key_of(request.group, request.payload)
        safe = request.guarantee is Guarantee.SAFE
        self._add(trace.Sent(self._now, self.who, key, safe, self._syncing))
        for listener in self._sayers:
            listener(trace.Said(self._now, self.who, bytes(request.payload)))
        if request.group in TAPPED_GROUPS:
            current = self._rings.get(self._current)
            self._tap.submitted(request.group, request.payload, current)
        return True

    def _set_timer(self) -> None:
        due = self._due()
        if due is None:
            return
        if self._clock.is_own:
            due = self._clock.in_world(due)
        timer_at = self._timer_at
        if timer_at is None or due < timer_at:
            self._timer_at = due
            self.world.scheduler.at(due, self._wake, self.who.life, due)

    def _due(self) -> int | None:
        """When the first of the machines wants to be called."""
        assert self.totem is not None
        due: int | None = self.totem.deadline()
        group_due = self.group.deadline()
        return group_due if due is None or (group_due is not None and group_due < due) else due

    def _wake(self, life: int, due: int) -> None:
        if life != self.who.life or due != self._timer_at:
            return
        self._timer_at = None
        if not self.paused and not (self._cost_ns and self._inbox):
            self._expire_due()

    def _expire_due(self) -> None:
        totem = self.totem
        if totem is None:
            return
        now = self._clock.now
        due = totem.deadline()
        if due is not None and due <= now:
            totem.expire(now)
        group_due = self.group.deadline()
        if group_due is not None and group_due <= now:
            self.group.expire(now)
            self._carry_group()
        self._carry()

    # -- one carrier per effect -------------------------------------------------------------------

    def _send_to(self, effect: SendTo) -> None:
        self._tap.passed(effect.datagram)
        self.world.network.send(self.node, effect.target, effect.datagram)

    def _send_all(self, effect: SendAll) -> None:
        self._tap.sent(effect.datagrams)
        if self.crash_in_send is None:
            self.world.network.send_all(self.node, effect.datagrams)
        else:
            self._send_some(effect.datagrams, *self.crash_in_send)

    def _send_some(self, datagrams: list[bytes], skips: int, choice: int) -> None:
        """All, or the first few of all copies: target by target, or datagram by datagram."""
        network = self.world.network
        if skips:
            self.crash_in_send = (skips - 1, choice)
            network.send_all(self.node, datagrams)
            return
        copies = network.fan_out(self.node, datagrams)
        if choice & 1:
            copies = [
                copy for first in range(len(datagrams)) for copy in copies[first :: len(datagrams)]
            ]
        for target, datagram in copies[: (choice >> 1) % (len(copies) or 1)]:
            network.send(self.node, target, datagram)
        self.crash()

    def _store(self, effect: StoreRingSeq) -> None:
        if self.stored_ring_seq is not None:
            self.stored_before.append(self.stored_ring_seq)
        self.stored_ring_seq = effect.seq

    def _deliver(self, effect: Delivered) -> None:
        key = key_of(effect.group, effect.payload)
        ring = self._rings.get(effect.ring)
        self._add(trace.Delivered(self._now, self.who, effect.origin, key, ring, effect.seq))
        if effect.group in TAPPED_GROUPS:
            current = self._rings.get(self._current)
            self._tap.delivered(effect.origin, effect.group, effect.payload, current)
        self.group.receive(effect, self._clock.now)
        self._carry_group()

    def _install(self, effect: ConfigurationChanged) -> None:
        regular = effect.kind is ConfigurationKind.REGULAR
        ring = self._rings.get(effect.ring)
        if ring is None:
            ring = self._rings[effect.ring] = self._tap.named(effect.ring)
        if regular:
            # From here on nothing of the old ring may be delivered.
            self._current = effect.ring
            self._rings = {effect.ring: ring}
        self._syncing = True
        self._add(
            trace.Installed(
                self._now, self.who, regular, ring, effect.members, effect.left, effect.joined
            )
        )
        self.group.receive(effect, self._clock.now)
        self._carry_group()

    def _multicast(self, effect: Multicast) -> None:
        kept = self._kept_sync if self._syncing else self._kept
        if kept or not self._try(effect):
            kept.append(effect)
            self._measure("kept multicasts", len(kept), KEPT_MAX)

    def _sync_finished(self, effect: SyncFinished) -> None:
        assert self.totem is not None
        self.totem.submit(effect, self._clock.now)
        if effect.ring != self._current:
            return
        self._syncing = False
        self._add(trace.Synced(self._now, self.who, effect.native))
        self._tap.judged(self.group)
        self._measure("send queue permille", int(self.totem.queue_level * 1000), 1000)

    def _mark(self, effect: Marked) -> None:
        marks = self.world.marks
        marks[effect.mark] = marks.get(effect.mark, 0) + 1

    def _discard(self, effect: Discard) -> None:
        self._empty_inbox()

    def _leave_done(self, effect: Left) -> None:
        self._clean = True
        self.crash()

    def _client_effect(self, effect: Reply | Notify | Disconnect) -> None:
        assert self.desk is not None, "effects for clients on a node without clients"
        self.desk.carry(effect)

    def _read_configuration(self, effect: ReadConfiguration) -> None:
        assert isinstance(self.group, Engine), "only services reload"
        life, running = self.who, replace(self.group.settings, ring=self.settings)

        def read() -> None:
            if self.who == life:
                self.tell(self.file.read(effect, running))

        self.world.scheduler.after(READING_NS, read)

    def _settings_changed(self, effect: SettingsChanged) -> None:
        assert self.totem is not None
        ring = self.settings = effect.changes.settings.ring
        what = f"token={ring.token_timeout_ns // MS} window={ring.window_size}"
        self._add(trace.Reconfigured(self._now, self.who, what))
        self.totem.submit(Reconfigure(self.settings, self.known), self._clock.now)

    def _shut_down(self, effect: ShutDown) -> None:
        if effect.clean and self.totem is not None:
            self.totem.submit(Leave(), self._clock.now)
        else:
            self.crash()

    # -- small things -----------------------------------------------------------------------------

    @property
    def _now(self) -> Nanos:
        return self.world.scheduler.now

    def _add(self, record: trace.Record) -> None:
        self.world.trace.add(record)

    def _measure(self, what: str, value: int, bound: int) -> None:
        self._add(trace.Measured(self._now, self.who, what, value, bound))

    def _empty_inbox(self) -> None:
        self._inbox.clear()
        self._inbox_bytes = 0
