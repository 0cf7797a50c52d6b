"""Targets that fail: full disks and pipes, a syslog that is absent, restarted or does not read."""

import fcntl
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.observe.conftest import SECONDS_MAX
from unisono.base.limits import LOG_FLUSH_SECONDS_MAX, LOG_QUEUE_LINES_MAX
from unisono.config.settings import LoggingSettings
from unisono.observe.lines import Level
from unisono.observe.logs import Log
from unisono.observe.targets import LogFile

RING_SECONDS_MAX = 2.0
"""What thousands of lines may cost who logs them, on a slow machine."""
MISSING = re.compile(r"Lines missing here: (\d+)")


# -- files -----------------------------------------------------------------------------------------


def test_disk_when_full_then_nothing_is_raised_and_the_other_targets_say_so(make, receiver):
    log = make(logfile="/dev/full", to_syslog=True)
    for _ in range(50):
        log.write(Level.NOTICE, "MAIN", "text")
    told = [receiver.read() for _ in range(51)]
    assert log.flush(SECONDS_MAX)
    assert log.lost_lines()["/dev/full"] == 50
    [trouble] = [line for line in told if not line.endswith("[MAIN  ] text")]
    assert trouble.endswith("Log target /dev/full loses lines: No space left on device")


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file grows beyond 100 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def test_file_when_a_line_is_torn_then_the_next_one_begins_on_a_line_of_its_own(
    tmp_path, small_files
):
    target = LogFile(str(tmp_path / "log"))
    written = target.write([b"a" * 59 + b"\n", b"b" * 59 + b"\n"], 0)
    assert written == (1, "loses lines: File too large")
    assert target.write([b"lost\n"], 0) == (0, "loses lines: File too large")
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    assert target.write([b"c\n", b"d\n"], 0) == (2, "")
    target.close()
    assert (tmp_path / "log").read_text().split("\n") == ["a" * 59, "b" * 40, "c", "d", ""]


@pytest.mark.parametrize("path", ["/no/such/directory/log", "/tmp"])
def test_file_when_it_cannot_be_opened_at_start_then_the_log_says_so(path):
    with pytest.raises(OSError) as caught:
        Log(LoggingSettings(to_syslog=False, to_logfile=True, logfile=path))
    assert caught.value.filename == path


def test_file_when_a_pipe_without_reader_then_opening_it_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError):
        Log(LoggingSettings(to_logfile=True, logfile=str(tmp_path / "pipe")))


def test_file_when_made_then_others_cannot_read_it(make):
    log = make()
    before = os.umask(0)
    try:
        log.path.unlink()
        log.reopen()
        log.write(Level.NOTICE, "MAIN", "text")
        assert log.lines()
    finally:
        os.umask(before)
    assert log.path.stat().st_mode & 0o777 == 0o640


# -- standard error --------------------------------------------------------------------------------


@contextmanager
def full_pipe() -> Iterator[int]:
    """Standard error is a pipe that nobody reads; the reading end, which the test may replace.

    No fixture: pytest puts its own descriptor back between setting up and the test.
    """
    saved = os.dup(2)
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    assert os.write(write_end, bytes(8192)) == 4096
    os.set_blocking(write_end, True)
    os.dup2(write_end, 2)
    os.close(write_end)
    try:
        yield read_end
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(read_end)


def test_standard_error_when_nobody_reads_it_then_neither_the_ring_nor_the_file_waits(
    make,
):
    log = make(to_stderr=True)
    with full_pipe():
        start = time.monotonic()
        for number in range(LOG_QUEUE_LINES_MAX):
            log.write(Level.NOTICE, "MAIN", f"line {number}")
        assert time.monotonic() - start < RING_SECONDS_MAX
        assert not log.flush(0.1)
        start = time.monotonic()
        log.close()
        spent = time.monotonic() - start
    assert LOG_FLUSH_SECONDS_MAX <= spent < LOG_FLUSH_SECONDS_MAX + RING_SECONDS_MAX
    assert len(log.path.read_text().splitlines()) == LOG_QUEUE_LINES_MAX


def test_standard_error_when_its_reader_is_gone_then_the_log_goes_on(make):
    log = make(to_stderr=True)
    with full_pipe() as read_end, open(os.devnull) as null:
        os.dup2(null.fileno(), read_end)
        log.write(Level.NOTICE, "MAIN", "text")
        assert log.flush(SECONDS_MAX)
    trouble, text = sorted(log.lines(), key=lambda line: line.endswith("text"))
    assert text.endswith("text")
    assert trouble.endswith("Log target standard error loses lines: Broken pipe")


def test_standard_error_when_the_log_is_closed_then_it_is_still_open(make):
    log = make(to_stderr=True)
    log.write(Level.NOTICE, "MAIN", "text")
    log.close()
    assert fcntl.fcntl(2, fcntl.F_GETFD) >= 0


# -- syslog ----------------------------------------------------------------------------------------


def test_syslog_when_absent_then_it_is_left_out_without_a_word(make):
    log = make(to_syslog=True)
    log.write(Level.ERROR, "MAIN", "still here")
    assert [line.endswith("still here") for line in log.lines()] == [True]
    assert log.lost_lines()["syslog"] == 1


def test_syslog_when_restarted_then_it_gets_lines_again_and_how_many_it_missed(make, receiver):
    log = make(to_syslog=True)
    log.write(Level.NOTICE, "TOTEM", "first")
    assert receiver.read().endswith("first")
    receiver.stop()
    log.write(Level.NOTICE, "TOTEM", "missed")
    assert log.flush(SECONDS_MAX)
    receiver.start()
    log.write(Level.NOTICE, "TOTEM", "again")
    assert MISSING.search(receiver.read())[1] == "1"
    assert receiver.read().endswith("again")


def test_syslog_when_it_does_not_read_then_the_ring_does_not_wait_and_all_lines_are_accounted_for(
    make, receiver
):
    total = 3 * LOG_QUEUE_LINES_MAX
    log = make(to_syslog=True, to_logfile=False)
    start = time.monotonic()
    for number in range(total):
        log.write(Level.NOTICE, "TOTEM", f"line {number}")
    assert time.monotonic() - start < RING_SECONDS_MAX
    received = missing = 0
    while received + missing < total:
        line = receiver.read()
        found = MISSING.search(line)
        missing += int(found[1]) if found else 0
        received += not found
    assert missing >= total - LOG_QUEUE_LINES_MAX - 1000  # the receiver's own queue holds some
    assert received + missing == total


def test_syslog_when_it_does_not_read_then_closing_does_not_wait_for_it(make, receiver):
    log = make(to_syslog=True, to_logfile=False)
    for number in range(LOG_QUEUE_LINES_MAX):
        log.write(Level.NOTICE, "TOTEM", f"line {number}")
    start = time.monotonic()
    log.close()
    assert time.monotonic() - start < LOG_FLUSH_SECONDS_MAX + RING_SECONDS_MAX
    while any(thread.name == "log syslog" for thread in threading.enumerate()):
        time.sleep(0.01)
        assert time.monotonic() - start < SECONDS_MAX, "waits for each line that nobody reads"


def test_syslog_when_told_then_priority_facility_and_ident_are_there(make, receiver):
    log = make(to_syslog=True, debug="on", syslog_facility="local1")
    log.write(Level.NOTICE, "TOTEM", "text")
    log.write(Level.DEBUG, "TOTEM", "text")
    assert re.fullmatch(r"<141>unisonod\[\d+\]:   \[TOTEM \] text", receiver.read())
    assert receiver.read().startswith("<142>")


def test_path_of_syslog_when_not_given_then_it_is_the_hosts() -> None:
    from unisono.observe.outlets import SYSLOG_SOCKET

    assert Path("/dev/log") == Path(SYSLOG_SOCKET)
