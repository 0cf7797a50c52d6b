"""The log: marks and sentences as lines, to standard error, files and syslog.

Counterpart: corosync exec/logsys.c; corosync.conf(5), section logging.
Keeps:       who logs never waits; a mark that comes too often is told a few times and then
             counted; a change of settings loses no line.
"""

import time
import traceback
from collections.abc import Callable
from typing import Final

from unisono.base.group import Marked
from unisono.base.limits import LOG_FLUSH_SECONDS_MAX, LOG_TEXT_CHARACTERS_MAX
from unisono.base.marks import Mark
from unisono.config.settings import LoggingSettings
from unisono.observe.lines import LINES, Level, Line
from unisono.observe.outlets import SYSLOG_SOCKET, Outlets
from unisono.observe.records import Place, Record, place_of_caller, place_of_mark
from unisono.observe.routes import NOWHERE, Route, routes_of
from unisono.observe.throttle import Throttle
from unisono.observe.writer import Writer

FRAMES_MAX: Final = 20


class Log:
    """The daemon's log."""

    def __init__(
        self,
        settings: LoggingSettings,
        *,
        node_id: int = 0,
        clock: Callable[[], float] = time.monotonic,
        syslog_socket: str = SYSLOG_SOCKET,
    ) -> None:
        """OSError when a log file cannot be opened; an absent syslog is no error."""
        self._throttle = Throttle(clock)
        self._routes: dict[str, Route] = {}
        self.told: dict[Mark, tuple[Line, Route]] = {}
        """The marks that any target wants, always in this dict: others need not come to `mark`."""
        self._outlets = Outlets(settings, node_id, syslog_socket, self._tell_trouble)
        self._take(settings)
        self.witness: Callable[[Level, str, str], None] = lambda _level, _subsystem, _text: None
        """Hears every sentence that is written, of any level; marks it does not hear."""

    def write(self, level: Level, subsystem: str, text: str, *, stacklevel: int = 1) -> None:
        """One line, whatever came before; `stacklevel` 2 gives the caller's caller as its place."""
        self.witness(level, subsystem, text)
        route = self._routes.get(subsystem, self._shared)
        if level >= route.least:
            place = place_of_caller(stacklevel) if self._is_placed else None
            cut = text[:LOG_TEXT_CHARACTERS_MAX]
            self._hand_over(route, Record(time.time(), level, subsystem, cut, place=place))

    def failure(self, subsystem: str, error: BaseException) -> None:
        """An error nobody expected, with where it came from: one line a frame."""
        self.write(Level.CRIT, subsystem, f"{type(error).__name__}: {error}", stacklevel=2)
        for frame in traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]:
            text = f"  {frame.filename}:{frame.lineno} {frame.name}"
            self.write(Level.CRIT, subsystem, text, stacklevel=2)

    def mark(self, marked: Marked) -> None:
        """The line of a mark, if it has one and has not come too often lately."""
        found = self.told.get(marked.mark)
        if found is None:
            return
        told_before = self._throttle.admit(marked.mark)
        if told_before is None:
            return
        line, route = found
        text = line.text.format(a=marked.a, b=marked.b, text=marked.text)[:LOG_TEXT_CHARACTERS_MAX]
        if told_before:
            text += f" ({told_before} more of these were not logged)"
        place: Place | None = place_of_mark(marked) if self._is_placed else None
        record = Record(time.time(), line.level, line.subsystem, text, marked=marked, place=place)
        self._hand_over(route, record)

    def configure(self, settings: LoggingSettings) -> None:
        """Go on with other settings; a file that cannot be opened leaves the one before in use."""
        self._outlets.change(settings)
        self._take(settings)
        self._outlets.settle(settings)

    def reopen(self) -> None:
        """Open files anew where their paths lead elsewhere now: they were rotated."""
        self._outlets.reopen()

    def flush(self, seconds: float = LOG_FLUSH_SECONDS_MAX) -> bool:
        """Wait until everything is written; False when that takes longer."""
        return self._outlets.flush(seconds)

    def lost_lines(self) -> dict[str, int]:
        """Lines that were not written, by target."""
        return self._outlets.lost_lines()

    def close(self) -> None:
        """Write what waits, for LOG_FLUSH_SECONDS_MAX at most, and close all but standard error."""
        for mark, count in self._throttle.owed():
            line = LINES[mark]
            text = f"{count} more lines of {mark.name.lower()} were not logged"
            self.write(line.level, line.subsystem, text)
        self._routes.clear()
        self._shared = NOWHERE
        self.told.clear()
        self._outlets.close(LOG_FLUSH_SECONDS_MAX)

    def _take(self, settings: LoggingSettings) -> None:
        routes = routes_of(settings, self._outlets.writer_of)
        self._is_placed = settings.fileline or settings.function_name
        self._shared = routes.pop("")
        self._routes = routes
        self.told.clear()
        for mark, line in LINES.items():
            route = routes.get(line.subsystem, self._shared)
            if line.level >= route.least:
                self.told[mark] = (line, route)

    @staticmethod
    def _hand_over(route: Route, record: Record, but: Writer | None = None) -> None:
        for level, writer in route.targets:
            if record.level >= level and writer is not but:
                writer.put(record)

    def _tell_trouble(self, text: str, but: Writer | None) -> None:
        """One target's trouble, to the others, or to all; called by that target's thread."""
        record = Record(time.time(), Level.WARNING, "MAIN", text[:LOG_TEXT_CHARACTERS_MAX])
        self._hand_over(self._routes.get("MAIN", self._shared), record, but=but)
