"""Last words: what Python's fault handler writes behind the cells when a fatal signal comes.

Speaks:      the text of CPython's faulthandler: ASCII lines, zeros behind them.
Counterpart: corosync exec/main.c, corosync_segv_handler, which logs the signal's number.
Keeps:       a bounded number of lines; names of files and functions, never a value.
"""

from typing import Final

from unisono.base.limits import FLIGHT_LAST_LINES_MAX

_HEAD: Final = "Fatal Python error: "
_SIGNALS: Final = {
    "Segmentation fault": "SIGSEGV",
    "Bus error": "SIGBUS",
    "Aborted": "SIGABRT",
    "Illegal instruction": "SIGILL",
    "Floating point exception": "SIGFPE",
    "Floating-point exception": "SIGFPE",  # as newer Pythons spell it
}


def decode_last_words(area: bytes) -> list[str]:
    """The lines in it, without the empty ones; none when nobody spoke."""
    text = area.partition(b"\0")[0].decode("ascii", errors="replace")
    return [line for line in text.split("\n") if line.strip()][:FLIGHT_LAST_LINES_MAX]


def fatal_signal(lines: list[str]) -> str:
    """The name of the signal that they speak of, or nothing."""
    first = lines[0] if lines else ""
    return _SIGNALS.get(first.removeprefix(_HEAD), "") if first.startswith(_HEAD) else ""
