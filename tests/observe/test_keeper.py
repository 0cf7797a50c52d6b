"""The keeper: requirements BB7 and BB8 (the dump after a death), BB11 (no delay), and its life."""

import mmap
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import unisono
from tests.observe import dying_daemon
from unisono.base.group import Marked
from unisono.base.marks import Mark
from unisono.observe import keeper_process
from unisono.observe.keeper import DumpFailed, DumpMade, Keeper
from unisono.observe.playback import play
from unisono.observe.recorder import Recorder
from unisono.wire.blackbox.dump import Dump, decode_dump
from unisono.wire.blackbox.dump_file import CELL_BYTES, DIED, REQUESTED, RING_HEADER_BYTES
from unisono.wire.blackbox.libqb import decode_libqb

CAUGHT = ["SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"]
FATAL = ["SIGKILL", *CAUGHT]
RECORDS_BEFORE = 5_000
SECONDS_MAX = 30
CELLS = 2_000


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    opened = Recorder(3, cells=CELLS)
    assert opened.open()
    yield opened
    opened.close()


@pytest.fixture
def heard() -> list[Marked]:
    return []


@pytest.fixture
def keeper(tmp_path: Path, recorder: Recorder, heard: list[Marked]) -> Iterator[Keeper]:
    started = Keeper(tmp_path, announce=heard.append, clock=Clock())
    assert started.start(recorder)
    yield started
    started.finish()


def answers(keeper: Keeper) -> list[DumpMade | DumpFailed]:
    select.select([keeper.descriptor], [], [], SECONDS_MAX)
    return keeper.receive()


def await_end(pid: int) -> None:
    """Until a process that is not ours has ended."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([watch], [], [], SECONDS_MAX)[0], f"process {pid} does not end"
    finally:
        os.close(watch)


class Dying:
    """The process of dying_daemon.py."""

    def __init__(self, directory: Path, counter: Path) -> None:
        counter.write_bytes(bytes(8))
        with counter.open("r+b") as file:
            self._counter = mmap.mmap(file.fileno(), 8)
        environment = {**os.environ, "PYTHONPATH": str(Path(unisono.__file__).parents[1])}
        self.process = subprocess.Popen(
            [sys.executable, dying_daemon_path(), directory, counter],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert self.process.stdout is not None
        self.keeper = int(self.process.stdout.readline())

    @property
    def recorded(self) -> int:
        return int(struct.unpack_from("<Q", self._counter)[0])

    def await_records(self) -> None:
        end = time.monotonic() + SECONDS_MAX
        while self.recorded < RECORDS_BEFORE:
            assert time.monotonic() < end
            time.sleep(0.01)

    def kill(self, number: int) -> None:
        self.await_records()
        self.process.send_signal(number)
        assert self.process.wait(SECONDS_MAX) == -number
        self.close()

    def close(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()


def only_dump(directory: Path) -> Dump:
    (path,) = directory.glob("flight-*.dump")
    return decode_dump(path.read_bytes())


def dying_daemon_path() -> str:
    return str(Path(__file__).with_name("dying_daemon.py"))


@pytest.mark.parametrize("name", FATAL)
def test_bb7_bb8_daemon_when_killed_then_the_dump_ends_with_the_last_record(
    name: str, tmp_path: Path
) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    dying = Dying(directory, tmp_path / "counter")
    dying.kill(signal.Signals[name])
    await_end(dying.keeper)
    (path,) = directory.glob("*.dump")
    dump = decode_dump(path.read_bytes())
    # The record is made before the counter is: between the two, it may be one ahead.
    assert dump.records[-1].b in {dying.recorded, dying.recorded + 1}
    numbers = [record.b for record in dump.records]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert len(numbers) >= RECORDS_BEFORE
    assert not dump.damage
    assert (dump.why, dump.header.pid, dump.header.node_id) == (DIED, dying.process.pid, 3)
    assert dump.records[-1].monotonic_ns <= dump.monotonic_ns <= time.monotonic_ns()


@pytest.mark.parametrize("name", CAUGHT)
def test_bb8_daemon_when_a_fatal_signal_kills_it_then_the_dump_ends_with_the_fatal_record(
    name: str, tmp_path: Path
) -> None:
    dying = Dying(tmp_path, tmp_path / "counter")
    dying.kill(signal.Signals[name])
    await_end(dying.keeper)
    dump = only_dump(tmp_path)
    assert dump.signal == name
    *_, thread, innermost = dump.last_words[:3]
    assert "most recent call first" in thread
    assert any(name in innermost for name in ("dying_daemon.py", "recorder.py", "flight.py"))
    last = play(dump)[-len(dump.last_words) :]
    assert {(entry.priority, entry.function) for entry in last} == {(2, "fatal_signal")}
    assert [entry.text for entry in last] == dump.last_words
    assert last[0].when_ns >= dump.when_ns(dump.records[-1])


def test_bb8_daemon_when_it_is_killed_outright_then_the_dump_says_that_it_said_nothing(
    tmp_path: Path,
) -> None:
    dying = Dying(tmp_path, tmp_path / "counter")
    dying.kill(signal.SIGKILL)
    await_end(dying.keeper)
    dump = only_dump(tmp_path)
    assert (dump.signal, dump.last_words) == ("", [])
    last = play(dump)[-1]
    assert (last.priority, last.text) == (2, "The daemon ended without a word")
    assert last.when_ns == dump.realtime_ns


def test_bb8_daemon_when_a_second_fatal_signal_meets_the_first_then_one_whole_dump(
    tmp_path: Path,
) -> None:
    """Both wait while it is stopped, so the kernel starts both handlers before either has run."""
    dying = Dying(tmp_path, tmp_path / "counter")
    dying.await_records()
    dying.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, dying.process.pid, os.WSTOPPED)
    dying.process.send_signal(signal.SIGSEGV)
    dying.process.send_signal(signal.SIGABRT)
    dying.process.send_signal(signal.SIGCONT)
    killer = signal.Signals(-dying.process.wait(SECONDS_MAX))
    dying.close()
    await_end(dying.keeper)
    dump = only_dump(tmp_path)
    assert dump.signal == killer.name
    assert not dump.damage
    assert dump.records


def test_keeper_when_the_daemon_ends_well_then_no_dump_and_no_zombie(
    tmp_path: Path, recorder: Recorder, heard: list[Marked]
) -> None:
    keeper = Keeper(tmp_path, announce=heard.append)
    assert keeper.start(recorder)
    assert keeper.start(recorder)
    pid = keeper.pid
    keeper.finish()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    assert (keeper.pid, keeper.descriptor, heard) == (0, -1, [])
    assert not list(tmp_path.iterdir())
    keeper.finish()


def test_bb11_dump_when_asked_for_then_made_by_the_keeper_and_told(
    tmp_path: Path, recorder: Recorder, keeper: Keeper
) -> None:
    for number in range(100):
        recorder.mark(201, 1, number)
    assert keeper.receive() == []
    assert keeper.request()
    ((path,),) = ([answer.path for answer in answers(keeper) if isinstance(answer, DumpMade)],)
    assert path.parent == tmp_path
    dump = decode_dump(path.read_bytes())
    assert [record.b for record in dump.records] == list(range(100))
    assert dump.why == REQUESTED
    assert not dump.damage


def test_dump_when_made_then_a_file_for_libqb_s_tools_follows_with_the_same_entries(
    recorder: Recorder, keeper: Keeper
) -> None:
    for number in range(500):
        recorder.record(201, 1, number, "text" if number % 10 == 0 else "")
    assert keeper.request()
    ((path,),) = ([answer.path for answer in answers(keeper) if isinstance(answer, DumpMade)],)
    beside = path.with_suffix(".qb")
    end = time.monotonic() + SECONDS_MAX
    while not beside.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    entries, damage = decode_libqb(beside.read_bytes())
    assert not damage
    assert entries == play(decode_dump(path.read_bytes()))


def test_keeper_when_it_ends_while_it_writes_for_libqb_then_no_process_is_left(
    recorder: Recorder, keeper: Keeper
) -> None:
    for number in range(50_000):
        recorder.mark(201, 1, number)
    assert keeper.request()
    assert len(answers(keeper)) == 1
    children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children")
    end = time.monotonic() + SECONDS_MAX
    while not (pids := children.read_text().split()):
        assert time.monotonic() < end
    renderer = os.pidfd_open(int(pids[0]))
    try:
        assert not select.select([renderer], [], [], 0)[0]
        keeper.finish()
        assert select.select([renderer], [], [], 0)[0]
    finally:
        os.close(renderer)


def test_bb11_dump_when_made_while_much_is_recorded_then_nothing_half_and_no_hole(
    recorder: Recorder, keeper: Keeper
) -> None:
    number = 0
    assert keeper.request()
    while not select.select([keeper.descriptor], [], [], 0)[0]:
        for _ in range(100):
            number += 1
            recorder.record(201, 7, number, "text" * 20 if number % 7 == 0 else "")
    (answer,) = keeper.receive()
    assert isinstance(answer, DumpMade)
    dump = decode_dump(answer.path.read_bytes())
    assert not dump.damage
    numbers = [record.b for record in dump.records]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert {record.a for record in dump.records} == {7}


def test_bb10_dumps_when_asked_for_too_often_then_refused(
    tmp_path: Path, recorder: Recorder
) -> None:
    clock = Clock()
    keeper = Keeper(tmp_path, clock=clock)
    assert not keeper.request()
    assert keeper.start(recorder)
    assert keeper.request()
    assert not keeper.request()
    clock.now = 1.5
    assert keeper.request()
    keeper.finish()
    assert len(list(tmp_path.iterdir())) == 2


def test_dump_when_its_directory_is_gone_then_told(tmp_path: Path, recorder: Recorder) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    keeper = Keeper(directory)
    assert keeper.start(recorder)
    directory.rmdir()
    assert keeper.request()
    assert answers(keeper) == [DumpFailed("No such file or directory")]
    keeper.finish()


def test_bb19_keeper_when_killed_then_announced_and_another_may_follow(
    recorder: Recorder, keeper: Keeper, heard: list[Marked]
) -> None:
    pid = keeper.pid
    os.kill(pid, signal.SIGKILL)
    assert answers(keeper) == []
    assert heard == [Marked(Mark.KEEPER_ENDED, 0, 0, "the keeper has ended")]
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    assert not keeper.request()
    assert keeper.start(recorder)
    assert keeper.request()
    assert isinstance(answers(keeper)[0], DumpMade)


def test_bb19_keeper_when_it_cannot_be_started_then_announced(
    tmp_path: Path, recorder: Recorder, heard: list[Marked]
) -> None:
    keeper = Keeper(tmp_path / "absent", announce=heard.append)
    assert not keeper.start(recorder)
    assert heard == [Marked(Mark.KEEPER_ENDED, 2, 0, "No such file or directory")]


def test_bb19_keeper_when_the_recorder_is_closed_then_announced(
    tmp_path: Path, heard: list[Marked]
) -> None:
    keeper = Keeper(tmp_path, announce=heard.append)
    assert not keeper.start(Recorder(3))
    assert heard == [Marked(Mark.KEEPER_ENDED, 0, 0, "there is no recorder to keep")]


def test_keeper_when_told_to_end_by_a_terminal_or_politely_then_it_stays(
    keeper: Keeper, recorder: Recorder
) -> None:
    assert os.getsid(keeper.pid) == os.getpgid(keeper.pid) == keeper.pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        os.kill(keeper.pid, number)
    assert keeper.request()
    assert isinstance(answers(keeper)[0], DumpMade)


def test_keeper_when_it_runs_then_it_holds_its_own_descriptors_and_no_environment(
    tmp_path: Path, keeper: Keeper
) -> None:
    inherited = os.dup(1)
    os.set_inheritable(inherited, True)
    assert keeper.request()
    answers(keeper)  # it is certainly up now
    held = Path(f"/proc/{keeper.pid}/fd")
    targets = {int(each.name): os.readlink(each) for each in held.iterdir()}
    os.close(inherited)
    assert set(targets) == set(range(7))
    assert {targets[stream] for stream in range(3)} == {"/dev/null"}
    assert targets[3].startswith("/memfd:unisono-flight")
    assert targets[4].startswith("socket:")
    assert targets[5] == "anon_inode:[pidfd]"
    assert targets[6] == str(tmp_path)
    assert Path(f"/proc/{keeper.pid}/environ").read_bytes() == b""
    assert os.readlink(f"/proc/{keeper.pid}/cwd") == "/"
    assert Path(f"/proc/{keeper.pid}/comm").read_text() == "unisono-keeper\n"


def test_bb9_child_when_forked_then_the_keeper_is_its_parent_s_alone(
    tmp_path: Path, keeper: Keeper
) -> None:
    child = os.fork()
    if child == 0:
        keeper.finish()
        os._exit(0 if keeper.descriptor == -1 and not keeper.request() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert keeper.request()
    assert isinstance(answers(keeper)[0], DumpMade)


def test_keeper_when_its_daemon_has_a_child_that_goes_on_then_it_dumps_all_the_same(
    tmp_path: Path,
) -> None:
    """What a child keeps open of its parent does not hide the parent's death."""
    told, tell = os.pipe()
    wait, go = os.pipe()
    daemon = os.fork()
    if daemon == 0:
        os.close(go)
        recorder, keeper = Recorder(3, cells=CELLS), Keeper(tmp_path)
        assert recorder.open() and keeper.start(recorder)
        recorder.mark(201, 1, 2)
        copy = os.dup(keeper.descriptor)
        if os.fork() == 0:
            os.read(wait, 1)
            os._exit(copy)
        os.write(tell, b"%d" % keeper.pid)
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        keeper_pid = int(os.read(told, 32))
        os.waitpid(daemon, 0)
        await_end(keeper_pid)
        (path,) = tmp_path.glob("*.dump")
        assert [record.b for record in decode_dump(path.read_bytes()).records] == [2]
    finally:
        for descriptor in (told, tell, wait, go):
            os.close(descriptor)


def test_bb11_ring_when_it_changes_while_it_is_read_then_what_changed_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    header, cell = b"h" * RING_HEADER_BYTES, bytes(range(CELL_BYTES))
    still = header + cell * 8
    torn = header + cell * 3 + cell[:20] + bytes(20) + cell * 4
    wild = header + bytes(CELL_BYTES) * 8
    readings = iter([wild, still, torn, still])
    monkeypatch.setattr(keeper_process, "_read", lambda _size: next(readings))
    steady = keeper_process._read_steady(len(still))
    assert steady == header + cell * 3 + bytes(CELL_BYTES) + cell * 4


def test_dying_daemon_is_as_busy_as_it_says() -> None:
    assert dying_daemon.BURST / dying_daemon.BURST_SECONDS == 50_000
