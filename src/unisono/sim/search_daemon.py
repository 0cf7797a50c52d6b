"""Daemon: the real ring machine and a group above it, driven one step at a time.

Speaks:      `boot`, `receive`, `expire`, `wait`, `submit`; what came of a step as a list of units.
Counterpart: the executive's wiring, as sim.node does it: effects one by one and in order.
Keeps:       a ring sequence is stored before any token or commit token of that ring is sent.
Never:       a clock, a network: a step begins and ends at search_state.NOW.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from unisono.base.event import event
from unisono.base.group import (
    ConfigurationChanged,
    ConfigurationKind,
    Delivered,
    Discard,
    Guarantee,
    Marked,
    Multicast,
    SendAll,
    SendTo,
    StoreRingSeq,
    Submitted,
    SyncFinished,
)
from unisono.base.ids import NO_RING, Nanos, NodeId, RingId
from unisono.config.settings import RingSettings
from unisono.sim import trace
from unisono.sim.messages import key_of
from unisono.sim.plain import APPLICATION, PlainGroup
from unisono.sim.search_state import NOW, normalise, refresh_tick, shift
from unisono.totem import Start, Totem
from unisono.totem.timers import NEVER, Timer
from unisono.wire.ring.srp import CommitToken, Token, decode

EFFECTS_PER_STEP_MAX: Final = 10_000
ASLEEP_TOKENS_MAX: Final = 4
"""Token time-outs after which a longer sleep makes no difference any more."""


class Broken(Exception):
    """The machine or its effects broke a rule; the text says which."""


@event
class Sending:
    """One datagram leaves for one node."""

    target: NodeId
    datagram: bytes


@event
class Storing:
    """The ring sequence on disk is now `seq`."""

    seq: int


@event
class Emptied:
    """The daemon threw away what was waiting for it in its sockets."""


Unit: TypeAlias = Sending | Storing | Emptied | trace.Record


class Daemon:
    """One life of a node. `stored` is what its disk holds; `life` counts from 1."""

    __slots__ = (
        "_current",
        "_kept",
        "_kept_sync",
        "_rings",
        "_syncing",
        "group",
        "stored",
        "totem",
        "who",
    )

    def __init__(
        self,
        who: trace.Process,
        stored: int | None,
        nodes: Sequence[NodeId],
        settings: RingSettings,
        *,
        native: bool,
    ) -> None:
        self.who = who
        self.stored = stored
        self.totem = Totem(settings, who.node, (stored or 0) + 1, known=nodes)
        self.group = PlainGroup(who.node, is_native=native)
        self._kept: deque[Multicast] = deque()
        self._kept_sync: deque[Multicast] = deque()
        self._rings: frozenset[RingId] = frozenset()
        self._current = NO_RING
        self._syncing = False

    @property
    def accepting(self) -> bool:
        """Whether an application's message would be taken at once."""
        return self.group.accepting and not self._syncing and not self._kept

    @property
    def idle(self) -> bool:
        """Whether nothing waits for the token."""
        return not self._kept and not self._kept_sync and self.totem.queue_level == 0

    def run(self, act: "Act", elapsed: int) -> list[Unit]:
        """Let `elapsed` nanoseconds pass, act, carry out what follows. Raises Broken."""
        if elapsed:
            shift(self.totem, -elapsed)
        act(self)
        units = Carrier(self).carry()
        normalise(self.totem)
        return units


Act: TypeAlias = Callable[[Daemon], None]


class Carrier:
    """Carries out one step's effects."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._units: list[Unit] = []
        self._effects: deque[Any] = deque()
        who = daemon.who
        self._others = [n for n in sorted(daemon.totem._known or ()) if n != who.node]
        self._carriers: dict[type, Callable[[Any], None]] = {
            SendTo: lambda effect: self._send(effect.target, effect.datagram),
            SendAll: self._send_all,
            StoreRingSeq: self._store,
            Delivered: self._deliver,
            ConfigurationChanged: self._install,
            Marked: lambda effect: None,
            Discard: lambda effect: self._units.append(Emptied()),
            Multicast: self._multicast,
            SyncFinished: self._sync_finished,
        }

    def carry(self) -> list[Unit]:
        """Drain and carry out until nothing is left."""
        daemon, effects = self._daemon, self._effects
        self._carry_group()
        for _ in range(EFFECTS_PER_STEP_MAX):
            if not effects:
                effects.extend(daemon.totem.drain(NOW))
                if not effects and not self._hand_on():
                    return self._units
            else:
                effect = effects.popleft()
                self._carriers[type(effect)](effect)
        raise Broken(f"effects without end at {daemon.who}")

    def _hand_on(self) -> bool:
        daemon = self._daemon
        kept = daemon._kept_sync or (None if daemon._syncing else daemon._kept)
        if not kept or not self._try(kept[0]):
            return False
        kept.popleft()
        return True

    def _try(self, request: Multicast) -> bool:
        daemon = self._daemon
        if daemon.totem.submit(request, NOW) is Submitted.FULL:
            return False
        key = key_of(request.group, request.payload)
        safe = request.guarantee is Guarantee.SAFE
        self._units.append(trace.Sent(0, daemon.who, key, safe, daemon._syncing))
        return True

    def _carry_group(self) -> None:
        for effect in self._daemon.group.drain():
            self._carriers[type(effect)](effect)

    # -- one carrier per effect -------------------------------------------------------------------

    def _send(self, target: NodeId, datagram: bytes) -> None:
        message = decode(datagram)
        if isinstance(message, Token | CommitToken):
            stored = self._daemon.stored or 0
            if message.ring.seq > stored:
                raise Broken(
                    f"stored before use: {self._daemon.who} speaks for ring {message.ring}"
                    f" while its disk holds {stored}"
                )
        self._units.append(Sending(target, datagram))

    def _send_all(self, effect: SendAll) -> None:
        for target in self._others:
            for datagram in effect.datagrams:
                self._send(target, datagram)

    def _store(self, effect: StoreRingSeq) -> None:
        self._daemon.stored = effect.seq
        self._units.append(Storing(effect.seq))

    def _deliver(self, effect: Delivered) -> None:
        daemon = self._daemon
        key = key_of(effect.group, effect.payload)
        ring = _named(effect.ring) if effect.ring in daemon._rings else None
        self._units.append(trace.Delivered(0, daemon.who, effect.origin, key, ring, effect.seq))
        daemon.group.receive(effect, NOW)
        self._carry_group()

    def _install(self, effect: ConfigurationChanged) -> None:
        daemon = self._daemon
        regular = effect.kind is ConfigurationKind.REGULAR
        ring = effect.ring
        daemon._rings = frozenset({ring}) if regular else daemon._rings | {ring}
        if regular:
            daemon._current = ring
        daemon._syncing = True
        self._units.append(
            trace.Installed(
                0, daemon.who, regular, _named(ring), effect.members, effect.left, effect.joined
            )
        )
        daemon.group.receive(effect, NOW)
        self._carry_group()

    def _multicast(self, effect: Multicast) -> None:
        daemon = self._daemon
        kept = daemon._kept_sync if daemon._syncing else daemon._kept
        if kept or not self._try(effect):
            kept.append(effect)

    def _sync_finished(self, effect: SyncFinished) -> None:
        daemon = self._daemon
        daemon.totem.submit(effect, NOW)
        if effect.ring == daemon._current:
            daemon._syncing = False
            self._units.append(trace.Synced(0, daemon.who, effect.native))


def _named(ring: RingId) -> trace.Ring:
    return trace.Ring(ring.rep, ring.seq, 0)


# -- what may happen to a daemon ------------------------------------------------------------------


def start(daemon: Daemon) -> None:
    """Begin the life."""
    daemon.totem.submit(Start(), NOW)


def receive(datagram: bytes, source: NodeId) -> Act:
    """One datagram arrives."""
    return lambda daemon: daemon.totem.receive(datagram, source, NOW)


def expire(daemon: Daemon) -> None:
    """A deadline has come."""
    daemon.totem.expire(NOW)


def wait(daemon: Daemon) -> None:
    """Nothing but the passing of time; the tick that notices pauses came in time."""
    refresh_tick(daemon.totem)


def sleep(daemon: Daemon) -> None:
    """The process stands still; what is overdue beyond all bounds is so by a bound."""
    totem = daemon.totem
    oldest = NOW - ASLEEP_TOKENS_MAX * totem._settings.token_timeout_ns
    row = totem._timers.row
    row[:] = [max(due, oldest) for due in row]
    totem._pause_stamp = max(totem._pause_stamp, oldest)


def send(payload: bytes, guarantee: Guarantee) -> Act:
    """An application's message; only while `accepting`."""
    request = Multicast(APPLICATION, payload, guarantee)

    def act(daemon: Daemon) -> None:
        daemon.group.submit(request, NOW)

    return act


def deadline(daemon: Daemon) -> int | None:
    """Nanoseconds until the daemon wants to be called, None for never; negative when overdue.

    The tick that notices pauses counts only when it is overdue.
    """
    totem = daemon.totem
    if totem.deadline() == Nanos(0):
        return 0
    row = totem._timers.row
    tick = row[Timer.PAUSE_TICK]
    due = min(each for timer, each in zip(Timer, row, strict=True) if timer is not Timer.PAUSE_TICK)
    due = min(due, tick) if tick <= NOW else due
    return None if due == NEVER else due - NOW


def patience(daemon: Daemon) -> int | None:
    """Nanoseconds until a missing message may be asked for again, None if nothing is missing."""
    dues = [due - NOW for due, _ in daemon.totem._again.values() if due > NOW]
    return min(dues, default=None)
