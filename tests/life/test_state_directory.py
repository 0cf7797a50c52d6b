"""The state directory: missing, full, read-only or gone, and the ring sequence is never lost."""

import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.life.daemons import Place, forked
from tests.life.island import AGAIN, READ_ONLY, inside, mount, unmount
from unisono.base.ids import NodeId
from unisono.executive.ring_store import RING_SEQ_LAYOUT, RingStore, RingStoreError

pytestmark = pytest.mark.root
STATE = Path("/run/state")
SIZE = "size=16k,mode=755"
BOTH = "Members[2]: 1 2"


def _fill(directory: Path) -> Path:
    """Take all the room that is left."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def _spoil(directory: Path, how: str) -> None:
    match how:
        case "missing":
            return
        case "full":
            directory.mkdir()
            mount("tmpfs", str(directory), SIZE)
            _fill(directory)
        case "read-only":
            directory.mkdir()
            mount("tmpfs", str(directory), SIZE, flags=READ_ONLY)
        case "a file":
            directory.write_text("")


def refused(how: str, *, is_default: bool) -> list[list[object]]:
    """Start in both modes: status and last line each."""
    if is_default:
        _spoil(STATE, how)
        place = Place("/run/one", more=f"system {{\n    state_dir: {STATE}\n}}\n")
        ways = [["-c", str(place.config), "--node-id", "1", *more] for more in ([], ["-f"])]
    else:
        place = Place("/run/one")
        place.instance = STATE if how != "missing" else STATE / "below"
        _spoil(STATE, how)
        ways = [place.options(), place.options("-f")]
    ran = [forked(way) for way in ways]
    return [[each.status, each.output.splitlines()[-1]] for each in ran]


def refused_by_default(how: str) -> list[list[object]]:
    return refused(how, is_default=True)


def refused_as_instance(how: str) -> list[list[object]]:
    return refused(how, is_default=False)


REMEDY_ROOM = "No space left on device; make room on its file system"
REMEDY_WRITABLE = "Read-only file system; make its file system writable"


@pytest.mark.parametrize(
    ("how", "status", "text"),
    [
        ("missing", 16, "state directory /run/state is missing; create it, or set system.state"),
        ("a file", 16, "state directory /run/state is missing; create it, or set system.state"),
        ("full", 21, f"cannot store the ring sequence in /run/state/ringid_1: {REMEDY_ROOM}"),
        ("read-only", 21, f"ring sequence in /run/state/ringid_1: {REMEDY_WRITABLE}"),
    ],
)
def test_state_directory_when_unusable_then_refused_with_a_remedy(
    how: str, status: int, text: str
) -> None:
    for answer, line in inside(refused_by_default, how):
        assert answer == status
        assert text in line


@pytest.mark.parametrize(
    ("how", "status", "text"),
    [
        ("missing", 16, "/run/state/below: No such file or directory; create its directory"),
        ("a file", 16, "/run/state: /run/state is not a directory"),
        ("full", 17, f"cannot write /run/state/unisonod.pid: {REMEDY_ROOM}"),
        ("read-only", 17, f"cannot write /run/state/unisonod.pid: {REMEDY_WRITABLE}"),
    ],
)
def test_instance_directory_when_unusable_then_refused_with_a_remedy(
    how: str, status: int, text: str
) -> None:
    for answer, line in inside(refused_as_instance, how):
        assert answer == status
        assert text in line


# -- while it runs -------------------------------------------------------------------------------


def _stored(place: Place) -> int:
    return int.from_bytes((place.instance / "ringid_1").read_bytes(), sys.byteorder)


def _used(place: Place) -> list[int]:
    """The sequences of the rings that the log tells of."""
    found = []
    for line in place.log.read_text().splitlines():
        if "A new membership (" in line:
            found.append(int(line.partition("(")[2].partition(")")[0].split(".")[1], 16))
    return found


def runs_out(how: str) -> dict[str, Any]:
    """Node 1's directory becomes unusable; then node 2 comes, and node 1 must store a new ring."""
    first, second = (Place(f"/run/n{n}", node=n, nodes=2) for n in (1, 2))
    first.instance.mkdir(mode=0o755)
    mount("tmpfs", str(first.instance), SIZE)
    daemon = first.start()
    before = _stored(first)
    match how:
        case "full":
            filler = _fill(first.instance)
        case "read-only":
            # The daemon writes on the mount below, which cannot change; one above it can.
            mount("", str(first.instance), source=str(first.instance))
            mount("", str(first.instance), flags=READ_ONLY | AGAIN)
        case "gone":
            unmount(str(first.instance), lazily=True)
            first.instance.rmdir()
    other = second.start()
    status = daemon.wait()
    log, used = first.log.read_text(), _used(first)
    second.await_line("Members[1]: 2")
    match how:
        case "full":
            filler.unlink()
        case "read-only":
            unmount(str(first.instance))
        case "gone":
            return {"status": status, "log": log, "other": other.stop()}
    kept = _stored(first)
    first.start()
    first.await_line(BOTH)
    return {
        "status": status, "log": log, "before": before, "kept": kept, "used": used,
        "again": _used(first), "left": sorted(os.listdir(first.instance)), "other": other.stop(),
    }  # fmt: skip


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_state_directory_when_it_fails_while_running_then_stopped_and_no_sequence_lost(
    how: str,
) -> None:
    found = inside(runs_out, how)
    assert found["status"] == 21
    assert "cannot store the ring sequence" in found["log"]
    assert found["before"] == found["kept"]
    assert max(found["used"]) <= found["kept"], "a ring was formed that is not stored"
    assert min(found["again"]) > max(found["used"])
    assert found["other"] == 0
    assert [name for name in found["left"] if name.startswith(".")] == []


def test_state_directory_when_it_vanishes_while_running_then_stopped_and_told() -> None:
    found = inside(runs_out, "gone")
    assert found["status"] == 21
    assert "cannot store the ring sequence" in found["log"]
    assert found["other"] == 0


# -- the store itself ----------------------------------------------------------------------------


def full_store() -> list[object]:
    """A store without room, and with room again."""
    STATE.mkdir()
    mount("tmpfs", str(STATE), SIZE)
    store = RingStore(str(STATE), NodeId(1))
    store.store(40)
    filler = _fill(STATE)
    try:
        store.store(44)
    except RingStoreError as error:
        text = str(error)
    before = [text, store.load(), sorted(os.listdir(STATE))]
    filler.unlink()
    store.store(44)
    return [*before, store.load()]


def test_ring_store_when_there_is_no_room_then_the_old_sequence_stays() -> None:
    text, kept, names, stored = inside(full_store)
    assert "No space left on device; make room" in text
    assert (kept, names, stored) == (40, ["filler", "ringid_1"], 44)


def half_store() -> list[object]:
    """The kernel takes three bytes of the sequence and no more."""
    STATE.mkdir()
    store = RingStore(str(STATE), NodeId(1))
    store.store(40)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, 3))
    try:
        store.store(44)
    except RingStoreError as error:
        return [str(error), store.load(), os.listdir(STATE)]
    return []


def test_ring_store_when_it_is_written_half_then_not_put_in_place() -> None:
    text, kept, names = inside(half_store)
    assert "cannot store the ring sequence" in text
    assert (kept, names) == (40, ["ringid_1"])


CUTS = ("open", "write", "fsync", "close", "replace")
POWER_CUT = 77


def _store_until(directory: Path, call: str, number: int, *, half: bool) -> None:
    """Store 44 in a process that ends at the `number`th `call`, before or half way through it."""
    genuine = getattr(os, call)
    left = number

    def cut(*given: Any, **how: Any) -> Any:
        nonlocal left
        left -= 1
        if left:
            return genuine(*given, **how)
        if half and call == "write":
            genuine(given[0], given[1][:3])
        elif half:
            genuine(*given, **how)
        os._exit(POWER_CUT)

    setattr(os, call, cut)
    try:
        RingStore(str(directory), NodeId(1)).store(44)
    finally:
        os._exit(0)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("call", CUTS)
@pytest.mark.parametrize("number", [1, 2])
def test_ring_store_when_the_power_is_cut_anywhere_then_old_or_new_and_never_torn(
    tmp_path: Path, call: str, number: int, half: bool
) -> None:
    store = RingStore(str(tmp_path), NodeId(1))
    store.store(40)
    child = os.fork()
    if child == 0:
        _store_until(tmp_path, call, number, half=half)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number == 1:
        assert status == POWER_CUT, "the cut was not made"
    assert store.load() in (40, 44)
    assert not store.is_damaged
    store.store(48)
    assert store.load() == 48
    assert os.listdir(tmp_path) == ["ringid_1"]


def test_ring_store_when_the_sequence_leaves_no_next_one_then_damaged(tmp_path: Path) -> None:
    store = RingStore(str(tmp_path), NodeId(1))
    store.path.write_bytes(RING_SEQ_LAYOUT.pack(2**64 - 1))
    assert (store.load(), store.is_damaged) == (0, True)


def lives_killed() -> list[int]:
    """The sequences of one node's rings over lives that were killed at any moment."""
    place = Place("/run/one")
    used: list[int] = []
    for _ in range(8):
        daemon = place.start()
        used += _used(place)
        daemon.send(signal.SIGKILL)
        daemon.wait()
    return used


def test_ring_sequence_when_the_daemon_was_killed_again_and_again_then_it_only_grows() -> None:
    used = inside(lives_killed)
    assert len(used) >= 8
    assert used == sorted(set(used))
