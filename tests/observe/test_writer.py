"""Writers: bounded queues, gaps that are told in their place, threads that come and go."""

import os
import threading
import time

import pytest

from tests.observe.conftest import SECONDS_MAX, SILENT
from unisono.base.limits import LOG_BATCH_LINES_MAX, LOG_ORDERS_MAX, LOG_QUEUE_LINES_MAX
from unisono.observe.lines import Level
from unisono.observe.logs import Log
from unisono.observe.records import Record
from unisono.observe.targets import Written
from unisono.observe.writer import Writer


class Stuck:
    """A target that hangs until it is let go, and that may refuse lines."""

    name = "stuck"

    def __init__(self, hanging=True):
        self.free = threading.Event()
        self.entered = threading.Event()
        self.lines = []
        self.trouble = ""
        self.closed = False
        if not hanging:
            self.free.set()

    def write(self, lines, patience_seconds):
        self.entered.set()
        assert self.free.wait(SECONDS_MAX)
        if self.trouble:
            return Written(0, self.trouble)
        self.lines += [line.decode() for line in lines]
        return Written(len(lines))

    def reopen(self):
        return ""

    def close(self):
        self.closed = True


def record(text):
    return Record(0.0, Level.NOTICE, "MAIN", text)


def drain(writer):
    writer.stop(hurry=True)
    assert writer.join(SECONDS_MAX)


@pytest.fixture
def told():
    return []


@pytest.fixture
def write_to(told):
    """A writer of a target; lines are the bare texts."""

    def make(target):
        return Writer(target, lambda one: one.text.encode(), lambda text, but: told.append(text))

    return make


def test_put_when_the_target_hangs_then_it_never_waits_and_the_gap_is_told_where_it_is(write_to):
    target = Stuck()
    writer = write_to(target)
    writer.put(record("first"))
    assert target.entered.wait(SECONDS_MAX)
    for number in range(LOG_QUEUE_LINES_MAX + 300):
        writer.put(record(f"line {number}"))
    assert writer.refused == 300
    target.free.set()
    end = time.monotonic() + SECONDS_MAX
    while len(target.lines) < LOG_QUEUE_LINES_MAX + 2 and time.monotonic() < end:
        time.sleep(0.001)
    writer.put(record("last"))
    drain(writer)
    gap = "Lines missing here: 300 that came too fast or could not be written"
    kept = [f"line {number}" for number in range(LOG_QUEUE_LINES_MAX)]
    assert target.lines == ["first", *kept, gap, "last"]
    assert writer.lost_lines == 300


def test_write_when_it_failed_for_a_while_then_the_count_stands_where_the_lines_are_missing(
    write_to, told
):
    target = Stuck(hanging=False)
    writer = write_to(target)
    step = threading.Event()

    def fails(trouble):
        def change():
            target.trouble = trouble
            step.set()

        writer.order(change)
        assert step.wait(SECONDS_MAX)
        step.clear()

    writer.put(record("before"))
    fails("loses lines: x")
    for number in range(2 * LOG_BATCH_LINES_MAX):
        writer.put(record(f"line {number}"))
    fails("")
    writer.put(record("after"))
    drain(writer)
    gap = (
        f"Lines missing here: {2 * LOG_BATCH_LINES_MAX} that came too fast or could not be written"
    )
    assert target.lines == ["before", gap, "after"]
    assert told == ["Log target stuck loses lines: x"]


def test_gap_when_nothing_more_comes_then_it_is_told_all_the_same(write_to, monkeypatch):
    monkeypatch.setattr("unisono.observe.writer.LOG_WINDOW_SECONDS", 0.01)
    target = Stuck(hanging=False)
    target.trouble = "loses lines: x"
    writer = write_to(target)
    writer.put(record("lost"))
    end = time.monotonic() + SECONDS_MAX
    while not writer.lost_lines and time.monotonic() < end:
        time.sleep(0.001)
    target.trouble = ""
    while not target.lines and time.monotonic() < end:
        time.sleep(0.001)
    drain(writer)
    assert target.lines == ["Lines missing here: 1 that came too fast or could not be written"]


def test_order_when_too_many_wait_then_it_is_refused(write_to):
    target = Stuck()
    writer = write_to(target)
    writer.put(record("first"))
    assert target.entered.wait(SECONDS_MAX)
    accepted = [
        writer.order(target.reopen) for _ in range(LOG_QUEUE_LINES_MAX + LOG_ORDERS_MAX + 9)
    ]
    assert accepted.count(False) == 9
    target.free.set()
    drain(writer)


def test_stop_when_the_target_hangs_then_join_gives_up_and_the_thread_ends_by_itself(write_to):
    target = Stuck()
    writer = write_to(target)
    writer.put(record("first"))
    assert target.entered.wait(SECONDS_MAX)
    writer.stop(hurry=True)
    assert not writer.join(0.01)
    target.free.set()
    assert writer.join(SECONDS_MAX)
    assert target.closed


def test_thread_when_nothing_is_written_then_there_is_none(make):
    before = threading.active_count()
    log = make(to_stderr=True)
    assert threading.active_count() == before
    log.write(Level.NOTICE, "MAIN", "text")
    assert threading.active_count() == before + 2
    log.close()
    assert threading.active_count() == before


def test_thread_when_it_cannot_start_then_lines_wait_for_the_next_attempt(make, monkeypatch):
    log = make()
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", _refuse)
        log.write(Level.NOTICE, "MAIN", "one")
    log.write(Level.NOTICE, "MAIN", "two")
    assert [line[-3:] for line in log.lines()] == ["one", "two"]


def _refuse(_thread):
    raise RuntimeError("can't start new thread")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_when_lines_wait_then_each_is_written_once_and_with_the_writers_pid(make):
    log = make()
    for number in range(500):
        log.write(Level.NOTICE, "MAIN", f"parent {number}")
    child = os.fork()
    if child == 0:
        log.write(Level.NOTICE, "MAIN", "child")
        done = log.flush(SECONDS_MAX)
        os._exit(0 if done else 1)
    assert os.waitpid(child, 0)[1] == 0
    lines = log.lines()
    of_child = [line for line in lines if f"[{child}]" in line]
    assert [line.endswith("child") for line in of_child] == [True]
    of_parent = [line.partition("parent ")[2] for line in lines if f"[{os.getpid()}]" in line]
    assert of_parent == [str(number) for number in range(500)]


def test_log_when_it_has_no_target_then_it_takes_everything_in_silence():
    log = Log(SILENT)
    log.write(Level.EMERG, "MAIN", "text")
    assert log.flush()
    assert log.lost_lines() == {}
    log.close()
