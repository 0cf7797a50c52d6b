"""Playback: records of the flight recorder as entries that people read.

Keeps:       a mark says here what it says in the log; one without a line there shows its numbers.
             The dump of a dead process ends with its last words, or says that there were none.
"""

from typing import Final

from unisono.base.marks import Mark
from unisono.observe.lines import LINES, Level
from unisono.wire.blackbox.dump import Dump
from unisono.wire.blackbox.dump_file import DIED
from unisono.wire.blackbox.entry import PRIORITIES, Entry
from unisono.wire.blackbox.flight import PRIORITY_OF_MARK, FlightRecord

TRACE: Final = 8
CRIT: Final = 2
FATAL_SIGNAL: Final = "fatal_signal"
ENDED: Final = "ended"
WITHOUT_A_WORD: Final = "The daemon ended without a word"
_BLOCK: Final = 100
_PRIORITY_OF_LEVEL: Final = {
    Level.CRIT: 2,
    Level.ERROR: 3,
    Level.WARNING: 4,
    Level.NOTICE: 5,
    Level.INFO: 6,
    Level.DEBUG: 7,
}
_MARKS: Final = {int(mark): mark for mark in Mark}


def play(dump: Dump) -> list[Entry]:
    """Every record, oldest first, and the end of a process that died."""
    entries = [_entry(record, dump.when_ns(record)) for record in dump.records]
    return entries + _end(dump) if dump.why == DIED else entries


def _end(dump: Dump) -> list[Entry]:
    """How it died, at the time at which its keeper saw it dead."""
    if not dump.last_words:
        return [Entry(dump.realtime_ns, CRIT, ENDED, 0, 0, WITHOUT_A_WORD)]
    return [Entry(dump.realtime_ns, CRIT, FATAL_SIGNAL, 0, 0, words) for words in dump.last_words]


def _entry(record: FlightRecord, when_ns: int) -> Entry:
    if record.priority != PRIORITY_OF_MARK:
        priority = min(record.priority, len(PRIORITIES) - 1)
        return Entry(when_ns, priority, record.function, record.line, record.tag, record.text)
    number = record.mark
    mark = _MARKS.get(number)
    name = f"mark_{number}" if mark is None else mark.name.lower()
    line = None if mark is None else LINES.get(mark)
    if line is None:
        text = f"a={record.a} b={record.b}{' ' if record.text else ''}{record.text}"
        return Entry(when_ns, TRACE, name, number, number // _BLOCK, text)
    text = line.text.format(a=record.a, b=record.b, text=record.text) + _unsaid(record, line.text)
    priority = _PRIORITY_OF_LEVEL.get(line.level, TRACE)
    return Entry(when_ns, priority, name, number, number // _BLOCK, text)


def _unsaid(record: FlightRecord, template: str) -> str:
    """What the log leaves out: here it may be what somebody looks for."""
    parts = (("a", record.a), ("b", record.b), ("text", record.text))
    words = [f"{name}={value}" for name, value in parts if value and f"{{{name}" not in template]
    return f" ({' '.join(words)})" if words else ""
