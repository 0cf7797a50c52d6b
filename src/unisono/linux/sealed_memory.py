"""Sealed memory: shared memory without a name, whose size nobody can change.

Speaks:      memfd_create(2), fcntl(2) F_ADD_SEALS, fallocate(2), mmap(2).
Counterpart: libqb lib/unix.c, qb_sys_mmap_file_open, whose files have names in /dev/shm.
Keeps:       every page exists when `create` returns: a later write cannot meet SIGBUS.
"""

import fcntl
import mmap
import os
from typing import Final

SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class SealedMemory:
    """A descriptor and its mapping."""

    __slots__ = ("_mapping", "descriptor", "view")

    def __init__(self, label: str, size: int) -> None:
        """`label` is seen in /proc/PID/fd only. OSError when the memory is refused."""
        self.descriptor = os.memfd_create(label, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.posix_fallocate(self.descriptor, 0, size)
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, SEALS)
            self._mapping = mmap.mmap(self.descriptor, size, flags=mmap.MAP_SHARED)
        except BaseException:
            os.close(self.descriptor)
            raise
        self.view = memoryview(self._mapping)

    def close(self) -> None:
        """Unmap and close; the memory lives on as long as others hold it."""
        self.view.release()
        self._mapping.close()
        os.close(self.descriptor)
