"""Credentials, semaphores and futex words: what the kernel and libc promise us."""

import mmap
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from unisono.linux.credentials import (
    pass_credentials,
    peer_credentials,
    receive_with_credentials,
)
from unisono.linux.futex import ADD_MAX, SharedWords
from unisono.linux.semaphore import Semaphore, initial_semaphore
from unisono.wire.ipc.shm import SEMAPHORE_BYTES


@pytest.fixture
def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def test_receive_when_credentials_pass_then_they_are_the_senders(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    with ours, theirs:
        theirs.send(b"before")
        assert receive_with_credentials(ours, 100) == (b"before", None)
        pass_credentials(ours, True)
        theirs.send(b"after")
        data, peer = receive_with_credentials(ours, 100)
        assert peer is not None
        assert data == b"after"
        assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.getuid(), os.getgid())
        pass_credentials(ours, False)
        theirs.send(b"off")
        assert receive_with_credentials(ours, 100) == (b"off", None)


def test_receive_when_descriptors_are_passed_then_none_arrives(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    with ours, theirs, open(os.devnull) as passed:
        pass_credentials(ours, True)
        before = len(os.listdir("/proc/self/fd"))
        socket.send_fds(theirs, [b"x"], [passed.fileno()] * 4)
        data, peer = receive_with_credentials(ours, 100)
        assert data == b"x"
        assert peer is not None
        assert len(os.listdir("/proc/self/fd")) == before


def test_peer_credentials_when_asked_then_who_connected(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    with pair[0], pair[1]:
        assert peer_credentials(pair[0]).pid == os.getpid()


@pytest.fixture
def words() -> SharedWords:
    fd = os.memfd_create("words")
    os.ftruncate(fd, mmap.PAGESIZE)
    os.pwrite(fd, initial_semaphore(), 64)
    shared = SharedWords(fd, mmap.PAGESIZE)
    os.close(fd)
    return shared


def test_initial_semaphore_when_made_then_process_shared_and_zero() -> None:
    assert initial_semaphore() == bytes(8) + b"\x80" + bytes(SEMAPHORE_BYTES - 9)


def test_semaphore_when_added_by_futex_then_glibc_counts(words: SharedWords) -> None:
    semaphore = Semaphore(words.address + 64)
    assert semaphore.value == 0
    assert not semaphore.try_wait()
    assert words.add(64, 3, 3)
    assert semaphore.value == 3
    assert semaphore.try_wait()
    assert words.add(64, -2)
    assert not semaphore.try_wait()
    assert not semaphore.timed_wait(0.01)
    semaphore.post()
    assert semaphore.timed_wait(0.01)
    words.close()


def test_semaphore_when_a_thread_waits_then_the_futex_wakes_it(words: SharedWords) -> None:
    semaphore = Semaphore(words.address + 64)
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(semaphore.timed_wait(10)))
    waiter.start()
    start = time.monotonic()
    while int.from_bytes(memoryview_of(words, 68), "little") != 1:
        assert time.monotonic() - start < 10
        time.sleep(0.001)
    assert words.add(64, 1, 1)
    waiter.join(10)
    assert woken == [True]
    assert time.monotonic() - start < 5
    words.close()


def memoryview_of(words: SharedWords, offset: int) -> bytes:
    """Four bytes of the mapping, read by the kernel."""
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        return os.pread(memory.fileno(), 4, words.address + offset)


def test_words_when_added_up_to_the_bound_then_exact(words: SharedWords) -> None:
    assert words.add(0, ADD_MAX)
    assert words.add(0, ADD_MAX)
    assert words.add(0, -1)
    assert words.equals(0, 2 * ADD_MAX - 1)
    assert not words.equals(0, 2 * ADD_MAX)
    assert words.clear(0)
    assert words.equals(0, 0)
    words.close()
    words.close()


def test_words_when_the_plain_way_would_die_then_ours_does_not() -> None:
    """The same truncated page kills a process that touches it, and not one that asks futex(2)."""
    script = """
import ctypes, mmap, os, sys
from unisono.linux.futex import SharedWords
fd = os.memfd_create("page")
os.ftruncate(fd, mmap.PAGESIZE)
words = SharedWords(fd, mmap.PAGESIZE)
os.ftruncate(fd, 0)
if sys.argv[1] == "futex":
    assert not words.add(0, 1, 1) and not words.equals(0, 0) and not words.clear(0)
else:
    ctypes.c_int.from_address(words.address).value
"""
    runs = {
        way: subprocess.run([sys.executable, "-c", script, way], capture_output=True).returncode
        for way in ("futex", "touch")
    }
    assert runs["futex"] == 0
    assert runs["touch"] < 0
