"""Links: all ways to one peer: which of them carries the next frame, and whether it lives at all.

Speaks:      `chosen` and `room` for whoever sends; pings in `take_probes`, to be sealed and sent
             alone over their link; `take_changes` for the log; `gone`.
Counterpart: knet's link policies (passive, active, rr); corosync.conf(5), knet_link_priority.
Keeps:       one dead link costs nothing but itself; a peer is called gone only when authenticated
             pings stayed unanswered, never on anybody's hint alone.
Never:       sessions, packets, sockets.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from unisono.base.errors import UsageError
from unisono.base.ids import MS, Nanos
from unisono.base.limits import (
    LINK_CHANGES_MAX,
    LINKS_MAX,
    PROBES_WAITING_MAX,
    SECURE_ROOM_BYTES_MIN,
)
from unisono.config.settings import LinkSettings
from unisono.secure.link import Link
from unisono.secure.mtu import probe_records
from unisono.wire.ust.records import Pong, Record

SUSPECT_PINGS: Final = 4
"""Pings over every link that a suspected peer may leave unanswered."""
SUSPECT_STEP_NS: Final = 10 * MS
"""Between two of them, and from the last to the verdict."""
SUSPECT_ROUNDS: Final = 2
"""A second round is for what was heard in the first and may have been sent before the end."""
SUSPECT_AGAIN_NS: Final = 100 * MS
"""Hints are taken no more often: anybody can send them."""
MODES: Final = ("passive", "active", "rr")

Probe = tuple[int, list[Record]]


class Links:
    """The links to one peer; silent until `adopted`, and after `lost`."""

    def __init__(
        self,
        plans: Sequence[LinkSettings],
        mode: str,
        *,
        mtu_bytes: int,
        mtu_interval_ns: int,
        now: Nanos,
    ) -> None:
        """`plans`: the links on which both nodes have an address; UsageError."""
        if mode not in MODES or len(plans) > LINKS_MAX:
            raise UsageError(f"{len(plans)} links, link mode {mode}")
        self._links = {
            plan.number: Link(plan, mtu_bytes=mtu_bytes, mtu_interval_ns=mtu_interval_ns)
            for plan in plans
        }
        self.numbers: tuple[int, ...] = tuple(sorted(self._links))
        self.gone = False
        """Suspected and silent: its daemon has ended."""
        self.strays = 0
        """Pongs that answered nothing."""
        self._mode = mode
        self._by_rank = _by_rank(plans)
        self._choice: tuple[int, ...] = self._by_rank[:1]
        self._turn = 0
        self._probes: deque[Probe] = deque(maxlen=PROBES_WAITING_MAX)
        self._changes: deque[tuple[int, bool]] = deque(maxlen=LINK_CHANGES_MAX)
        self._is_awake = False
        self._last_ping = int(now)
        self._suspected_at: Nanos | None = None
        self._round = 0
        """0: nobody suspects the peer."""
        self._round_pings = 0
        self._step_at = Nanos(0)
        self._was_heard = False
        """In this round of suspicion."""

    def replan(self, plans: Sequence[LinkSettings], mode: str) -> None:
        """Other priorities and times hold, for the same links."""
        for plan in plans:
            self._links[plan.number].replan(plan)
        self._mode = mode
        self._by_rank = _by_rank(plans)
        self._choose()

    # -- for whoever sends -------------------------------------------------------------------------

    def chosen(self) -> tuple[int, ...]:
        """The links for the next frame; the best one when none is up."""
        choice = self._choice
        if self._mode != "rr" or len(choice) < 2:
            return choice
        self._turn = (self._turn + 1) % len(choice)
        return choice[self._turn : self._turn + 1]

    def room(self, links: Sequence[int]) -> int:
        """The largest UDP payload that all of `links` are known to carry."""
        rooms = [self._links[link].path.room for link in links if link in self._links]
        return min(rooms, default=SECURE_ROOM_BYTES_MIN)

    def is_up(self, link: int) -> bool:
        """Whether pings over this link are answered."""
        return link in self._links and self._links[link].is_up

    @property
    def any_up(self) -> bool:
        """Whether any link is up."""
        return any(link.is_up for link in self._links.values())

    def _choose(self) -> None:
        up = tuple(number for number in self._by_rank if self._links[number].is_up)
        self._choice = up[:1] if self._mode == "passive" else up
        if not up:
            self._choice = self._by_rank[:1]

    # -- what happens ------------------------------------------------------------------------------

    def adopted(self, link: int, now: Nanos) -> None:
        """A session was confirmed over this link: it works both ways."""
        self._is_awake = True
        for one in self._links.values():
            one.wake(now)
        if link in self._links and self._links[link].raise_up(now):
            self._changed(link)
        self._ping_due(now)

    def lost(self, now: Nanos) -> None:
        """There is no session any more: silence until `adopted`."""
        self._is_awake = False
        for number, link in self._links.items():
            if link.sleep():
                self._changed(number)
        self._trust()
        self._probes.clear()

    def heard(self, link: int, now: Nanos) -> None:
        """Something authentic of the peer came over this link."""
        self.gone = False
        self._was_heard = True
        if link in self._links:
            self._links[link].heard()

    def on_pong(self, link: int, pong: Pong, now: Nanos) -> None:
        """A Pong came over this link."""
        answer = self._links[link].on_pong(pong, now) if link in self._links else None
        if answer is None:
            self.strays += 1
            return
        sent, came_up = answer
        self.heard(link, now)
        if self._suspected_at is not None and sent >= self._suspected_at:
            self._trust()
        if came_up:
            self._changed(link)
        self._ping_due(now)

    def limit(self, link: int, payload: int, now: Nanos) -> None:
        """The interface of this link takes UDP payloads of at most so many bytes."""
        if link in self._links:
            self._links[link].path.limit(payload, now)
            self._ping_due(now)

    def suspect(self, now: Nanos) -> None:
        """Somebody says that nobody listens at the peer's port: ask it, hard."""
        if not self._is_awake or self.gone:
            return
        if self._suspected_at is not None and now - self._suspected_at < SUSPECT_AGAIN_NS:
            return
        self._suspected_at = now
        self._round = 0
        self._begin_round(now)

    # -- time --------------------------------------------------------------------------------------

    @property
    def deadline(self) -> Nanos | None:
        """When `expire` has something to do."""
        dues = [link.deadline for link in self._links.values()]
        if self._round:
            dues.append(self._step_at)
        return min((due for due in dues if due is not None), default=None)

    def expire(self, now: Nanos) -> None:
        """Do what is due."""
        due = self.deadline
        if due is None or now < due:
            return
        late = now - due
        if self._round and self._step_at <= now:
            self._step(late, now)
        for number, link in self._links.items():
            if late > link.interval_ns:
                link.excuse(late, now)
            if link.expire_up(now):
                self._changed(number)
        self._ping_due(now)

    def _ping_due(self, now: Nanos) -> None:
        for link in self._links.values():
            for size in link.due_pings(now):
                self._ping(link, size, now)

    def _ping(self, link: Link, size: int, now: Nanos) -> None:
        # A Pong gives nothing back but this number, so no two pings have the same.
        self._last_ping = max(now, self._last_ping + 1)
        number = link.plan.number
        link.sent(self._last_ping, size, now)
        self._probes.append((number, probe_records(number, self._last_ping, size)))

    # -- suspicion ---------------------------------------------------------------------------------

    def _begin_round(self, now: Nanos) -> None:
        self._round += 1
        self._round_pings = 0
        self._was_heard = False
        self._ping_hard(now)

    def _ping_hard(self, now: Nanos) -> None:
        self._round_pings += 1
        self._step_at = Nanos(now + SUSPECT_STEP_NS)
        for link in self._links.values():
            self._ping(link, 0, now)

    def _step(self, late: int, now: Nanos) -> None:
        if self._round_pings < SUSPECT_PINGS:
            self._ping_hard(now)
        elif (self._was_heard or late > SUSPECT_STEP_NS) and self._round < SUSPECT_ROUNDS:
            # It may have been sent before the end; or we were not there to hear anything.
            self._begin_round(now)
        else:
            self.gone = not self._was_heard
            self._round = 0

    def _trust(self) -> None:
        self._round = 0
        self.gone = False

    # -- for the owner -----------------------------------------------------------------------------

    def _changed(self, number: int) -> None:
        self._changes.append((number, self._links[number].is_up))
        self._choose()

    def take_probes(self) -> list[Probe]:
        """Links and the records of a packet to be sent over each, alone and unsplit."""
        probes = list(self._probes)
        self._probes.clear()
        return probes

    def take_changes(self) -> list[tuple[int, bool]]:
        """Links that went up (True) or down since the last call."""
        changes = list(self._changes)
        self._changes.clear()
        return changes

    def status(self) -> list[dict[str, object]]:
        """What each link says of itself, in the order of their numbers."""
        return [self._links[number].status() for number in self.numbers]


def _by_rank(plans: Sequence[LinkSettings]) -> tuple[int, ...]:
    best = sorted(plans, key=lambda plan: (-max(plan.priority, 1), plan.number))
    return tuple(plan.number for plan in best)
