"""The log: marks and sentences as lines for people, to standard error, a file and syslog.

Speaks:      Corosync's line formats; the syslog protocol of /dev/log.
Counterpart: corosync exec/logsys.c; corosync.conf(5), section logging.
Keeps:       a mark that comes too often is told a few times and then counted; no text from outside
             can break a line; a full or absent syslog never blocks.
"""

import contextlib
import logging
import logging.handlers
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from unisono.base.group import Marked
from unisono.base.limits import LOG_LINES_PER_MARK, LOG_WINDOW_SECONDS
from unisono.base.marks import Mark
from unisono.config.settings import LoggingSettings
from unisono.observe.lines import LINES, Level

IDENT: Final = "unisonod"
TEXT_CHARACTERS_MAX: Final = 512
"""Longer text is cut, as Corosync does."""
FRAMES_MAX: Final = 20
SYSLOG_SOCKET: Final = "/dev/log"
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun",
                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # fmt: skip
_UNPRINTABLE: Final = dict.fromkeys((*range(32), *range(127, 160)), "?")
_FACILITY_DAEMON: Final = 3
_SEVERITIES: Final[dict[int, int]] = {
    Level.DEBUG: 6,  # as info: syslog daemons drop debug lines
    Level.INFO: 6,
    Level.NOTICE: 5,
    Level.WARNING: 4,
    Level.ERROR: 3,
    Level.CRIT: 2,
}


class _Formatter(logging.Formatter):
    """`Nov 21 01:23:31.114 notice  [TOTEM ] text`, with `origin` after the time in files."""

    def __init__(self, timestamp: str, origin: str = "") -> None:
        super().__init__()
        self._timestamp = timestamp
        self._origin = origin

    def format(self, record: logging.LogRecord) -> str:
        return f"{self._time(record)}{self._origin}{record.levelname:<7} {_body(record)}"

    def _time(self, record: logging.LogRecord) -> str:
        if self._timestamp == "off":
            return ""
        when = time.localtime(record.created)
        millis = f".{int(record.msecs):03d}" if self._timestamp == "hires" else ""
        clock = f"{when.tm_hour:02d}:{when.tm_min:02d}:{when.tm_sec:02d}{millis}"
        return f"{_MONTHS[when.tm_mon - 1]} {when.tm_mday:02d} {clock} "


class _SyslogFormatter(logging.Formatter):
    """The journal adds time and priority itself."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{IDENT}[{os.getpid()}]:   {_body(record)}"


def _body(record: logging.LogRecord) -> str:
    text = record.getMessage()[:TEXT_CHARACTERS_MAX].translate(_UNPRINTABLE)
    return f"[{record.name[:6]:<6}] {text}"


class _Syslog(logging.Handler):
    """Facility daemon over a local datagram socket; what it does not take at once is lost.

    The standard library's handler waits as soon as the receiver's queue was full once.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._socket = self._connect()

    def emit(self, record: logging.LogRecord) -> None:
        severity = _SEVERITIES.get(record.levelno, _SEVERITIES[Level.WARNING])
        line = f"<{_FACILITY_DAEMON << 3 | severity}>{self.format(record)}".encode()
        try:
            self._socket.send(line)
        except BlockingIOError:
            return
        except OSError:  # the receiver was restarted
            with contextlib.suppress(OSError):
                self._socket.close()
                self._socket = self._connect()
                self._socket.send(line)

    def close(self) -> None:
        self._socket.close()
        super().close()

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        return sock


class _Window:
    """How often one mark was told lately."""

    __slots__ = ("suppressed", "told", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.told = 0
        self.suppressed = 0


class Log:
    """The daemon's log."""

    def __init__(
        self, settings: LoggingSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """OSError when the log file cannot be opened; an absent syslog is left out."""
        self._clock = clock
        self._windows: dict[Mark, _Window] = {}
        self._threshold = Level.DEBUG if settings.debug != "off" else Level.INFO
        self._handlers: list[logging.Handler] = []
        if settings.to_stderr:
            self._add(logging.StreamHandler(sys.stderr), _Formatter(settings.timestamp))
        if settings.to_logfile and settings.logfile:
            origin = f"[{os.getpid()}] {socket.gethostname()} {IDENT} "
            target = logging.handlers.WatchedFileHandler(settings.logfile)
            self._add(target, _Formatter(settings.timestamp, origin))
        if settings.to_syslog and Path(SYSLOG_SOCKET).exists():
            self._add_syslog()

    def write(self, level: Level, subsystem: str, text: str) -> None:
        """One line, whatever came before."""
        if level >= self._threshold:
            # Records go straight to our own handlers: no handler of a host program sees them.
            name = level.name.lower()
            fields = {"name": subsystem, "levelno": level, "levelname": name, "msg": text}
            record = logging.makeLogRecord(fields)
            for handler in self._handlers:
                handler.handle(record)

    def failure(self, subsystem: str, error: BaseException) -> None:
        """An error nobody expected, with where it came from: one line a frame."""
        self.write(Level.CRIT, subsystem, f"{type(error).__name__}: {error}")
        for frame in traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]:
            self.write(Level.CRIT, subsystem, f"  {frame.filename}:{frame.lineno} {frame.name}")

    def mark(self, marked: Marked) -> None:
        """The line of a mark, if it has one and has not come too often lately."""
        line = LINES.get(marked.mark)
        if line is None or line.level < self._threshold:
            return
        told_before = self._may_tell(marked.mark)
        if told_before is None:
            return
        text = line.text.format(a=marked.a, b=marked.b, text=marked.text)
        if told_before:
            text += f" ({told_before} more of these were not logged)"
        self.write(line.level, line.subsystem, text)

    def close(self) -> None:
        """Close files and sockets, not standard error."""
        for handler in self._handlers:
            handler.close()
        self._handlers.clear()

    def _may_tell(self, mark: Mark) -> int | None:
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

    def _add(self, handler: logging.Handler, formatter: logging.Formatter) -> None:
        handler.setFormatter(formatter)
        self._handlers.append(handler)

    def _add_syslog(self) -> None:
        try:
            self._add(_Syslog(SYSLOG_SOCKET), _SyslogFormatter())
        except OSError:
            return  # nobody listens; the other targets remain
