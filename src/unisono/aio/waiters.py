"""Waiters: tasks that wait for anything to change on one connection.

Keeps:       everybody wakes in the order of coming, and looks again.
Never:       decides what a wait was for.
"""

from __future__ import annotations

import asyncio

from unisono.base.errors import ClusterError, CsError

__all__ = ["Waiters", "now"]


def now() -> float:
    """Seconds of the running loop's clock: monotonic, and virtual where the loop is."""
    return asyncio.get_running_loop().time()


class Waiters:
    """Those who wait for one connection."""

    __slots__ = ("_futures", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._futures: list[asyncio.Future[bool]] = []

    def wake(self) -> None:
        """Wake everybody."""
        futures = self._futures
        while futures:
            _resolve(futures.pop(0), True)

    async def wait(self, deadline: float | None, seconds: float | None = None) -> None:
        """Until `wake`, or for so many seconds; ClusterError TIMEOUT at `deadline`."""
        future: asyncio.Future[bool] = self.loop.create_future()
        self._futures.append(future)
        end = deadline
        if seconds is not None:
            end = self.loop.time() + seconds
            end = end if deadline is None else min(deadline, end)
        alarm = None if end is None else self.loop.call_at(end, _resolve, future, False)
        try:
            woken = await future
        finally:
            if alarm is not None:
                alarm.cancel()
            # Who was woken is not in the list any more.
            if future in self._futures:
                self._futures.remove(future)
        if not woken and end == deadline:
            raise ClusterError(CsError.TIMEOUT, "the local daemon")


def _resolve(future: asyncio.Future[bool], woken: bool) -> None:
    if not future.done():
        future.set_result(woken)
