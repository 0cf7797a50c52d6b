"""What a person sees: a picture that is drawn again and again on a terminal, else plain lines."""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Final, TextIO

FRAME_SECONDS: Final = 0.1
PLAIN_SECONDS: Final = 2.0
BAR_WIDTH_MAX: Final = 50
CLEAR_LINE: Final = "\x1b[2K"
HIDE_CURSOR: Final = "\x1b[?25l"
SHOW_CURSOR: Final = "\x1b[?25h"


def is_live(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that understands cursor movements."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def bar(share: float, width: int) -> str:
    """A progress bar of `width` characters; `share` 0 to 1."""
    done = round(max(0.0, min(1.0, share)) * width)
    return "#" * done + "." * (width - done)


class View:
    """Lines that stay, and below them a picture of now."""

    def __init__(self, *, live: bool, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = live
        self._drawn = 0
        self._shown = 0.0
        if live:
            self._stream.write(HIDE_CURSOR)

    def say(self, line: str) -> None:
        """A line that stays."""
        self._erase()
        self._stream.write(line + "\n")
        self._stream.flush()

    def show(self, rows: Sequence[str], share: float, summary: str) -> None:
        """The picture: `rows` on a terminal, `summary` now and then elsewhere."""
        now = time.monotonic()
        if now - self._shown < (FRAME_SECONDS if self._live else PLAIN_SECONDS):
            return
        self._shown = now
        if not self._live:
            self._stream.write(f"{share:4.0%}  {summary}\n")
            self._stream.flush()
            return
        width = shutil.get_terminal_size().columns
        progress = bar(share, min(BAR_WIDTH_MAX, max(width - 20, 10)))
        lines = [*rows, f"[{progress}] {share:4.0%}  {summary}"]
        self._erase()
        self._stream.write("".join(f"{line[: width - 1]}\n" for line in lines))
        self._stream.flush()
        self._drawn = len(lines)

    def close(self) -> None:
        """Give the terminal back."""
        self._erase()
        if self._live:
            self._stream.write(SHOW_CURSOR)
            self._stream.flush()

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A" + f"{CLEAR_LINE}\n" * self._drawn)
            self._stream.write(f"\x1b[{self._drawn}A")
            self._drawn = 0
