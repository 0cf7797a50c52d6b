"""Formats: Corosync's lines byte for byte, syslog, JSON, and texts that are no mere texts."""

import json
import os
import re
import socket
import time
from datetime import datetime
from logging.handlers import SysLogHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.texts import conf, read
from unisono.base.group import Marked
from unisono.base.marks import Mark
from unisono.config.settings import LoggingSettings
from unisono.observe.formats import (
    FACILITIES,
    SEVERITIES,
    format_of_file,
    format_of_stream,
    format_of_syslog,
)
from unisono.observe.lines import Level
from unisono.observe.records import Place, Record

VECTORS = Path(__file__).parents[1] / "vectors" / "logs"
CAPTURED = re.compile(
    r"((?P<time>\w{3} \d\d \d\d:\d\d:\d\d)(\.(?P<millis>\d{3}))? )?"
    r"(\[(?P<pid>\d+)\] (?P<host>\S+) corosync )?"
    r"(?P<level>\w+) +\[(?P<subsystem>\w+) *\] "
    r"(?P<text>.*)"
)
PLACED = {
    (True, True): re.compile(r"(?P<file>\S+):(?P<function>\S+):(?P<line>\d+) (?P<text>.*)"),
    (True, False): re.compile(r"(?P<file>\S+):(?P<line>\d+) (?P<text>.*)"),
    (False, True): re.compile(r"(?P<function>\S+) (?P<text>.*)"),
    (False, False): re.compile(r"(?P<text>.*)"),
}
TIME_2026 = 1_795_000_000.25


def cases() -> list[tuple[str, str]]:
    return [
        (path.stem, line)
        for path in sorted(VECTORS.glob("*.txt"))
        for line in path.read_text().partition("----\n")[2].splitlines()
    ]


@pytest.mark.parametrize(("name", "line"), cases())
def test_line_when_corosync_wrote_it_then_ours_is_the_same(name: str, line: str) -> None:
    options = (VECTORS / f"{name}.txt").read_text().partition("----\n")[0]
    settings = read(conf(more=f"logging {{\n{options}}}")).settings.logging
    found = CAPTURED.fullmatch(line)
    assert found
    placed = PLACED[settings.fileline, settings.function_name].fullmatch(found["text"])
    assert placed
    parts = placed.groupdict()
    seconds = 0.0
    if found["time"]:
        seconds = time.mktime(time.strptime(f"2026 {found['time']}", "%Y %b %d %H:%M:%S"))
        seconds += (int(found["millis"] or 0) + 0.5) / 1000
    place = Place(parts.get("file", ""), parts.get("function", ""), int(parts.get("line", 0)))
    level = Level[found["level"].upper()]
    record = Record(seconds, level, found["subsystem"], parts["text"], place=place)
    expected = line
    render = format_of_stream(settings, 1)
    if found["pid"]:
        render = format_of_file(settings, 1)
        ours = f"[{os.getpid()}] {socket.gethostname()} unisonod "
        expected = line.replace(f"[{found['pid']}] {found['host']} corosync ", ours)
    assert render(record).decode() == f"{expected}\n"


def test_vectors_cover_every_option_of_a_line() -> None:
    assert {name for name, _ in cases()} >= {
        "default", "fileline", "fileline-function", "function", "logfile", "ts-off", "ts-on",
    }  # fmt: skip


# -- syslog ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("facility", FACILITIES)
def test_syslog_when_a_facility_is_set_then_it_is_in_the_priority(facility: str) -> None:
    render = format_of_syslog(LoggingSettings(syslog_facility=facility))
    line = render(Record(0, Level.ERROR, "TOTEM", "text")).decode()
    expected = SysLogHandler.facility_names[facility] << 3 | SysLogHandler.LOG_ERR
    assert line == f"<{expected}>unisonod[{os.getpid()}]:   [TOTEM ] text"


@pytest.mark.parametrize(
    ("level", "severity"),
    list(zip(sorted(Level, reverse=True), [0, 1, 2, 3, 4, 5, 6, 6, 6], strict=True)),
    ids=str,
)
def test_syslog_when_a_line_is_for_debugging_then_it_travels_as_info(
    level: Level, severity: int
) -> None:
    assert SEVERITIES[level] == severity


def test_syslog_when_places_are_shown_then_also_here() -> None:
    render = format_of_syslog(LoggingSettings(fileline=True, timestamp="on"))
    place = Place("main.py", "main", 7)
    line = render(Record(0, Level.INFO, "MAIN", "text", place=place)).decode()
    assert line.endswith("]:   [MAIN  ] main.py:7 text")


# -- JSON ------------------------------------------------------------------------------------------


def test_json_when_a_mark_is_told_then_its_name_and_numbers_are_fields() -> None:
    marked = Marked(Mark.CLIENT_REFUSED, 13, 4, "uid 1000")
    record = Record(TIME_2026, Level.WARNING, "MAIN", "Denied: uid 1000", marked=marked)
    for make in (format_of_stream, format_of_file):
        line = make(LoggingSettings(format="json"), 3)(record)
        assert line.count(b"\n") == 1 and line.endswith(b"\n")
        fields = json.loads(line)
        assert datetime.fromisoformat(fields["time"]).timestamp() == TIME_2026
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}\+00:00", fields.pop("time"))
        assert fields == {
            "level": "warning", "subsystem": "MAIN", "mark": "client_refused", "a": 13, "b": 4,
            "text": "Denied: uid 1000", "pid": os.getpid(), "node": 3,
        }  # fmt: skip


def test_json_when_it_is_a_sentence_then_there_is_no_mark_and_a_place_on_demand() -> None:
    settings = LoggingSettings(format="json", fileline=True)
    record = Record(TIME_2026, Level.INFO, "MAIN", "x", place=Place("main.py", "main", 7))
    fields = json.loads(format_of_file(settings, 1)(record))
    assert (fields["mark"], fields["a"], fields["b"]) == (None, None, None)
    assert (fields["file"], fields["function"], fields["line"]) == ("main.py", "main", 7)


# -- texts from outside ----------------------------------------------------------------------------

HOSTILE = 'evil\nNov 21 fake\r\x1b[2J\x9b2J\x7f\0\u2028\u202e\ud800 "quoted\\" ü'


@pytest.mark.parametrize("form", ["text", "json"])
def test_text_when_hostile_then_it_stays_one_printable_line(form: str) -> None:
    settings = LoggingSettings(format=form, timestamp="off")
    line = format_of_stream(settings, 1)(Record(0, Level.ERROR, "MAIN", HOSTILE)).decode()
    assert line.removesuffix("\n").isprintable()
    expected = 'evil?Nov 21 fake??[2J?2J????? "quoted\\" ü'
    if form == "json":
        assert json.loads(line)["text"] == expected
    else:
        assert line == f"error   [MAIN  ] {expected}\n"


@given(st.text(st.characters()))
def test_text_when_anything_then_every_form_is_one_line(text: str) -> None:
    record = Record(0, Level.ERROR, "MAIN", text)
    for settings in (LoggingSettings(), LoggingSettings(format="json")):
        for render in (format_of_stream(settings, 1), format_of_file(settings, 1)):
            line = render(record).decode()
            assert len(line.splitlines()) == 1
    assert len(format_of_syslog(LoggingSettings())(record).decode().splitlines()) == 1
