"""The island itself: private, and with pids that recur."""

import os

import pytest

from tests.life.island import PIDS_MIN, inside, take_next_pid, use_pids_up_to

pytestmark = pytest.mark.root
FORKS = {True: 300, False: 12}


def recur(is_chosen: bool) -> list[int]:
    pids = []
    for number in range(FORKS[is_chosen]):
        if number % 3 == 0:
            (take_next_pid if is_chosen else use_pids_up_to)(350)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        pids.append(pid)
    return pids


@pytest.mark.parametrize("is_chosen", [True, False])
def test_island_when_pids_are_few_then_they_recur_and_can_be_chosen(is_chosen: bool) -> None:
    pids = inside(recur, is_chosen, pids=PIDS_MIN)
    assert max(pids) < PIDS_MIN
    assert pids[::3] == [350] * (FORKS[is_chosen] // 3)


def furniture() -> dict[str, list[str]]:
    return {path: os.listdir(path) for path in ("/dev/shm", "/run")} | {"me": [str(os.getpid())]}


def test_island_when_entered_then_nothing_of_the_host_is_there() -> None:
    assert inside(furniture) == {"/dev/shm": [], "/run": [], "me": ["1"]}
