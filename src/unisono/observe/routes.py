"""Routes: which targets a subsystem's lines go to, and from which level on.

Counterpart: corosync.conf(5), logging and logger_subsys.
Keeps:       standard error follows logfile_priority, as in Corosync; debug goes before priorities.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from unisono.config.settings import LoggingSettings, LogTargets
from unisono.observe.lines import Level
from unisono.observe.writer import Writer

STANDARD_ERROR: Final = "\0stderr"
SYSLOG: Final = "\0syslog"
"""Keys of the two targets that are not files; the key of a file is its path, which has no NUL."""
_DEBUG_LEVELS: Final = {"on": Level.DEBUG, "trace": Level.TRACE}
_NEVER: Final = max(Level) + 1


class Route(NamedTuple):
    """`least` is the lowest level that any of the targets takes."""

    least: int
    targets: tuple[tuple[Level, Writer], ...]


NOWHERE: Final = Route(_NEVER, ())


class Wanted(NamedTuple):
    """One target of one route: its key, the least level, and whose wish it is ("" is all's)."""

    key: str
    level: Level
    owner: str


def wanted_by(settings: LogTargets, owner: str) -> list[Wanted]:
    """The targets of one subsystem."""
    debug = _DEBUG_LEVELS.get(settings.debug)
    file_level = debug or Level[settings.logfile_priority.upper()]
    syslog_level = debug or Level[settings.syslog_priority.upper()]
    wanted = []
    if settings.to_stderr:
        wanted.append(Wanted(STANDARD_ERROR, file_level, owner))
    if settings.to_logfile and settings.logfile:
        wanted.append(Wanted(settings.logfile, file_level, owner))
    if settings.to_syslog:
        wanted.append(Wanted(SYSLOG, syslog_level, owner))
    return wanted


def owners(settings: LoggingSettings) -> dict[str, LogTargets]:
    """Everybody's targets under "", and those of subsystems that go their own way."""
    return {"": settings, **{one.subsystem: one for one in settings.subsystems}}


def all_wanted(settings: LoggingSettings) -> dict[str, str]:
    """Every key once, with who wished for it first."""
    found: dict[str, str] = {}
    for owner, targets in owners(settings).items():
        for wish in wanted_by(targets, owner):
            found.setdefault(wish.key, owner)
    return found


def routes_of(settings: LoggingSettings, writer_of: Callable[[str], Writer]) -> dict[str, Route]:
    """Routes by subsystem; "" is the one of all others."""
    return {
        owner: _route([(wish.level, writer_of(wish.key)) for wish in wanted_by(targets, owner)])
        for owner, targets in owners(settings).items()
    }


def _route(targets: Sequence[tuple[Level, Writer]]) -> Route:
    return Route(min((level for level, _ in targets), default=_NEVER), tuple(targets))
