"""Paths: what lies between `Links` and a peer that answers, in a time that jumps."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unisono.base.ids import MS, SECOND, Nanos
from unisono.config.settings import LinkSettings
from unisono.secure.links import Links
from unisono.wire.ust.header import HEADER_BYTES, TAG_BYTES
from unisono.wire.ust.records import Ping, Pong, Record, encode_records


def plan(number: int, priority: int = 1, pong_count: int = 2) -> LinkSettings:
    """A link with the ping times that most configurations have."""
    return LinkSettings(number, 5405 + number, priority, 100 * MS, 400 * MS, pong_count)


@dataclass
class Path:
    """One link's way there and back."""

    carries: int = 1_472
    """Largest UDP payload."""
    limit: int = 1_472
    """What the interface says."""
    there: bool = True
    back: bool = True
    delay_ns: int = 100_000
    """One way."""
    lose: Callable[[int, int], bool] = lambda _count, _size: False
    """Whether the ping of this number and size is lost."""
    pings: int = 0


class World:
    """One node's links to a peer that answers each ping while it lives."""

    def __init__(
        self,
        plans: Sequence[LinkSettings],
        mode: str = "passive",
        mtu_bytes: int = 0,
        paths: dict[int, Path] | None = None,
    ) -> None:
        self.now = Nanos(1_000 * SECOND)
        self.links = Links(
            plans, mode, mtu_bytes=mtu_bytes, mtu_interval_ns=30 * SECOND, now=self.now
        )
        self.paths = paths or {one.number: Path() for one in plans}
        self.alive = True
        self.changes: list[tuple[float, int, bool]] = []
        self.sizes: list[tuple[float, int, int]] = []
        self.rooms_seen: set[tuple[int, ...]] = set()
        self.expired = 0
        self._born = self.now
        self._way: list[tuple[Nanos, int, int, Pong]] = []
        for number, path in self.paths.items():
            self.links.limit(number, path.limit, self.now)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return (self.now - self._born) / SECOND

    def adopt(self, link: int = 0) -> "World":
        """A session is there."""
        self.links.adopted(link, self.now)
        self.settle()
        return self

    def settle(self) -> None:
        """Carry out what the links want after a call."""
        for link, records in self.links.take_probes():
            self._carry(link, records)
        for link, is_up in self.links.take_changes():
            self.changes.append((self.seconds, link, is_up))
            assert self.links.is_up(link) is is_up
        self.rooms_seen.add(self.rooms())

    def _carry(self, link: int, records: list[Record]) -> None:
        path = self.paths[link]
        size = HEADER_BYTES + len(encode_records(records)) + TAG_BYTES
        self.sizes.append((self.seconds, link, size))
        path.pings += 1
        ping = records[0]
        assert isinstance(ping, Ping) and ping.link == link
        fits = size <= min(path.carries, path.limit)
        if self.alive and path.there and path.back and fits and not path.lose(path.pings, size):
            pong = Pong(ping.link, ping.time_ns)
            back_at = Nanos(self.now + 2 * path.delay_ns)
            heapq.heappush(self._way, (back_at, path.pings, link, pong))

    def expire(self) -> None:
        """What is due is done, and done once."""
        self.links.expire(self.now)
        self.expired += 1
        deadline = self.links.deadline
        assert deadline is None or deadline > self.now, "the links would spin"

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = Nanos(self.now + int(seconds * SECOND))
        while True:
            deadline = self.links.deadline
            arrival = self._way[0][0] if self._way else None
            dues = [due for due in (deadline, arrival) if due is not None]
            if not dues or min(dues) > end:
                break
            self.now = min(dues)
            if arrival == self.now:
                _, _, link, pong = heapq.heappop(self._way)
                if self.paths[link].back:
                    self.links.on_pong(link, pong, self.now)
            else:
                self.expire()
            self.settle()
        self.now = end

    def stand_still(self, seconds: float, *, reads_first: bool = False) -> None:
        """This process does not run: what arrives waits, and is read after the timers, or first."""
        self.now = Nanos(self.now + int(seconds * SECOND))
        self._way = [(max(at, self.now), *rest) for at, *rest in self._way]  # type: ignore[misc] # mypy forgets what follows a star
        heapq.heapify(self._way)
        while reads_first and self._way:
            _, _, link, pong = heapq.heappop(self._way)
            self.links.on_pong(link, pong, self.now)
        self.expire()
        self.settle()

    def rooms(self) -> tuple[int, ...]:
        """The room of every link."""
        return tuple(self.links.room([number]) for number in self.links.numbers)
