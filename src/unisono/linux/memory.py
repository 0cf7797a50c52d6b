"""Memory of the process: allocator thresholds, locked pages, no core files.

Speaks:      mallopt(3), mlockall(2), prctl(2) through ctypes.
Counterpart: corosync exec/main.c, corosync_mlockall.
Keeps:       what is refused is answered with False or a reason, never raised.
"""

import ctypes
import os
import resource
from pathlib import Path
from typing import Final

from unisono.base.limits import MIB

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
MALLOC_THRESHOLDS: Final = (
    (_M_MMAP_THRESHOLD, 16 * MIB),
    (_M_TRIM_THRESHOLD, 32 * MIB),
    (_M_TOP_PAD, 1 * MIB),
)
"""Datagrams and blocks of 64 kB come and go all the time; with glibc's own thresholds their pages
go back to the kernel and are faulted in anew, which costs more than the bytes do."""

_CAP_IPC_LOCK: Final = 14
_PR_SET_DUMPABLE: Final = 4
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4


def keep_freed_memory() -> bool:
    """Raise the allocator's thresholds; False where the C library has no mallopt (musl)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    answers = [mallopt(option, value) for option, value in MALLOC_THRESHOLDS]
    return all(answers)


def _is_above_limits() -> bool:
    """Whether the process has CAP_IPC_LOCK, to which RLIMIT_MEMLOCK does not apply."""
    try:
        status = Path("/proc/self/status").read_text()
        capabilities = int(status.partition("CapEff:")[2].split()[0], 16)
    except (OSError, ValueError, IndexError):
        return False
    return bool(capabilities >> _CAP_IPC_LOCK & 1)


def forbid_core_files() -> str:
    """Keep secrets out of core files and out of reach of debuggers; empty when granted, or why not.

    prctl(2), PR_SET_DUMPABLE; core(5).
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as error:
        return f"RLIMIT_CORE: {error}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        return os.strerror(ctypes.get_errno())
    return ""


def lock_memory() -> str:
    """Keep touched pages out of swap; empty when granted, else the reason in words.

    Pages are locked as they are touched (MCL_ONFAULT): what is mapped and never used costs nothing.
    A finite RLIMIT_MEMLOCK that binds us would make later allocations fail: then nothing is locked.
    """
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
    except (OSError, ValueError):
        limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
        if limit != resource.RLIM_INFINITY and not _is_above_limits():
            return f"RLIMIT_MEMLOCK is {limit} bytes"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        return os.strerror(ctypes.get_errno())
    return ""
