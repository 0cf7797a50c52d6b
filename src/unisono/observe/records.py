"""Records: what is told, before it is known where and in which form."""

import sys
from typing import Final, NamedTuple

from unisono.base.group import Marked
from unisono.observe.lines import Level

_LINE_BREAKS: Final = (0x2028, 0x2029)
_DIRECTIONS: Final = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Marks of writing direction: with them a line can show something else than it says."""
_UNPRINTABLE: Final = dict.fromkeys(
    (*range(32), *range(127, 160), *_LINE_BREAKS, *_DIRECTIONS, *range(0xD800, 0xE000)), "?"
)


class Place(NamedTuple):
    """Where a line was made; for a mark, its name and number stand for function and line."""

    file: str
    function: str
    line: int


class Record:
    """One thing to tell."""

    __slots__ = ("level", "marked", "place", "seconds", "subsystem", "text")

    def __init__(
        self,
        seconds: float,
        level: Level,
        subsystem: str,
        text: str,
        *,
        marked: Marked | None = None,
        place: Place | None = None,
    ) -> None:
        self.seconds = seconds
        """Since 1970."""
        self.level = level
        self.subsystem = subsystem
        self.text = text
        self.marked = marked
        self.place = place


def printable(text: str) -> str:
    """`text` with nothing in it that moves a cursor, ends a line or cannot be encoded."""
    return text.translate(_UNPRINTABLE)


def place_of_mark(marked: Marked) -> Place:
    """Numbers of marks never change, so they are better to search for than lines of a version."""
    return Place("marks.py", marked.mark.name.lower(), marked.mark)


def place_of_caller(depth: int) -> Place:
    """`depth` 1 is who calls the caller of this function."""
    frame = sys._getframe(depth + 1)
    code = frame.f_code
    return Place(code.co_filename.rpartition("/")[2], code.co_name, frame.f_lineno)
