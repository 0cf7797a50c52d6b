"""BB5: /dev/shm may be full, read-only, absent or without execution."""

import os

import pytest

import unisono.blocking
from tests.life import listing
from tests.life.daemons import Place
from tests.life.island import NO_EXECUTION, READ_ONLY, inside, mount, unmount

pytestmark = pytest.mark.root


def _spoil(how: str) -> None:
    unmount("/dev/shm")
    match how:
        case "full":
            mount("tmpfs", "/dev/shm", "size=4k")
            with open("/dev/shm/filler", "wb") as file:
                file.write(bytes(4096))
        case "read-only":
            mount("tmpfs", "/dev/shm", flags=READ_ONLY)
        case "not executable":
            mount("tmpfs", "/dev/shm", flags=NO_EXECUTION)
        case "absent":
            mount("tmpfs", "/dev")
            for name, minor in (("null", 3), ("urandom", 9)):
                os.mknod(f"/dev/{name}", 0o20666, os.makedev(1, minor))


def lives(how: str) -> list[object]:
    """Statuses of both modes; whether the recorder ran and a client was served in each."""
    _spoil(how)
    place = Place("/run/one")
    found: list[object] = []
    for start in (place.start, place.start_in_front):
        daemon = start()
        recorded = len([each for each in listing.nameless_memory() if "unisono" in each])
        with unisono.blocking.connect(instance=place.instance) as node, node.group("g") as group:
            group.send(b"hello")
            heard = [group.next(timeout=10), group.next(timeout=10)]
        served = any(isinstance(each, unisono.Message) for each in heard)
        found.append([recorded >= 2, served, daemon.stop()])
    return found


@pytest.mark.parametrize("how", ["full", "read-only", "not executable", "absent"])
def test_bb5_daemon_when_shared_memory_is_unusable_then_it_starts_and_serves(how: str) -> None:
    assert inside(lives, how) == [[True, True, 0]] * 2
