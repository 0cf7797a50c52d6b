"""Clock: a node's own monotonic time, which may run fast, slow, leap ahead or stand still.

Speaks:      `now` in the node's nanoseconds; `in_world(due)` for the scheduler.
Counterpart: CLOCK_MONOTONIC of a machine; the machines get no other time, so that a step of the
             wall clock cannot reach them.
Keeps:       never runs backwards; equal to the world's time until something is done to it.
"""

from typing import Final

from unisono.base.ids import Nanos
from unisono.sim.scheduler import Scheduler

MILLION: Final = 1_000_000


class NodeClock:
    """One node's clock."""

    __slots__ = ("_ppm", "_scheduler", "_since", "_skew", "_stopped_at", "is_own")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.is_own = False
        """Whether it may differ from the world's time."""
        self._skew = 0
        self._ppm = 0
        self._since = 0
        self._stopped_at: int | None = None

    @property
    def now(self) -> Nanos:
        """The node's time."""
        if not self.is_own:
            return self._scheduler.now
        if self._stopped_at is not None:
            return Nanos(self._stopped_at)
        return Nanos(self._running())

    def _running(self) -> int:
        world = self._scheduler.now
        return world + self._skew + (world - self._since) * self._ppm // MILLION

    def in_world(self, due: int) -> int:
        """The world's time at which this clock shows at least `due`."""
        ahead = due - self.now
        if ahead <= 0:
            return self._scheduler.now
        return self._scheduler.now + ahead * MILLION // (MILLION + self._ppm) + 1

    def drift(self, parts_per_million: int) -> None:
        """Run that much faster than the world from now on; negative is slower."""
        world = self._scheduler.now
        self._skew += (world - self._since) * self._ppm // MILLION
        self._since = world
        self._ppm = parts_per_million
        self.is_own = True

    def leap(self, nanoseconds: int) -> None:
        """Jump ahead."""
        self._skew += max(0, nanoseconds)
        self.is_own = True

    def stop(self) -> None:
        """Stand still until `run`."""
        if self._stopped_at is None:
            self._stopped_at = self.now
            self.is_own = True

    def run(self) -> None:
        """Go on from where it stood still; nothing if it did not."""
        if self._stopped_at is not None:
            self._skew -= self._running() - self._stopped_at
            self._stopped_at = None
