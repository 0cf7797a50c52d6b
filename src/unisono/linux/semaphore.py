"""Process-shared semaphores of glibc at an address in shared memory.

Speaks:      sem_init, sem_post, sem_trywait, sem_timedwait, sem_getvalue (sem_overview(7)).
Counterpart: libqb lib/ringbuffer_helper.c, the POSIX semaphore notifier.
Keeps:       for memory whose owner we trust; a server uses linux.futex on its clients' pages.
"""

import ctypes
import os
import time
from errno import EAGAIN, EINTR, ETIMEDOUT
from typing import Final

from unisono.wire.ipc.shm import SEMAPHORE_BYTES

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


for _name in ("sem_init", "sem_post", "sem_trywait", "sem_timedwait", "sem_getvalue"):
    getattr(_libc, _name).restype = ctypes.c_int
_libc.sem_init.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]
_libc.sem_post.argtypes = [ctypes.c_void_p]
_libc.sem_trywait.argtypes = [ctypes.c_void_p]
_libc.sem_timedwait.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Timespec)]
_libc.sem_getvalue.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]


def initial_semaphore() -> bytes:
    """The bytes of a process-shared semaphore of value 0, as this machine's libc makes them."""
    memory = ctypes.create_string_buffer(SEMAPHORE_BYTES)
    if _libc.sem_init(memory, 1, 0) != 0:
        _raise()
    return memory.raw


class Semaphore:
    """A semaphore that lies at `address` (a mapping that outlives this object)."""

    __slots__ = ("_address",)

    def __init__(self, address: int) -> None:
        self._address = address

    def post(self) -> None:
        """Add one and wake a waiter; OSError(EOVERFLOW) at the top."""
        if _libc.sem_post(self._address) != 0:
            _raise()

    def try_wait(self) -> bool:
        """Take one if there is one."""
        while _libc.sem_trywait(self._address) != 0:
            if ctypes.get_errno() == EAGAIN:
                return False
            if ctypes.get_errno() != EINTR:
                _raise()
        return True

    def timed_wait(self, seconds: float) -> bool:
        """Take one, waiting up to `seconds`; blocks this thread only. False also on EINTR."""
        end_ns = time.time_ns() + int(seconds * 1e9)
        limit = _Timespec(*divmod(end_ns, 1_000_000_000))
        if _libc.sem_timedwait(self._address, ctypes.byref(limit)) == 0:
            return True
        if ctypes.get_errno() not in (ETIMEDOUT, EINTR):
            _raise()
        return False

    @property
    def value(self) -> int:
        """The present value."""
        value = ctypes.c_int()
        if _libc.sem_getvalue(self._address, ctypes.byref(value)) != 0:
            _raise()
        return value.value


def _raise() -> None:
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code))
