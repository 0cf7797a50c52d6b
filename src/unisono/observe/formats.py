"""Formats: a record as one line of bytes, for a person, for syslog or for a collector.

Speaks:      Corosync's line formats; RFC 3164 as /dev/log takes it; one JSON object a line.
Counterpart: corosync exec/logsys.c, libqb's format strings.
Keeps:       one record is one line, whatever its text; the process id is that of the writing
             process, also after a fork.
"""

import json
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from unisono.config.settings import LoggingSettings
from unisono.observe.lines import Level
from unisono.observe.records import Place, Record, printable

Format = Callable[[Record], bytes]

IDENT: Final = "unisonod"
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun",
                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # fmt: skip
LEVEL_NAMES: Final = {level: level.name.lower() for level in Level}
FACILITIES: Final = {
    "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7,
    "uucp": 8, "cron": 9, "authpriv": 10, "ftp": 11,
    **{f"local{number}": 16 + number for number in range(8)},
}  # fmt: skip
SEVERITIES: Final[dict[Level, int]] = {
    Level.EMERG: 0,
    Level.ALERT: 1,
    Level.CRIT: 2,
    Level.ERROR: 3,
    Level.WARNING: 4,
    Level.NOTICE: 5,
    Level.INFO: 6,
    Level.DEBUG: 6,  # as info: syslog daemons drop debug lines
    Level.TRACE: 6,
}


def format_of_stream(settings: LoggingSettings, node_id: int) -> Format:
    """Lines of standard error."""
    return _json(node_id) if settings.format == "json" else _text(settings, "")


def format_of_file(settings: LoggingSettings, node_id: int) -> Format:
    """Lines of a file, which say whose they are."""
    if settings.format == "json":
        return _json(node_id)
    return _text(settings, f"{socket.gethostname()} {IDENT} ")


def format_of_syslog(settings: LoggingSettings) -> Format:
    """Datagrams of syslog, which adds time and host itself."""
    facility = FACILITIES[settings.syslog_facility] << 3
    shown = _place_shown(settings)

    def render(record: Record) -> bytes:
        head = f"<{facility | SEVERITIES[record.level]}>{IDENT}[{os.getpid()}]:   "
        return f"{head}{_body(record, shown)}".encode()

    return render


def _text(settings: LoggingSettings, origin: str) -> Format:
    """`Nov 21 01:23:31.114 notice  [TOTEM ] text`, with process and `origin` when there is one."""
    clock = _Clock(settings.timestamp)
    shown = _place_shown(settings)

    def render(record: Record) -> bytes:
        whose = f"[{os.getpid()}] {origin}" if origin else ""
        head = f"{clock(record.seconds)}{whose}{LEVEL_NAMES[record.level]:<7} "
        return f"{head}{_body(record, shown)}\n".encode()

    return render


def _json(node_id: int) -> Format:
    def render(record: Record) -> bytes:
        marked, place = record.marked, record.place
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.seconds, UTC).isoformat(timespec="microseconds"),
            "level": LEVEL_NAMES[record.level],
            "subsystem": record.subsystem,
            "mark": marked.mark.name.lower() if marked else None,
            "a": marked.a if marked else None,
            "b": marked.b if marked else None,
            "text": printable(record.text),
            "pid": os.getpid(),
            "node": node_id,
        }
        if place:
            fields |= {"file": place.file, "function": place.function, "line": place.line}
        return f"{json.dumps(fields)}\n".encode()

    return render


def _body(record: Record, shown: Callable[[Place], str] | None) -> str:
    place = shown(record.place) if shown and record.place else ""
    return f"[{record.subsystem[:6]:<6}] {place}{printable(record.text)}"


def _place_shown(settings: LoggingSettings) -> Callable[[Place], str] | None:
    match settings.fileline, settings.function_name:
        case True, True:
            return lambda place: f"{place.file}:{place.function}:{place.line} "
        case True, _:
            return lambda place: f"{place.file}:{place.line} "
        case _, True:
            return lambda place: f"{place.function} "
    return None


class _Clock:
    """Local time in front of a line; a second is put into words once."""

    __slots__ = ("_kind", "_second", "_words")

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._second = -1
        self._words = ""

    def __call__(self, seconds: float) -> str:
        if self._kind == "off":
            return ""
        second = int(seconds)
        if second != self._second:
            when = time.localtime(second)
            clock = f"{when.tm_hour:02d}:{when.tm_min:02d}:{when.tm_sec:02d}"
            self._words = f"{_MONTHS[when.tm_mon - 1]} {when.tm_mday:02d} {clock}"
            self._second = second
        if self._kind == "on":
            return f"{self._words} "
        return f"{self._words}.{int((seconds - second) * 1000):03d} "
