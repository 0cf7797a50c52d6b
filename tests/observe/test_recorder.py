"""The recorder: requirements BB3, BB6 (seals), BB9 (fork) and BB19 (failure is seen, and ends)."""

import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from unisono.base.errors import UsageError
from unisono.base.group import Marked
from unisono.base.marks import Mark
from unisono.observe import recorder as module
from unisono.observe.playback import play
from unisono.observe.recorder import Recorder
from unisono.wire.blackbox.dump import Dump, decode_dump
from unisono.wire.blackbox.dump_file import CELL_BYTES, REQUESTED, encode_dump
from unisono.wire.blackbox.flight import TEXT_CELLS_MAX

CELLS = 64


def read(recorder: Recorder) -> Dump:
    ring = os.pread(recorder.descriptor, recorder.ring_bytes, 0)
    return decode_dump(encode_dump(ring, REQUESTED, 0, 0))


def test_records_when_read_back_then_what_was_recorded() -> None:
    recorder = Recorder(3, cells=CELLS)
    assert recorder.open()
    recorder.mark(Mark.TOKEN_LOST, 1, 2**64 - 1)
    recorder.record(Mark.STATE_ENTERED, 5, 6, "gather")
    recorder.log(4, "main", "text", line=12, tag=8)
    recorder.mark(Mark.TOKEN_LOST, 2**40, -7)
    dump = read(recorder)
    recorder.close()
    assert [(each.mark, each.a, each.b, each.text) for each in dump.records] == [
        (201, 1, 2**64 - 1, ""),
        (200, 5, 6, "gather"),
        (0, 0, 0, "text"),
        (201, 2**40, -7, ""),
    ]
    assert not dump.damage
    assert (dump.header.pid, dump.header.node_id) == (os.getpid(), 3)
    times = [each.monotonic_ns for each in dump.records]
    assert times == sorted(times)


def test_shortcut_when_marks_come_then_each_is_counted_and_recorded_or_told() -> None:
    recorder = Recorder(3, cells=CELLS)
    counts, told = dict.fromkeys(Mark, 0), {Mark.TOKEN_LOST}
    heard: list[Marked] = []
    witness = recorder.shortcut(counts, told, heard.append)
    assert recorder.open()
    witness(Marked(Mark.TOKEN_VISITED, 1, 2))
    witness(Marked(Mark.TOKEN_LOST))
    witness(Marked(Mark.TOKEN_VISITED, 0, 0, "text"))
    witness(Marked(Mark.TOKEN_VISITED, 2**40, -7))
    recorder.mark(Mark.TOKEN_VISITED, 3)
    told.clear()
    for number in range(CELLS):
        witness(Marked(Mark.TOKEN_LOST, number))
        recorder.mark(Mark.TOKEN_RESTED, number)
    dump = read(recorder)
    recorder.close()
    assert heard == [Marked(Mark.TOKEN_LOST), Marked(Mark.TOKEN_VISITED, 0, 0, "text")]
    assert counts[Mark.TOKEN_VISITED] == 3
    assert counts[Mark.TOKEN_LOST] == 1 + CELLS
    rounds = range(CELLS // 2, CELLS)
    both = [(mark, n) for n in rounds for mark in (Mark.TOKEN_LOST, Mark.TOKEN_RESTED)]
    assert [(each.mark, each.a) for each in dump.records] == both
    assert not dump.damage


def test_shortcut_when_the_numbers_are_large_then_recorded_all_the_same() -> None:
    recorder = Recorder(3, cells=CELLS)
    witness = recorder.shortcut(dict.fromkeys(Mark, 0), (), lambda _marked: None)
    witness(Marked(Mark.TOKEN_VISITED))
    assert recorder.missed == 1
    assert recorder.open()
    witness(Marked(Mark.TOKEN_VISITED, 2**40, -7))
    witness(Marked(Mark.TOKEN_VISITED, 1, 2))
    found = [(each.a, each.b) for each in read(recorder).records]
    recorder.close()
    assert found == [(2**40, -7), (1, 2)]


def test_marks_when_played_then_the_log_s_words_and_what_the_log_leaves_out() -> None:
    recorder = Recorder(3, cells=CELLS)
    assert recorder.open()
    recorder.mark(Mark.TOKEN_DUPLICATE, 5, 77)
    recorder.mark(Mark.TOKEN_RESTED, 1, 2)
    recorder.mark(60_000, 1, 2)
    recorder.log(4, "main", "text", line=12, tag=8)
    entries = play(read(recorder))
    recorder.close()
    assert [(each.priority, each.function, each.line, each.tag, each.text) for each in entries] == [
        (7, "token_duplicate", 103, 1, "Token from 5 seen before, dropped (b=77)"),
        (8, "token_rested", 211, 2, "a=1 b=2"),
        (8, "mark_60000", 60_000, 600, "a=1 b=2"),
        (4, "main", 12, 8, "text"),
    ]


@pytest.mark.parametrize("text_bytes", [1, 39, 40, 200, 400, 1024])
def test_ring_when_used_again_and_again_then_the_last_records_in_order(text_bytes: int) -> None:
    recorder = Recorder(3, cells=CELLS)
    assert recorder.open()
    for number in range(500):
        recorder.record(201, number, 0, chr(97 + number % 26) * text_bytes if number % 3 else "")
        if number % 50 == 49:
            found = [each.a for each in read(recorder).records]
            assert found == list(range(number - len(found) + 1, number + 1))
            assert found
            assert not read(recorder).damage
    recorder.close()


def test_bb6_memory_when_somebody_cuts_or_grows_it_then_refused() -> None:
    recorder = Recorder(3, cells=CELLS)
    assert recorder.open()
    for size in (0, recorder.ring_bytes - 1, recorder.ring_bytes + 1):
        with pytest.raises(PermissionError):
            os.truncate(f"/proc/self/fd/{recorder.descriptor}", size)
    recorder.close()


def test_bb9_child_when_forked_then_it_writes_nothing_into_its_parent_s_memory() -> None:
    recorder = Recorder(3, cells=CELLS)
    assert recorder.open()
    recorder.mark(201, 1)
    descriptor = recorder.descriptor
    child = os.fork()
    if child == 0:
        status = 1
        try:
            recorder.mark(201, 666)
            recorder.record(201, 666, 0, "child")
            is_closed = recorder.descriptor == -1 and recorder.missed == 2
            try:
                os.fstat(descriptor)
            except OSError:
                status = 0 if is_closed else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    recorder.mark(201, 2)
    assert [each.a for each in read(recorder).records] == [1, 2]
    recorder.close()


CATCHING = """
import faulthandler, os, resource, signal
from unisono.base.limits import FLIGHT_LAST_WORDS_BYTES
from unisono.observe.recorder import Recorder

def last_words():
    at = recorder.ring_bytes - FLIGHT_LAST_WORDS_BYTES
    return os.pread(recorder.descriptor, FLIGHT_LAST_WORDS_BYTES, at).rstrip(bytes(1))

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
recorder = Recorder(3, cells=64)
recorder.catch_fatal_signals()
assert not faulthandler.is_enabled()
assert recorder.open()
recorder.catch_fatal_signals()
assert faulthandler.is_enabled()
"""


def run_catching(source: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: Python has one fault handler, and pytest uses it here."""
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])}
    environment.pop("PYTHONFAULTHANDLER", None)
    command = [sys.executable, "-c", CATCHING + source]
    return subprocess.run(
        command, check=False, env=environment, stdout=subprocess.PIPE, text=True, timeout=30
    )


def test_bb8_fault_handler_when_the_recorder_is_closed_then_off() -> None:
    ran = run_catching("""
recorder.close()
assert not faulthandler.is_enabled()
assert recorder.open()
assert not faulthandler.is_enabled()
recorder.close()
""")
    assert ran.returncode == 0


def test_bb9_child_when_a_fatal_signal_kills_it_then_nothing_in_its_parent_s_last_words() -> None:
    ran = run_catching("""
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGSEGV)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGSEGV
assert faulthandler.is_enabled()
assert last_words() == b""
recorder.close()
""")
    assert ran.returncode == 0


def test_bb8_last_words_when_they_find_no_room_then_cut_and_the_process_still_dies() -> None:
    """A text that is too long is refused by the seal; it neither waits nor overwrites a record."""
    ran = run_catching("""
os.lseek(recorder.descriptor, -8, os.SEEK_END)
copy, ring_bytes = os.dup(recorder.descriptor), recorder.ring_bytes - FLIGHT_LAST_WORDS_BYTES
before = os.pread(copy, ring_bytes, 0)
alive, living = os.pipe()
if os.fork() == 0:
    os.close(living)
    os.read(alive, 1)
    is_same = os.pread(copy, ring_bytes, 0) == before
    size = os.fstat(copy).st_size - ring_bytes
    os.write(1, b"same" if is_same and size == FLIGHT_LAST_WORDS_BYTES else b"changed")
    os._exit(0)
os.kill(os.getpid(), signal.SIGSEGV)
""")
    assert (ran.returncode, ran.stdout) == (-signal.SIGSEGV, "same")


def test_bb19_recorder_when_memory_is_refused_then_announced_and_resumed_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[Marked] = []
    recorder = Recorder(3, cells=CELLS, announce=heard.append)
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", _refuse)
        assert not recorder.open()
    assert heard == [Marked(Mark.RECORDER_FAILED, 12, 0, "Cannot allocate memory")]
    recorder.mark(201, 1)
    recorder.record(201, 1, 0, "text")
    assert (recorder.missed, recorder.descriptor) == (2, -1)
    assert recorder.open()
    assert heard[1:] == [Marked(Mark.RECORDER_RESUMED, 2, 0, "")]
    recorder.mark(201, 3)
    assert [each.a for each in read(recorder).records] == [3]
    recorder.close()


def _refuse(*_arguments: int) -> None:
    raise OSError(12, "Cannot allocate memory")


def test_bb19_recorder_when_closed_and_opened_then_it_begins_anew() -> None:
    recorder = Recorder(3, cells=CELLS)
    for number in range(3):
        assert recorder.open()
        assert recorder.open()
        recorder.mark(201, number)
        assert [each.a for each in read(recorder).records] == [number]
        recorder.close()
        recorder.close()


def test_bb3_module_when_imported_then_nothing_is_made() -> None:
    source = (
        "import os; before = os.listdir('/proc/self/fd')\n"
        f"import {module.__name__}, unisono.observe.keeper\n"
        "assert os.listdir('/proc/self/fd') == before\n"
        "assert 'memfd' not in open('/proc/self/maps').read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", source], check=True, env=environment)


def test_memory_when_made_then_every_page_is_there() -> None:
    """A page that is missing is taken at the first write: refused then, it would be SIGBUS."""
    recorder = Recorder(3, cells=4096)
    assert recorder.open()
    about = os.fstat(recorder.descriptor)
    recorder.close()
    assert about.st_blocks * 512 >= about.st_size >= 4096 * CELL_BYTES
    assert about.st_size % mmap.PAGESIZE != 0


@pytest.mark.parametrize("cells", [0, TEXT_CELLS_MAX - 1, 1 << 40])
def test_recorder_when_its_size_is_absurd_then_usage_error(cells: int) -> None:
    with pytest.raises(UsageError):
        Recorder(3, cells=cells)
