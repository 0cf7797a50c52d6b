"""Log lines and counters."""

import re
import socket

import pytest

from unisono.base.group import Marked
from unisono.base.limits import LOG_LINES_PER_MARK, LOG_WINDOW_SECONDS
from unisono.base.marks import Mark
from unisono.config.settings import LoggingSettings
from unisono.observe import logs
from unisono.observe.counters import Counters
from unisono.observe.lines import LINES, Level
from unisono.observe.logs import Log


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path, clock):
    """A log that writes to a file; returns it and a function that reads its lines."""
    made = []

    def factory(**changes):
        path = tmp_path / "log"
        settings = LoggingSettings(
            **{
                "to_stderr": False,
                "to_syslog": False,
                "to_logfile": True,
                "logfile": str(path),
                **changes,
            }
        )
        made.append(Log(settings, clock=clock))
        return made[-1], lambda: path.read_text().splitlines()

    yield factory
    for log in made:
        log.close()


def test_line_on_standard_error_has_corosyncs_form(capsys):
    log = Log(LoggingSettings(to_syslog=False))
    log.write(Level.NOTICE, "TOTEM", "A new membership (1.c) was formed. Members joined: 2 3")
    assert re.fullmatch(
        r"[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d\.\d{3} notice  \[TOTEM \] A new membership \(1\.c\) "
        r"was formed\. Members joined: 2 3\n",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize(
    ("timestamp", "expected"), [("off", ""), ("on", r"\w{3} \d\d [\d:]{8} ")], ids=["off", "on"]
)
def test_line_in_a_file_names_process_and_host(make, timestamp, expected):
    log, read = make(timestamp=timestamp)
    log.write(Level.WARNING, "QUORUM", "text")
    assert re.fullmatch(
        expected + rf"\[\d+\] {re.escape(socket.gethostname())} unisonod warning \[QUORUM\] text",
        read()[0],
    )


def test_text_from_outside_cannot_break_a_line(make):
    log, read = make()
    log.mark(Marked(Mark.CLIENT_MALFORMED, 7, text="evil\nNov 21 fake line\x1b[2J" + "x" * 1000))
    assert len(read()) == 1
    assert "evil?Nov 21 fake line?[2J" in read()[0]
    assert len(read()[0]) < 700


def test_mark_when_it_comes_too_often_is_told_a_few_times_then_counted(make, clock):
    log, read = make()
    for _ in range(100):
        log.mark(Marked(Mark.DATAGRAM_UNLISTED_SOURCE, text="192.0.2.9"))
    log.mark(Marked(Mark.SEND_FAILED, text="another mark is not affected"))
    assert len(read()) == LOG_LINES_PER_MARK + 1
    clock.now += LOG_WINDOW_SECONDS
    log.mark(Marked(Mark.DATAGRAM_UNLISTED_SOURCE, text="192.0.2.9"))
    assert read()[-1].endswith(f"({100 - LOG_LINES_PER_MARK} more of these were not logged)")


def test_debug_lines_are_written_only_when_asked_for(make):
    log, read = make()
    log.mark(Marked(Mark.STATE_ENTERED, text="gather"))
    assert read() == []
    log, read = make(debug="on")
    log.mark(Marked(Mark.STATE_ENTERED, text="gather"))
    assert read()[0].endswith("debug   [TOTEM ] Entering gather")


def test_syslog_gets_priority_facility_and_ident(tmp_path, monkeypatch):
    path = tmp_path / "devlog"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        server.settimeout(5)
        monkeypatch.setattr(logs, "SYSLOG_SOCKET", str(path))
        log = Log(LoggingSettings(to_stderr=False, debug="on"))
        log.write(Level.NOTICE, "TOTEM", "text")
        log.write(Level.DEBUG, "TOTEM", "text")
        first, second = server.recv(1000).decode(), server.recv(1000).decode()
        assert re.fullmatch(r"<29>unisonod\[\d+\]:   \[TOTEM \] text", first)  # daemon.notice
        assert second.startswith("<30>")  # debug travels as info
        for _ in range(5_000):  # nobody reads: the log must not wait
            log.write(Level.NOTICE, "TOTEM", "text")
        path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:  # the receiver is restarted
        log.write(Level.NOTICE, "TOTEM", "lost")
        server.bind(str(path))
        server.settimeout(5)
        log.write(Level.NOTICE, "TOTEM", "again")
        assert server.recv(1000).endswith(b"again")
    log.close()


def test_syslog_when_absent_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(logs, "SYSLOG_SOCKET", str(tmp_path / "none"))
    log = Log(LoggingSettings())
    log.write(Level.ERROR, "MAIN", "still here")
    assert "still here" in capsys.readouterr().err


@pytest.mark.parametrize("mark", LINES, ids=lambda mark: mark.name)
def test_every_line_can_be_written(make, mark):
    log, read = make(debug="on")
    log.mark(Marked(mark, 12, 34, "words"))
    assert len(read()) == 1
    assert "{" not in read()[0]


def test_counters_count_by_mark_and_show_only_what_happened():
    counters = Counters()
    for _ in range(3):
        counters.count(Marked(Mark.TOKEN_LOST))
    counters.count(Marked(Mark.DATAGRAM_MALFORMED))
    assert counters.of(Mark.TOKEN_LOST) == 3
    assert counters.of(Mark.SYNC_STARTED) == 0
    assert list(counters.snapshot().items()) == [("datagram_malformed", 1), ("token_lost", 3)]
