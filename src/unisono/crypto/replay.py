"""Replay: which counters of one sender have been seen, in a window that slides with the highest.

Speaks:      `Window(size, start).accept(counter) -> bool`, `has_seen`.
Counterpart: RFC 6479; knet's defragmentation window, which any forged number resets.
Keeps:       a counter is accepted once; one that fell out of the window never. Ask only after the
             packet has proved to be authentic.
"""


class Window:
    """The last `size` counters below and including the highest accepted one."""

    __slots__ = ("_bits", "_mask", "_size", "_top")

    def __init__(self, size: int, start: int = 0) -> None:
        """Counters below `start` count as seen: they belong to a time before the window."""
        self._size = size
        self._mask = (1 << size) - 1
        self._top = start - 1
        self._bits = self._mask if start else 0
        """Bit n stands for the counter n below the highest."""

    def accept(self, counter: int) -> bool:
        """Whether this counter (not negative) is new; it is not new any more afterwards."""
        ahead = counter - self._top
        if ahead > 0:
            # A shift by more than the window would build a number as large as the jump.
            kept = self._bits << ahead & self._mask if ahead < self._size else 0
            self._bits = kept | 1
            self._top = counter
            return True
        if -ahead >= self._size:
            return False
        bit = 1 << -ahead
        if self._bits & bit:
            return False
        self._bits |= bit
        return True

    def has_seen(self, counter: int) -> bool:
        """Whether `accept` would refuse it. Changes nothing: anybody's number may be asked."""
        behind = self._top - counter
        return behind >= 0 and (behind >= self._size or bool(self._bits >> behind & 1))
