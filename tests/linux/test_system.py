"""Kernel calls: the pid file, priority, memory, interfaces. (Sockets: tests/transport.)"""

import fcntl
import os
import subprocess
import sys

import pytest

from unisono.linux.interfaces import interface_of, local_addresses
from unisono.linux.process import AlreadyRunning, PidFile, is_privilege_raised

SECONDS_MAX = 20


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Code in a process of its own: what it changes must not stay."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS_MAX
    )


def hold(path) -> subprocess.Popen[str]:
    code = (
        f"from unisono.linux.process import PidFile; PidFile({str(path)!r}); print(1, flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code + "; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "1\n"
    return process


def test_pid_file_holds_the_pid_and_is_removed(tmp_path):
    path = tmp_path / "pid"
    pid_file = PidFile(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_mode & 0o777 == 0o640
    pid_file.remove()
    assert not path.exists()


def test_pid_file_when_another_process_holds_it_names_that_process(tmp_path):
    path = tmp_path / "pid"
    with hold(path) as other:
        with pytest.raises(AlreadyRunning, match=f"pid {other.pid}"):
            PidFile(str(path))
        assert path.read_text() == f"{other.pid}\n"
        other.communicate("\n")


def test_pid_file_when_its_writer_died_is_taken_over(tmp_path):
    path = tmp_path / "pid"
    path.write_text("1234567890123\n")  # longer than our own: nothing of it may stay
    pid_file = PidFile(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    pid_file.remove()


def test_pid_file_when_unlinked_between_open_and_lock_is_made_anew(tmp_path, monkeypatch):
    path = tmp_path / "pid"
    lock = fcntl.lockf

    def late(descriptor, how):
        monkeypatch.setattr(fcntl, "lockf", lock)
        path.unlink()  # the holder before us ended just now
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "lockf", late)
    pid_file = PidFile(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    pid_file.remove()


def test_pid_file_when_it_is_a_symbolic_link_is_refused(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "pid").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        PidFile(str(tmp_path / "pid"))
    assert (tmp_path / "victim").read_text() == "precious"


def test_privilege_when_the_ids_are_equal_is_not_raised():
    assert not is_privilege_raised()


@pytest.mark.root
@pytest.mark.parametrize("call", ["setresuid(65534, 0, 0)", "setresgid(65534, 0, 0)"])
def test_privilege_when_real_and_effective_ids_differ_is_raised(call):
    ran = run(f"import os; os.{call}; from unisono.executive.main import main; main(['-t'])")
    assert ran.returncode == 0
    assert ran.stderr == "unisonod: refusing to run set-uid or set-gid\n"


@pytest.mark.root
def test_priority_when_granted_is_nice_and_only_round_robin_when_asked_for():
    ran = run(
        "import os; from unisono.linux.process import raise_priority as p\n"
        "print(repr(p(real_time=False)), os.getpriority(0, 0), os.sched_getscheduler(0))"
    )
    assert ran.stdout == "'' -15 0\n"


@pytest.mark.root
def test_priority_when_refused_says_so_and_goes_on():
    ran = run(
        "import os; from unisono.linux.process import raise_priority as p\n"
        "os.setresuid(65534, 65534, 65534)\n"
        "print(p(real_time=False)); print(p(real_time=True))"
    )
    first, second = ran.stdout.splitlines()
    assert first == "nice -15: Permission denied"
    assert second == "SCHED_RR: Operation not permitted"


def test_lock_memory_when_the_limit_is_finite_refuses_and_leaves_allocation_working():
    ran = run(
        "import os, resource\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))\n"
        "from unisono.linux.memory import lock_memory\n"
        "if os.geteuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        "print(lock_memory()); len(bytearray(50_000_000))"
    )
    assert ran.returncode == 0
    assert ran.stdout == "RLIMIT_MEMLOCK is 65536 bytes\n"


def test_freed_memory_when_kept_is_not_faulted_in_again():
    """A buffer of 4 MiB that comes and goes: with glibc's own thresholds each is new memory."""
    code = (
        "import resource\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "from unisono.linux.memory import keep_freed_memory\n"
        "print(keep_freed_memory())\n"
        "for _ in range(3): bytearray(4 << 20)\n"
        "before = faults()\n"
        "for _ in range(20): bytearray(4 << 20)\n"
        "print(faults() - before)"
    )
    granted, faults = run(code).stdout.split()
    if granted == "False":
        pytest.skip("this C library has no mallopt")
    assert int(faults) < 1000


def test_local_addresses_hold_loopback_with_prefix_and_index():
    entries = [entry for entry in local_addresses() if entry.address == "127.0.0.1"]
    assert [(e.prefix_length, e.interface, e.is_loopback) for e in entries] == [(8, "lo", True)]
    assert entries[0].interface_index > 0


@pytest.mark.parametrize(
    ("address", "interface"),
    [("127.0.0.1", "lo"), ("127.55.3.2", "lo"), ("203.0.113.77", None), ("2001:db8::77", None)],
)
def test_interface_of_knows_what_is_local(address, interface):
    entry = interface_of(address)
    assert (entry.interface if entry else None) == interface
