"""The turn: what the machines want done is done here, in their order, and one timer wakes them.

Speaks:      the machines' five verbs; every effect is carried out here and nowhere else.
Counterpart: corosync exec/main.c.
Keeps:       each drained list is followed to its end, and what comes of it too, before the ring
             is drained again; own messages reach own clients before they leave the host.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from unisono.base.clients import (
    ClientConnected,
    ClientGone,
    ClientRequest,
    Disconnect,
    Notify,
    Reply,
    ShutDown,
)
from unisono.base.group import (
    Buffer,
    ConfigurationChanged,
    ConfigurationKind,
    Delivered,
    Discard,
    Left,
    Marked,
    Multicast,
    SendAll,
    SendTo,
    Silent,
    StoreRingSeq,
    SyncFinished,
)
from unisono.base.ids import SECOND, Nanos, NodeId
from unisono.base.limits import TURN_ROUNDS_MAX
from unisono.base.marks import Mark
from unisono.config.reload import ConfigurationRead, ReloadAsked
from unisono.executive.doors import Doors
from unisono.executive.flow import QUEUE_CRITICAL, Flow
from unisono.executive.ring_store import RingStore
from unisono.executive.views import members_text, membership_text
from unisono.services import Engine
from unisono.totem import Totem
from unisono.transport.port import Transport

PACE_CHECK_SECONDS = 0.005
"""How often the clients' unread output is looked at while it holds the ring."""
PACE_NS: Final = 1_000_000
"""Between two looks at what clients leave unread: within it, little can be added."""
IDLE_NS: Final = 1_000_000
"""After this long without a message of ours, our client's wake-up comes before the other nodes'.

The kernel tends to wake a client on the processor of its daemon, where it would wait for our
datagrams to leave, and behind the daemons of this host that those wake.
"""


ALONE_NS: Final = 100_000
"""After this long without a message of ours, a client's requests leave before others are read."""


class Turn:
    """The driver of one node's machines. `transport` is set before the first turn."""

    __slots__ = (
        "_armed_ns", "_asked", "_carry", "_clock", "_doors", "_engine", "_engine_fed",
        "_flow", "_left", "_loop", "_mark", "_notified", "_on_end", "_on_failure",
        "_pace_timer", "_paced_ns", "_sent_ns", "_stopped", "_store", "_timer", "_totem",
        "_turn_due", "_view", "transport",
    )  # fmt: skip

    transport: Transport

    def __init__(
        self,
        totem: Totem,
        engine: Engine,
        doors: Doors,
        store: RingStore,
        *,
        mark: Callable[[Marked], None],
        on_end: Callable[[Left | ShutDown], None],
        on_failure: Callable[[Exception], None],
        clock: Callable[[], int],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`on_end` hears what ends the daemon; `on_failure` what no machine could foresee."""
        self._totem = totem
        self._engine = engine
        self._doors = doors
        self._store = store
        self._mark = mark
        self._on_end = on_end
        self._on_failure = on_failure
        self._clock = clock
        self._loop = loop
        self._flow = Flow(totem, engine, doors, mark)
        self._timer: asyncio.Handle | None = None
        self._armed_ns = 0
        self._pace_timer: asyncio.TimerHandle | None = None
        self._turn_due = False
        self._engine_fed = False
        self._notified = False
        self._asked = False
        self._sent_ns = 0
        self._paced_ns = 0
        self._stopped = False
        self._left: tuple[NodeId, ...] = ()
        self._view: ConfigurationChanged | None = None
        self._carry: dict[type, Callable[[Any, Nanos], None]] = {
            Delivered: self._on_delivered,
            ConfigurationChanged: self._on_configuration,
            SendTo: self._on_send_to,
            SendAll: self._on_send_all,
            StoreRingSeq: self._on_store,
            Discard: self._on_discard,
            Left: self._on_left,
            Marked: self._on_marked,
            Multicast: self._flow.multicast,
            SyncFinished: self._on_sync_finished,
            Reply: self._on_reply,
            Notify: self._on_notify,
            Disconnect: self._on_disconnect,
            ShutDown: self._on_shut_down,
        }

    # -- what happens to the node ------------------------------------------------------------------

    def received(self, datagrams: Sequence[Buffer], source: NodeId | None) -> None:
        """The datagrams of one read."""
        if self._stopped:
            return
        try:
            now = Nanos(self._clock())
            if self._turn_due:  # clients spoke first
                self._exchange(now)
            receive = self._totem.receive
            for datagram in datagrams:
                receive(datagram, source, now)
            self._exchange(now)
            self._finish(now)
        except Exception as error:  # noqa: BLE001  nothing may go on half done
            self._fail(error)

    def requested(self, request: ClientConnected | ClientRequest | ClientGone) -> None:
        """Something a client did; `requests_end` follows when that was a request."""
        if self._stopped:
            return
        try:
            now = Nanos(self._clock())
            self._engine.submit(request, now)
            self._drain_engine(now)
            if self._totem.queue_level >= QUEUE_CRITICAL or not self._engine.accepting:
                self._flow.settle(now)
        except Exception as error:  # noqa: BLE001  as above
            self._fail(error)
        if isinstance(request, ClientRequest):
            self._asked = True  # and `requests_end` follows
        else:
            self._schedule()

    def requests_end(self) -> None:
        """The requests that came in one reading were made: serve them, or more with them."""
        if not self._asked:
            return
        self._asked = False
        if self._clock() - self._sent_ns > ALONE_NS:
            self.run()
        else:
            self._schedule()

    def gone(self, node: NodeId) -> None:
        """The daemon on that node is known to have ended."""
        if self._stopped:
            return
        try:
            now = Nanos(self._clock())
            self._totem.submit(Silent(node), now)
            self._exchange(now)
            self._finish(now)
        except Exception as error:  # noqa: BLE001  as above
            self._fail(error)

    def inform(self, request: ConfigurationRead | ReloadAsked) -> None:
        """Something that the executive tells the services; what comes of it follows soon."""
        if self._stopped:
            return
        self._engine.submit(request, Nanos(self._clock()))
        self._engine_fed = True
        self._schedule()

    def carry_by(self, carrier: Callable[[Any, Nanos], None], *kinds: type) -> None:
        """Let another part of the executive carry out effects of these kinds, in their order."""
        for kind in kinds:
            self._carry[kind] = carrier

    def multicast(self, request: Multicast, now: Nanos) -> None:
        """A message of the executive itself, at any time; it leaves when the loop turns."""
        self._flow.multicast(request, now)
        self._schedule()

    def command(self, request: Any) -> None:
        """Give the ring a request of the executive itself (`Start`, `Leave`)."""
        now = Nanos(self._clock())
        self._totem.submit(request, now)
        self.run()

    def run(self) -> None:
        """One turn: everything that is to be done now."""
        self._turn_due = False
        if self._stopped:
            return
        try:
            now = Nanos(self._clock())
            self._exchange(now)
            self._finish(now)
        except Exception as error:  # noqa: BLE001  as above
            self._fail(error)

    def stop(self) -> None:
        """Do nothing any more, ever."""
        self._stopped = True
        for timer in (self._timer, self._pace_timer):
            if timer is not None:
                timer.cancel()

    @property
    def flow(self) -> Flow:
        """The brakes, for the status."""
        return self._flow

    # -- one turn ----------------------------------------------------------------------------------

    def _exchange(self, now: Nanos) -> None:
        """Drain both machines into each other until neither has anything to say."""
        drain, carry = self._totem.drain, self._carry
        for _ in range(TURN_ROUNDS_MAX):
            effects = drain(now)
            for effect in effects:
                carry[type(effect)](effect, now)
            if self._engine_fed:
                self._drain_engine(now)
            elif not effects:
                return
        self._schedule()

    def _drain_engine(self, now: Nanos) -> None:
        self._engine_fed = False
        carry = self._carry
        for effect in self._engine.drain():
            carry[type(effect)](effect, now)

    def _finish(self, now: Nanos) -> None:
        """After the exchange: what clients get, the brakes, then the timer."""
        self._doors.flush()
        if self._flow.settle(now):
            self._schedule()
        if self._notified and now - self._paced_ns >= PACE_NS:
            self._notified = False
            self._paced_ns = now
            self._pace(now)
        self._arm(now)

    def _schedule(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self.run)

    def _fail(self, error: Exception) -> None:
        self.stop()
        self._on_failure(error)

    # -- time --------------------------------------------------------------------------------------

    def _arm(self, now: Nanos) -> None:
        """One timer, never later than the next deadline; one that comes too early costs a look."""
        ring, services = self._totem.deadline(), self._engine.deadline()
        if services is not None and (ring is None or services < ring):
            ring = services
        if ring is None:
            return
        if self._timer is not None:
            if self._armed_ns <= ring:
                return
            self._timer.cancel()
        self._armed_ns = ring
        if ring <= now:
            self._timer = self._loop.call_soon(self._on_timer)
        else:
            self._timer = self._loop.call_at(ring / SECOND, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._stopped:
            return
        try:
            now = Nanos(self._clock())
            for machine in (self._totem, self._engine):
                deadline = machine.deadline()
                if deadline is not None and deadline <= now:
                    machine.expire(now)
            self._engine_fed = True
        except Exception as error:  # noqa: BLE001  as above
            self._fail(error)
        self.run()

    def _pace(self, now: Nanos) -> None:
        self._flow.pace(now)
        if self._flow.slowed and self._pace_timer is None:
            self._pace_timer = self._loop.call_later(PACE_CHECK_SECONDS, self._on_pace_timer)

    def _on_pace_timer(self) -> None:
        self._pace_timer = None
        self._notified = True
        self.run()

    # -- effects of the ring -----------------------------------------------------------------------

    def _on_delivered(self, effect: Delivered, now: Nanos) -> None:
        self._engine.receive(effect, now)
        self._engine_fed = True

    def _on_configuration(self, effect: ConfigurationChanged, now: Nanos) -> None:
        if effect.kind is ConfigurationKind.TRANSITIONAL:
            self._left = effect.left
        else:
            self._view = effect
            text = membership_text(effect, self._left)
            self._mark(Marked(Mark.VIEW_INSTALLED, effect.ring.rep, effect.ring.seq, text))
        self._engine.receive(effect, now)
        self._engine_fed = True

    def _on_send_to(self, effect: SendTo, _now: Nanos) -> None:
        self.transport.send_to(effect.target, effect.datagram)

    def _on_send_all(self, effect: SendAll, now: Nanos) -> None:
        if self._engine_fed:  # own delivery first: clients run while we talk to the kernel
            self._drain_engine(now)
            if self._doors.flush() and now - self._sent_ns > IDLE_NS:
                os.sched_yield()
        self._sent_ns = now
        self.transport.send_all(effect.datagrams)

    def _on_store(self, effect: StoreRingSeq, _now: Nanos) -> None:
        self._store.store(effect.seq)
        self._mark(Marked(Mark.RING_SEQ_STORED, effect.seq))

    def _on_discard(self, _effect: Discard, _now: Nanos) -> None:
        self._mark(Marked(Mark.UNREAD_DISCARDED, self.transport.discard_unread()))

    def _on_left(self, effect: Left, _now: Nanos) -> None:
        self._on_end(effect)

    # -- effects of the services -------------------------------------------------------------------

    def _on_sync_finished(self, effect: SyncFinished, now: Nanos) -> None:
        self._totem.submit(effect, now)
        if self._view is not None:
            ring = effect.ring
            self._mark(Marked(Mark.MEMBERS_AGREED, ring.rep, ring.seq, members_text(self._view)))

    def _on_reply(self, effect: Reply, _now: Nanos) -> None:
        self._doors.reply(effect.client, effect.message)

    def _on_notify(self, effect: Notify, _now: Nanos) -> None:
        self._doors.notify(effect.client, effect.pieces)
        self._notified = True

    def _on_disconnect(self, effect: Disconnect, _now: Nanos) -> None:
        self._doors.disconnect(effect.client, effect.reason)

    def _on_shut_down(self, effect: ShutDown, _now: Nanos) -> None:
        self._on_end(effect)

    def _on_marked(self, effect: Marked, _now: Nanos) -> None:
        self._mark(effect)
