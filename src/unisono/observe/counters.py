"""Counters: how often each mark was made since the daemon started.

Keeps:       one entry per mark, so the memory is bounded by the table of marks.
"""

import time

from unisono.base.group import Marked
from unisono.base.marks import Mark


class Counters:
    """Counts marks; `snapshot` is what `unisono status` shows."""

    __slots__ = ("_counts", "_started")

    def __init__(self) -> None:
        self._counts: dict[Mark, int] = {}
        self._started = time.monotonic()

    def count(self, marked: Marked) -> None:
        """Count one mark."""
        counts = self._counts
        counts[marked.mark] = counts.get(marked.mark, 0) + 1

    def of(self, mark: Mark) -> int:
        """How often `mark` was made."""
        return self._counts.get(mark, 0)

    @property
    def uptime_seconds(self) -> float:
        """Seconds since the counting began."""
        return time.monotonic() - self._started

    def snapshot(self) -> dict[str, int]:
        """Every mark made at least once, by its name in small letters, in numerical order."""
        return {mark.name.lower(): self._counts[mark] for mark in sorted(self._counts)}
