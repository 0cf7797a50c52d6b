"""Scheduler: virtual time that jumps to the next deadline.

Speaks:      `at(time, call)`, `after(delay, call)`, `run_until(time)`.
Keeps:       calls due at one instant run in the order in which they were asked for.
Never:       sleeps, reads a clock, throws dice.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

from unisono.base.ids import Nanos

CALLS_PER_INSTANT_MAX: Final = 50_000
"""Calls that may run without time moving on; more means that some machine spins."""
CALLS_MAX: Final = 600_000
"""Calls of one run; an ordinary run needs a few thousand, a storm of joins any number."""


class Livelock(Exception):
    """Time hardly moves on: a machine asks to be called for ever, or two answer each other so."""


class Scheduler:
    """An event heap over virtual nanoseconds."""

    __slots__ = ("_heap", "_ordinal", "calls", "calls_max", "now")

    def __init__(self, calls_max: int = CALLS_MAX) -> None:
        self.now: Nanos = Nanos(0)
        self.calls = 0
        self.calls_max = calls_max
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._ordinal = 0

    def at(self, time: int, call: Callable[..., None], *arguments: Any) -> None:
        """Run `call(*arguments)` at `time`, or now if that is in the past."""
        self._ordinal += 1
        heappush(self._heap, (max(time, self.now), self._ordinal, call, arguments))

    def after(self, delay: int, call: Callable[..., None], *arguments: Any) -> None:
        """Run `call(*arguments)` `delay` nanoseconds from now."""
        self.at(self.now + delay, call, *arguments)

    def run_until(self, time: int, stop: Callable[[], bool] | None = None) -> bool:
        """Run everything due up to `time`; True if `stop()` ended it earlier.

        Raises Livelock when more than CALLS_PER_INSTANT_MAX calls run at one instant, or more than
        `calls_max` altogether.
        """
        heap = self._heap
        spins = 0
        while heap and heap[0][0] <= time:
            due, _, call, arguments = heappop(heap)
            if due > self.now:
                self.now = Nanos(due)
                spins = 0
            spins += 1
            if spins > CALLS_PER_INSTANT_MAX:
                raise Livelock(f"{spins} calls at {self.now} ns; the last: {call.__qualname__}")
            self.calls += 1
            if self.calls > self.calls_max:
                raise Livelock(f"{self.calls} calls, {spins} of them at {self.now} ns")
            call(*arguments)
            if stop is not None and stop():
                return True
        self.now = Nanos(max(time, self.now))
        return False

    @property
    def waiting(self) -> int:
        """Calls not yet due."""
        return len(self._heap)
