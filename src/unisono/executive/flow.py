"""Flow: what holds clients back, what holds the ring back, and multicasts that the ring refused.

Speaks:      pause and resume to the doors, `Pace` and `Multicast` to the ring.
Counterpart: corosync exec/main.c, corosync_totem_stats and ipc_glue.c's flow control.
Keeps:       an accepted request is never lost: a refused multicast waits in order, and clients stay
             paused as long as one waits. Application messages refused before a configuration change
             wait until the services agree again; sync messages do not wait behind them.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from unisono.base.group import Marked, Multicast, Pace, Submitted
from unisono.base.ids import Nanos
from unisono.base.limits import CLIENT_OUTPUT_BYTES_SLOW, REFUSED_MULTICASTS_MAX
from unisono.base.marks import Mark
from unisono.executive.doors import Doors
from unisono.services import Engine
from unisono.totem import Totem

QUEUE_CRITICAL: Final = 0.75
"""Level of the send queue at which clients are read no more (totempg's q_level critical)."""
QUEUE_RELIEVED: Final = 0.5


class Flow:
    """The brakes of one node. Call `settle` after whatever may have changed a level."""

    __slots__ = ("_doors", "_engine", "_mark", "_refused", "_refused_in_sync", "_totem", "slowed")

    def __init__(
        self, totem: Totem, engine: Engine, doors: Doors, mark: Callable[[Marked], None]
    ) -> None:
        self._totem = totem
        self._engine = engine
        self._doors = doors
        self._mark = mark
        self._refused: deque[Multicast] = deque()
        self._refused_in_sync: deque[Multicast] = deque()
        self.slowed = False

    def multicast(self, request: Multicast, now: Nanos) -> None:
        """Give a message of the services to the ring, now or as soon as it takes it."""
        queue = self._refused if self._engine.agreed else self._refused_in_sync
        if queue or self._totem.submit(request, now) is not Submitted.ACCEPTED:
            # Clients are paused as soon as one waits, so this many would mean that we are wrong.
            assert len(queue) < REFUSED_MULTICASTS_MAX
            queue.append(request)
            self._pause()

    def settle(self, now: Nanos) -> bool:
        """Pause or resume clients by the levels; whether the ring now took what it had refused."""
        accepting = self._engine.accepting
        offered = False
        if self._refused_in_sync:
            offered = self._offer(self._refused_in_sync, now)
        if self._refused and self._engine.agreed:
            offered = self._offer(self._refused, now) or offered
        level = self._totem.queue_level
        if not accepting or self._refused or level >= QUEUE_CRITICAL:
            self._pause()
        elif self._doors.paused and level < QUEUE_RELIEVED:
            self._doors.resume()
            self._mark(Marked(Mark.CLIENTS_RESUMED))
        return offered

    def pace(self, now: Nanos) -> None:
        """Hold the ring back while a client leaves much unread; let it go at half of that."""
        unread = self._doors.output_bytes
        if not self.slowed and unread > CLIENT_OUTPUT_BYTES_SLOW:
            self.slowed = True
            self._mark(Marked(Mark.RING_SLOWED, unread))
            self._totem.submit(Pace(slow=True), now)
        elif self.slowed and unread < CLIENT_OUTPUT_BYTES_SLOW // 2:
            self.slowed = False
            self._mark(Marked(Mark.RING_UNSLOWED, unread))
            self._totem.submit(Pace(slow=False), now)

    @property
    def refused(self) -> int:
        """Multicasts that wait for the ring."""
        return len(self._refused) + len(self._refused_in_sync)

    def _offer(self, queue: deque[Multicast], now: Nanos) -> bool:
        submit, has_room = self._totem.submit, self._totem.has_room
        offered = False
        while queue and has_room(len(queue[0].payload)):
            if submit(queue[0], now) is not Submitted.ACCEPTED:
                break
            queue.popleft()
            offered = True
        return offered

    def _pause(self) -> None:
        if not self._doors.paused:
            self._doors.pause()
            self._mark(Marked(Mark.CLIENTS_PAUSED))
