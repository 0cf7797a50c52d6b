"""Entries: what every black box holds in the end, whoever wrote it.

Counterpart: libqb include/qb/qblog.h, struct qb_log_callsite and the priorities of syslog(3).
"""

from typing import Final

from unisono.base.event import event
from unisono.base.limits import FLIGHT_DAMAGES_MAX

PRIORITIES: Final = (
    "emerg", "alert", "crit", "error", "warning", "notice", "info", "debug", "trace",
)  # fmt: skip
"""Names of libqb's priorities, by number."""


@event
class Entry:
    """One line of a black box; `when_ns` counts from 1970, `priority` as in syslog(3), trace 8."""

    when_ns: int
    priority: int
    function: str
    line: int
    tag: int
    text: str


class Damage:
    """What is wrong with a dump: the first faults in words, the rest counted."""

    __slots__ = ("faults", "untold")

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.untold = 0

    def note(self, fault: str) -> None:
        """One more fault."""
        if len(self.faults) < FLIGHT_DAMAGES_MAX:
            self.faults.append(fault)
        else:
            self.untold += 1

    def __bool__(self) -> bool:
        return bool(self.faults)

    def words(self) -> list[str]:
        """The faults, line by line."""
        more = [f"and {self.untold} more"] if self.untold else []
        return [*self.faults, *more]
