"""BB16, BB18: the log's pid is the daemon's own; the pid file's lock decides, not the pid."""

import os
import re
import time

import pytest

from tests.life.daemons import Place
from tests.life.island import inside

pytestmark = pytest.mark.root
LINE_PID = re.compile(r"^\w{3} +\d+ [\d:.]+ \[(\d+)\] ", re.MULTILINE)


def log_pids() -> list[object]:
    """For each mode: the pids in the log, the one in the pid file, the daemon's."""
    found: list[object] = []
    for name in ("start", "start_in_front"):
        place = Place(f"/run/{name}")
        daemon = getattr(place, name)()
        written = place.pid_file.read_text()
        daemon.stop()
        logged = sorted(set(LINE_PID.findall(place.log.read_text())))
        found.append([logged, written, daemon.pid])
    return found


def test_bb16_log_when_in_either_mode_then_its_pid_is_the_daemon_s() -> None:
    for logged, written, pid in inside(log_pids):
        assert logged == [str(pid)]
        assert written == f"{pid}\n"


def pid_file_of_the_living() -> list[object]:
    """A pid file without a lock names process 1 and the starter, which both live."""
    statuses = []
    for stale in ("1\n", f"{os.getpid()}\n", "999999999999\n", "no number"):
        place = Place("/run/one")
        place.instance.mkdir(mode=0o755, exist_ok=True)
        place.pid_file.write_text(stale)
        daemon = place.start()
        statuses.append([place.pid_file.read_text() == f"{daemon.pid}\n", daemon.stop()])
        statuses.append(place.pid_file.exists())
    return statuses


def test_bb18_pid_file_when_stale_with_a_living_pid_then_it_does_not_block() -> None:
    assert inside(pid_file_of_the_living) == [[True, 0], False] * 4


def exits() -> dict[str, list[object]]:
    """Each way to end that can be handled: its status, and whether the pid file is left."""
    found: dict[str, list[object]] = {}
    place = Place("/run/one")

    def note(name: str, status: int) -> None:
        found[name] = [status, place.pid_file.exists()]

    for number in (2, 3, 15):
        note(f"signal {number}", place.start().stop(number))
    daemon = place.start()
    second = place.probe()
    found["second"] = [second.status, place.pid_file.read_text() == f"{daemon.pid}\n"]
    place.pid_file.unlink()
    third = Place("/run/two", port=26_501)
    os.rmdir(third.instance) if third.instance.exists() else None
    third.instance.symlink_to(place.instance)
    note("no directory of its own", third.probe().status)
    again = place.probe()
    note("address taken", again.status)
    assert daemon.is_alive
    daemon.stop()
    (place.instance / "ringid_1").unlink()
    (place.instance / "ringid_1").mkdir()
    note("no ring sequence", place.probe().status)
    return found


def test_bb18_pid_file_when_the_daemon_ends_in_any_handled_way_then_it_is_gone() -> None:
    assert inside(exits) == {
        "signal 2": [0, False],
        "signal 3": [0, False],
        "signal 15": [0, False],
        "second": [18, True],
        "no directory of its own": [16, False],
        "address taken": [1, False],
        "no ring sequence": [21, False],
    }


def replaced() -> list[object]:
    """Somebody removed the pid file and put another one in its place: it is not ours to remove."""
    place = Place("/run/one")
    daemon = place.start()
    place.pid_file.unlink()
    place.pid_file.write_text("4711\n")
    return [daemon.stop(), place.pid_file.read_text()]


def test_bb18_pid_file_when_another_one_took_its_place_then_it_stays() -> None:
    assert inside(replaced) == [0, "4711\n"]


def strange(kind: str) -> list[object]:
    place = Place("/run/one")
    place.instance.mkdir(mode=0o755)
    if kind == "pipe":
        os.mkfifo(place.pid_file)
    else:
        place.pid_file.mkdir()
    began = time.monotonic()
    ran = place.probe()
    return [ran.status, ran.output, time.monotonic() - began < 10]


@pytest.mark.parametrize(
    ("kind", "text"), [("pipe", "it is no regular file"), ("directory", "Is a directory")]
)
def test_bb18_pid_file_when_it_is_no_file_then_refused_and_told(kind: str, text: str) -> None:
    status, output, is_quick = inside(strange, kind)
    assert (status, is_quick) == (17, True)
    assert output == f"unisonod: cannot write /run/one/instance/unisonod.pid: {text}\n"
