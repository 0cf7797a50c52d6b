"""Counters: how often each mark was made since the daemon started.

Keeps:       one entry per mark, so the memory is bounded by the table of marks.
"""

import time

from unisono.base.group import Marked
from unisono.base.marks import Mark


class Counters:
    """Counts marks; `snapshot` is what `unisono status` shows."""

    __slots__ = ("_started", "counts")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(Mark, 0)
        """By mark, for who counts so often that a call for it is too much."""
        self._started = time.monotonic()

    def count(self, marked: Marked) -> None:
        """Count one mark."""
        self.counts[marked.mark] += 1

    def of(self, mark: Mark) -> int:
        """How often `mark` was made."""
        return self.counts[mark]

    @property
    def uptime_seconds(self) -> float:
        """Seconds since the counting began."""
        return time.monotonic() - self._started

    def snapshot(self) -> dict[str, int]:
        """Every mark made at least once, by its name in small letters, in numerical order."""
        return {mark.name.lower(): count for mark, count in sorted(self.counts.items()) if count}
