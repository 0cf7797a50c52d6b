"""The ring's timers: a row of deadlines, one per purpose.

Keeps:       at most one deadline per purpose; an unset timer is NEVER.
"""

from enum import IntEnum, unique
from typing import Final

NEVER: Final = 1 << 62


@unique
class Timer(IntEnum):
    """Purposes; the value is the place in the row and the order among equal deadlines."""

    START = 0
    JOIN = 1
    CONSENSUS = 2
    TOKEN = 3
    RETRANSMIT = 4
    REST = 5
    MERGE = 6
    ASK = 7
    PAUSE_TICK = 8
    LEAVE = 9
    SEND_JOIN = 10
    SYNC = 11


class Timers:
    """Deadlines in nanoseconds of the caller's clock."""

    __slots__ = ("row",)

    def __init__(self) -> None:
        self.row: list[int] = [NEVER] * len(Timer)

    def deadline(self) -> int | None:
        """The earliest deadline, or None."""
        earliest = min(self.row)
        return None if earliest == NEVER else earliest

    def take_expired(self, now: int) -> Timer | None:
        """Unset and return the earliest timer that is due at `now`, or None."""
        earliest = min(self.row)
        if earliest > now:
            return None
        place = self.row.index(earliest)
        self.row[place] = NEVER
        return Timer(place)
