"""What tells a process from others of its number, and how children are started and ended."""

import os
import select
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from unisono.linux.life import BOOT_ID_BYTES, boot_id, start_ticks
from unisono.linux.spawn import end_child


def test_boot_id_when_asked_twice_then_the_same_and_not_empty() -> None:
    assert len(boot_id()) == BOOT_ID_BYTES
    assert boot_id() == boot_id() != bytes(BOOT_ID_BYTES)


def test_start_when_the_program_has_an_evil_name_then_still_found(tmp_path: Path) -> None:
    evil = tmp_path / ") 1 (2 3"
    shutil.copy("/bin/sleep", evil)
    with subprocess.Popen([evil, "60"]) as process:
        ticks = start_ticks(process.pid)
        process.kill()
    assert ticks >= start_ticks(os.getpid()) > 0


def test_start_when_there_is_no_such_process_then_zero() -> None:
    assert start_ticks(2**22 + 1) == 0


@pytest.mark.parametrize("stays", [True, False])
def test_child_when_ended_then_gone_and_no_zombie(stays: bool) -> None:
    child = os.fork()
    if child == 0:
        while stays:
            signal.pause()
        os._exit(0)
    end_child(child, 0.05)
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)
    end_child(child, 0.05)


def test_child_when_it_is_a_stranger_s_then_left_alone() -> None:
    """A grandchild: never one that would be missed."""
    script = "sleep 60 >/dev/null 2>&1 & echo $!"
    told = subprocess.run(["sh", "-c", script], capture_output=True, check=True, text=True)
    stranger = int(told.stdout)
    watch = os.pidfd_open(stranger)
    end_child(stranger, 0.0)
    ended = select.select([watch], [], [], 0.2)[0]
    signal.pidfd_send_signal(watch, signal.SIGKILL)
    os.close(watch)
    assert not ended
