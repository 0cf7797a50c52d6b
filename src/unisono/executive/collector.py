"""The garbage collector's place: never while the token is here, only while little happens.

Keeps:       what start-up left is frozen; a cycle made later is found in an idle moment, or when
             COLLECT_OBJECTS_MAX new containers exist, whatever the load.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Final

CHECK_SECONDS: Final = 10.0
IDLE_DATAGRAMS_PER_CHECK: Final = 2_000
"""Reads within CHECK_SECONDS below which the daemon counts as idle."""
COLLECT_OBJECTS_MAX: Final = 500_000
"""New containers above which a collection is due even under load."""
COLLECT_OBJECTS_MIN: Final = 500
"""New containers below which a collection is not worth its wake-up."""


class IdleCollector:
    """Runs the collector by hand; `work` tells how many reads were made so far."""

    __slots__ = ("_loop", "_timer", "_work", "_work_before")

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], int]) -> None:
        self._loop = loop
        self._work = work
        self._work_before = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Freeze what exists and take over from the automatic collector."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self._arm()

    def stop(self) -> None:
        """Give back to the automatic collector."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            gc.unfreeze()
            gc.enable()

    def check(self) -> bool:
        """Collect if it is time; whether it was."""
        work = self._work()
        idle = work - self._work_before < IDLE_DATAGRAMS_PER_CHECK
        self._work_before = work
        fresh = gc.get_count()[0]
        due = fresh > COLLECT_OBJECTS_MAX or (idle and fresh > COLLECT_OBJECTS_MIN)
        if due:
            gc.collect()
        return due

    def _arm(self) -> None:
        self._timer = self._loop.call_later(CHECK_SECONDS, self._on_timer)

    def _on_timer(self) -> None:
        self.check()
        self._arm()
