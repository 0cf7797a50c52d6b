"""BB1, BB4: nothing is named after a pid, and names that others took do not matter."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.life import listing
from tests.life.daemons import Place
from tests.life.island import PIDS_MIN, inside, reap
from tests.life.old_names import KINDS, PROGRAMS, VICTIM, occupy

pytestmark = pytest.mark.root


RANDOM = re.compile(r"-[0-9a-f]{16}\.dump$")


def _named_after_a_pid(pids: set[int]) -> list[str]:
    """Names in which the number of a process stands; a dump's random part is none."""
    names = [RANDOM.sub("", path) for path in listing.files()]
    return [name for name in names if {int(n) for n in re.findall(r"\d+", name)} & pids]


def phases() -> list[list[str]]:
    """The names found before, during and after each phase of two lives."""
    for _ in range(400):  # the numbers of nodes and addresses stand in names; these pids are larger
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    found = []
    place = Place("/run/one")
    for start in (place.start, place.start_in_front):
        daemon = start()
        near = set(range(os.getpid() + 300, daemon.pid + 20))
        found.append(_named_after_a_pid(near))
        assert listing.nameless_memory(), "the recorder runs"
        place.status()
        found.append(_named_after_a_pid(near))
        daemon.send(9)
        daemon.wait()
        reap()
        found.append(_named_after_a_pid(near))
    return found


def test_bb1_daemon_when_in_any_phase_then_no_file_is_named_after_a_pid() -> None:
    assert inside(phases) == [[]] * 6


def occupied(kind: str) -> list[object]:
    """Exit statuses of both modes and of the test, and what changed about the names."""
    Path(VICTIM).write_text("precious")
    before = occupy(kind, PIDS_MIN)
    place = Place("/run/one")
    statuses = [place.start().stop(), place.start_in_front().stop(), place.probe("-t").status]
    changed = listing.files("/dev/shm", "/tmp") != before
    return [statuses, changed, Path(VICTIM).read_text(), len(before)]


@pytest.mark.parametrize("kind", KINDS)
def test_bb4_names_when_another_user_took_them_all_then_start_and_stop_are_clean(kind: str) -> None:
    statuses, changed, victim, count = inside(occupied, kind, pids=PIDS_MIN)
    assert statuses == [0, 0, 0]
    assert not changed
    assert victim == "precious"
    assert count >= 2 * len(PROGRAMS) * PIDS_MIN * 3


def in_libqb_s_names() -> list[int]:
    """The state directory has entries with old names: those of Corosync's own dumps."""
    place = Place("/run/one")
    place.instance.mkdir(mode=0o755)
    (place.instance / "fdata").symlink_to(VICTIM)
    for pid in range(2, PIDS_MIN):
        (place.instance / f"fdata-{pid}").mkdir()
    statuses = [place.start().stop(), place.start_in_front().stop()]
    kept = len(list(place.instance.glob("fdata*")))
    shutil.rmtree(place.instance)
    return [*statuses, kept]


def test_bb4_state_directory_when_it_has_old_dumps_then_they_stay() -> None:
    assert inside(in_libqb_s_names, pids=PIDS_MIN) == [0, 0, PIDS_MIN - 1]
