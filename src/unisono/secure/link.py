"""Link: one way to one peer: whether it works, how long a round trip takes, what it carries.

Speaks:      `expire` and `hurry` queue pings; `on_pong` takes their answers; `is_up`, `path.room`.
Counterpart: knet's link heartbeat (ping interval, ping timeout, pong count).
Keeps:       only answers to our own pings keep a link up: a link that works one way does not work;
             silence counts only while we were there to hear.
Never:       which link carries a frame (secure.links), packets, sockets.
"""

from typing import Final

from unisono.base.ids import MS, SECOND, Nanos
from unisono.base.limits import PINGS_OUTSTANDING_MAX, PONGS_NEEDED_MAX
from unisono.config.settings import LinkSettings
from unisono.secure.mtu import PathRoom
from unisono.wire.ust.records import Pong

FLAP_NS: Final = 10 * SECOND
"""A link that goes down so soon after it came up must answer twice as often to come up again."""
STEADY_NS: Final = 60 * SECOND
"""After so long a time up a link is trusted as at first."""
_SMOOTHING: Final = 8
"""A round trip moves the mean by an eighth (RFC 6298)."""


class Link:
    """One link; silent until `wake`, and after `sleep`."""

    __slots__ = (
        "_answered_at", "_awake", "_check_next", "_needed", "_outstanding", "_ping_at", "_streak",
        "_up_since", "changes", "interval_ns", "is_one_way", "is_up", "latency_ns", "losses",
        "path", "plan",
    )  # fmt: skip

    def __init__(self, plan: LinkSettings, *, mtu_bytes: int, mtu_interval_ns: int) -> None:
        self.plan = plan
        self.interval_ns = max(plan.ping_interval_ns, MS)
        self.path = PathRoom(
            mtu_bytes=mtu_bytes, interval_ns=mtu_interval_ns, wait_ns=self.interval_ns
        )
        self.is_up = False
        self.is_one_way = False
        """Whether the peer is heard over a link that is down: our pings do not reach it."""
        self.latency_ns = 0
        """Smoothed round trip; 0 before the first."""
        self.losses = 0
        """Small pings without an answer."""
        self.changes = 0
        """How often the link went up or down."""
        self._awake = False
        self._outstanding: dict[int, tuple[Nanos, int]] = {}
        """Pings without an answer by `time_ns`, in order: when sent, and the size (0: small)."""
        self._ping_at = Nanos(0)
        self._check_next = False
        """Whether the next heartbeat is one that fills the room."""
        self._answered_at = Nanos(0)
        self._up_since = Nanos(0)
        self._streak = 0
        """Answers in a row while the link is down."""
        self._needed = plan.pong_count
        """Answers in a row that bring it up."""

    def replan(self, plan: LinkSettings) -> None:
        """Other times and another priority hold, for the same number and port."""
        self.plan = plan
        self.interval_ns = max(plan.ping_interval_ns, MS)
        self._needed = plan.pong_count

    @property
    def deadline(self) -> Nanos | None:
        """When `expire` has something to do."""
        if not self._awake:
            return None
        dues = [self._ping_at]
        if self.is_up:
            dues.append(self._down_at)
        if self.path.deadline is not None:
            dues.append(self.path.deadline)
        return min(dues)

    @property
    def _down_at(self) -> Nanos:
        return Nanos(self._answered_at + self.plan.ping_timeout_ns)

    # -- states ------------------------------------------------------------------------------------

    def wake(self, now: Nanos) -> None:
        """There is a session: ask at once whether the link works."""
        if not self._awake:
            self._awake = True
            self._streak = 0
            self._ping_at = now

    def sleep(self) -> bool:
        """There is no session any more; whether the link was up."""
        was_up = self.is_up
        self._awake = False
        self._outstanding.clear()
        if was_up:
            self._set_down()
        return was_up

    def raise_up(self, now: Nanos) -> bool:
        """The link is known to work both ways; whether it was down."""
        if self.is_up:
            return False
        self.is_up = True
        self.is_one_way = False
        self.changes += 1
        self._up_since = self._answered_at = now
        self._check_next = False
        self.path.start(now)
        return True

    def heard(self) -> None:
        """Something authentic came over this link: by itself no reason to use it."""
        self.is_one_way = not self.is_up

    def _set_down(self) -> None:
        self.is_up = False
        self.is_one_way = False
        self.changes += 1
        self._streak = 0
        self.path.stop()

    def _note_flapping(self) -> None:
        """Ask more of a link that did not last."""
        lasted = self._down_at - self._up_since
        if lasted < FLAP_NS:
            self._needed = min(2 * self._needed, PONGS_NEEDED_MAX)
        elif lasted >= STEADY_NS:
            self._needed = self.plan.pong_count

    # -- time --------------------------------------------------------------------------------------

    def excuse(self, late: int, now: Nanos) -> None:
        """We were away for so long: that the peer was not heard meanwhile means nothing."""
        self._answered_at = Nanos(min(self._answered_at + late, now))

    def expire_up(self, now: Nanos) -> bool:
        """Whether the link goes down now: its pings are not answered."""
        if not self.is_up or now < self._down_at:
            return False
        self._note_flapping()
        self._set_down()
        return True

    def due_pings(self, now: Nanos) -> list[int]:
        """Sizes of the pings to send now (0: a small one)."""
        if not self._awake:
            return []
        sizes: list[int] = []
        if self._ping_at <= now:
            self._ping_at = Nanos(now + self.interval_ns)
            sizes.append(0)
            # Beside the small one, not in its place: one that the path swallows is no silence.
            if self._check_next and (size := self.path.check(now)):
                sizes.append(size)
            self._check_next = not self._check_next
        if (size := self.path.probe(now)) != 0:
            sizes.append(size)
        return sizes

    def sent(self, time_ns: int, size: int, now: Nanos) -> None:
        """A ping of `size` bytes (0: small) is on its way."""
        if len(self._outstanding) >= PINGS_OUTSTANDING_MAX:
            self._forget(next(iter(self._outstanding)))
        self._outstanding[time_ns] = now, size

    # -- answers -----------------------------------------------------------------------------------

    def on_pong(self, pong: Pong, now: Nanos) -> tuple[Nanos, bool] | None:
        """When the ping that this answers was sent, and whether the link came up by it.

        None: it answers nothing that was asked.
        """
        asked = self._outstanding.pop(pong.time_ns, None)
        if asked is None:
            return None
        sent, size = asked
        self._answered_at = max(self._answered_at, now)
        if size:
            self.path.answered(size, now)
            return sent, False
        self._pass_over(pong.time_ns)
        self._measure(max(0, now - sent))
        self.path.small_answered(sent, now)
        return sent, self._count(now)

    def _count(self, now: Nanos) -> bool:
        if self.is_up:
            return False
        self._streak += 1
        return self._streak >= self._needed and self.raise_up(now)

    def _pass_over(self, answered: int) -> None:
        """What was asked before and is still not answered, never will be."""
        for time_ns in [one for one in self._outstanding if one < answered]:
            if self._outstanding[time_ns][1] == 0:
                self._forget(time_ns)

    def _forget(self, time_ns: int) -> None:
        _sent, size = self._outstanding.pop(time_ns)
        if not size:
            self.losses += 1
            self._streak = 0

    def _measure(self, round_trip: int) -> None:
        if not self.latency_ns:
            self.latency_ns = round_trip
        else:
            self.latency_ns += (round_trip - self.latency_ns) // _SMOOTHING

    def status(self) -> dict[str, object]:
        """For `unisono status`: link, up, one_way, latency_us, room, losses, changes."""
        return {
            "link": self.plan.number,
            "up": self.is_up,
            "one_way": self.is_one_way,
            "latency_us": self.latency_ns // 1_000,
            "room": self.path.room,
            "losses": self.losses,
            "changes": self.changes,
        }
