"""The log: which lines are written, how often, and what they say."""

import os
import re
import socket

import pytest

from unisono.base.group import Marked
from unisono.base.limits import LOG_LINES_PER_MARK, LOG_TEXT_CHARACTERS_MAX, LOG_WINDOW_SECONDS
from unisono.base.marks import Mark
from unisono.config.settings import LoggingSettings, SubsystemLogging
from unisono.observe.lines import LINES, Level
from unisono.observe.logs import Log

LEVELS = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug", "trace"]


def test_line_on_standard_error_has_corosyncs_form(capfd):
    log = Log(LoggingSettings(to_syslog=False))
    log.write(Level.NOTICE, "TOTEM", "A new membership (1.c) was formed. Members joined: 2 3")
    log.close()
    assert re.fullmatch(
        r"[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d\.\d{3} notice  \[TOTEM \] A new membership \(1\.c\) "
        r"was formed\. Members joined: 2 3\n",
        capfd.readouterr().err,
    )


@pytest.mark.parametrize(
    ("timestamp", "expected"), [("off", ""), ("on", r"\w{3} \d\d [\d:]{8} ")], ids=["off", "on"]
)
def test_line_in_a_file_names_process_and_host(make, timestamp, expected):
    log = make(timestamp=timestamp)
    log.write(Level.WARNING, "QUORUM", "text")
    assert re.fullmatch(
        rf"{expected}\[{os.getpid()}\] {re.escape(socket.gethostname())} unisonod warning "
        r"\[QUORUM\] text",
        log.lines()[0],
    )


def test_mark_when_it_comes_too_often_is_told_a_few_times_then_counted(make, clock):
    log = make()
    for _ in range(100):
        log.mark(Marked(Mark.DATAGRAM_UNLISTED_SOURCE, text="192.0.2.9"))
    log.mark(Marked(Mark.SEND_FAILED, text="another mark is not affected"))
    assert len(log.lines()) == LOG_LINES_PER_MARK + 1
    clock.now += LOG_WINDOW_SECONDS
    log.mark(Marked(Mark.DATAGRAM_UNLISTED_SOURCE, text="x" * 2 * LOG_TEXT_CHARACTERS_MAX))
    suppressed = 100 - LOG_LINES_PER_MARK
    assert log.lines()[-1].endswith(f"x ({suppressed} more of these were not logged)")


def test_mark_when_suppressed_and_never_seen_again_is_counted_at_the_end(make):
    log = make()
    for _ in range(LOG_LINES_PER_MARK + 7):
        log.mark(Marked(Mark.INVALID_DIGEST, text="from 192.0.2.9"))
    log.close()
    last = log.path.read_text().splitlines()[-1]
    assert last.endswith("warning [TOTEM ] 7 more lines of invalid_digest were not logged")


@pytest.mark.parametrize(("debug", "lines"), [("off", 0), ("on", 1), ("trace", 1)])
def test_debug_lines_are_written_only_when_asked_for(make, debug, lines):
    log = make(debug=debug)
    log.mark(Marked(Mark.STATE_ENTERED, text="gather"))
    assert [line.endswith("debug   [TOTEM ] Entering gather") for line in log.lines()] == (
        [True] * lines
    )


@pytest.mark.parametrize("least", LEVELS)
def test_priority_when_set_then_lower_levels_are_left_out(make, least):
    log = make(logfile_priority=least, timestamp="off")
    for level in LEVELS:
        log.write(Level[level.upper()], "MAIN", level)
    assert [line.split()[-1] for line in log.lines()] == LEVELS[: LEVELS.index(least) + 1]


def test_standard_error_when_logfile_priority_is_set_then_it_follows(make, capfd):
    log = make(to_stderr=True, to_logfile=False, logfile_priority="error")
    log.write(Level.WARNING, "MAIN", "left out")
    log.write(Level.ERROR, "MAIN", "told")
    assert log.flush()
    assert [line.endswith("told") for line in capfd.readouterr().err.splitlines()] == [True]


def test_debug_when_on_then_it_goes_before_both_priorities(make, receiver):
    log = make(debug="on", logfile_priority="crit", syslog_priority="crit", to_syslog=True)
    log.write(Level.DEBUG, "MAIN", "text")
    log.write(Level.TRACE, "MAIN", "not this")
    assert len(log.lines()) == 1
    assert receiver.read().endswith("text")


def test_subsystem_when_it_debugs_then_only_its_debug_lines_are_written(make, tmp_path):
    own = SubsystemLogging(False, False, True, str(tmp_path / "log"), debug="on", subsystem="CPG")
    log = make(subsystems=(own,))
    for subsystem in ("CPG", "TOTEM"):
        log.write(Level.DEBUG, subsystem, "text")
    log.mark(Marked(Mark.GHOST_REMOVED, 5))
    log.mark(Marked(Mark.STATE_ENTERED, text="gather"))
    assert [line.partition("debug   ")[2] for line in log.lines()] == [
        "[CPG   ] text",
        "[CPG   ] Process of node 5 that is gone removed",
    ]


def test_subsystem_when_it_has_a_file_of_its_own_then_its_lines_are_there_and_not_elsewhere(
    make, tmp_path
):
    own = SubsystemLogging(False, False, True, str(tmp_path / "own"), subsystem="TOTEM")
    log = make(subsystems=(own,))
    log.write(Level.NOTICE, "TOTEM", "one")
    log.write(Level.NOTICE, "MAIN", "two")
    assert [line[-3:] for line in log.lines(tmp_path / "own")] == ["one"]
    assert [line[-3:] for line in log.lines()] == ["two"]


def test_subsystem_when_its_targets_are_off_then_it_is_silent(make):
    log = make(subsystems=(SubsystemLogging(False, False, subsystem="TOTEM"),))
    log.write(Level.EMERG, "TOTEM", "text")
    log.mark(Marked(Mark.TOKEN_LOST))
    assert log.lines() == []


def test_fileline_when_on_then_a_sentence_shows_who_wrote_it(make):
    log = make(fileline=True, function_name=True)

    def wrapper():
        log.write(Level.NOTICE, "MAIN", "wrapped", stacklevel=2)

    log.write(Level.NOTICE, "MAIN", "plain")
    wrapper()
    log.failure("MAIN", ValueError("x"))
    name = "test_fileline_when_on_then_a_sentence_shows_who_wrote_it"
    for line in log.lines():
        assert re.search(rf"\[MAIN  \] test_logs\.py:{name}:\d+ ", line)


def test_fileline_when_on_then_a_mark_shows_its_name_and_number(make):
    log = make(fileline=True, function_name=True)
    log.mark(Marked(Mark.TOKEN_LOST))
    assert f"[TOTEM ] marks.py:token_lost:{Mark.TOKEN_LOST:d} A processor failed" in log.lines()[0]


def test_failure_is_told_with_where_it_came_from(make):
    log = make()
    try:
        raise OSError("broken\nline")
    except OSError as error:
        log.failure("MAIN", error)
    first, second = log.lines()
    assert first.endswith("crit    [MAIN  ] OSError: broken?line")
    assert "test_logs.py:" in second


@pytest.mark.parametrize("mark", LINES, ids=lambda mark: mark.name)
def test_every_line_can_be_written(make, mark):
    log = make(debug="trace")
    log.mark(Marked(mark, 12, 34, "words"))
    assert len(log.lines()) == 1
    assert "{" not in log.lines()[0]
