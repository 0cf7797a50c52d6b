"""Throttle: a mark that comes too often is told a few times and then counted.

Keeps:       one window per mark, so the memory is bounded by the table of marks.
"""

from collections.abc import Callable, Iterator

from unisono.base.limits import LOG_LINES_PER_MARK, LOG_WINDOW_SECONDS
from unisono.base.marks import Mark


class _Window:
    """How often one mark was told lately."""

    __slots__ = ("suppressed", "told", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.told = 0
        self.suppressed = 0


class Throttle:
    """Decides which marks become lines."""

    __slots__ = ("_clock", "_windows")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: dict[Mark, _Window] = {}

    def admit(self, mark: Mark) -> int | None:
        """Lines suppressed since the last one told, or None when this one must not be told."""
        now = self._clock()
        window = self._windows.get(mark)
        if window is None:
            window = self._windows[mark] = _Window()
        if now >= window.until:
            window.until = now + LOG_WINDOW_SECONDS
            window.told = 0
        if window.told >= LOG_LINES_PER_MARK:
            window.suppressed += 1
            return None
        window.told += 1
        suppressed, window.suppressed = window.suppressed, 0
        return suppressed

    def owed(self) -> Iterator[tuple[Mark, int]]:
        """Marks with lines that were suppressed and never mentioned; they count as mentioned."""
        for mark, window in self._windows.items():
            if window.suppressed:
                suppressed, window.suppressed = window.suppressed, 0
                yield mark, suppressed
