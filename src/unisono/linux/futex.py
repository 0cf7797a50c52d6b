"""Shared words that the kernel changes for us: atomic 32-bit operations that cannot raise SIGBUS.

Speaks:      futex(2), FUTEX_WAKE_OP and FUTEX_CMP_REQUEUE, on a mapping that we never touch.
Keeps:       a page that its owner truncated gives False; the process gets no signal.
"""

import ctypes
import mmap
import os
import platform
from typing import Final

_NUMBERS: Final = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221, "loongarch64": 98}
"""__NR_futex of the 64-bit little-endian machines."""
_HAS_FUTEX: Final = platform.machine() in _NUMBERS
# Arguments that never change are C objects already: that halves the cost of the call.
_FUTEX: Final = ctypes.c_long(_NUMBERS.get(platform.machine(), 0))
_CMP_REQUEUE: Final = ctypes.c_long(4)
_WAKE_OP: Final = ctypes.c_long(5)
_NONE: Final = ctypes.c_long(0)
_OP_SET: Final = 0 << 28
_OP_ADD: Final = 1 << 28
ADD_MAX: Final = 2_047
"""Largest operand of one FUTEX_WAKE_OP (12 bits, signed)."""

_libc: Final = ctypes.CDLL(None, use_errno=True)
_syscall = ctypes.PyDLL(None).syscall
"""PyDLL: these calls never block, so giving up the interpreter lock would only cost."""
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 7
_mmap = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
_munmap = _libc.munmap
_munmap.restype = ctypes.c_int
_munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MAP_FAILED: Final = ctypes.c_void_p(-1).value


class SharedWords:
    """The 32-bit words of a file, mapped shared; reached through the kernel alone.

    Each method returns False (never a signal) when the word is not there any more.
    """

    __slots__ = ("_bytes", "_words", "address")

    def __init__(self, fd: int, length: int) -> None:
        """Map the first `length` bytes of `fd`; OSError when the kernel or the machine cannot."""
        if not _HAS_FUTEX:
            raise OSError(38, f"no futex number known for {platform.machine()}")
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        address = _mmap(None, length, protection, mmap.MAP_SHARED, fd, 0)
        if address is None or address == _MAP_FAILED:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        self.address: int = address
        self._bytes = length
        self._words: dict[int, ctypes.c_long] = {}

    def add(self, offset: int, amount: int, wake: int = 0) -> bool:
        """Atomically add `amount` (-2048..2047) to a word, then wake up to `wake` waiters."""
        word = self._words.get(offset) or self._word(offset)
        operation = _OP_ADD | (amount & 0xFFF) << 12
        return bool(_syscall(_FUTEX, word, _WAKE_OP, wake, _NONE, word, operation) >= 0)

    def clear(self, offset: int) -> bool:
        """Atomically set a word to 0."""
        word = self._word(offset)
        return bool(_syscall(_FUTEX, word, _WAKE_OP, _NONE, _NONE, word, _OP_SET) >= 0)

    def equals(self, offset: int, value: int) -> bool:
        """Whether a word, read in one piece, holds `value` (wakes and moves nobody)."""
        word = self._word(offset)
        return bool(_syscall(_FUTEX, word, _CMP_REQUEUE, _NONE, _NONE, word, value) >= 0)

    def _word(self, offset: int) -> ctypes.c_long:
        """The address of a word, made once."""
        word = self._words.get(offset)
        if word is None:
            word = self._words[offset] = ctypes.c_long(self.address + offset)
        return word

    def close(self) -> None:
        """Unmap; the object must not be used afterwards. Twice is harmless."""
        if self.address:
            _munmap(self.address, self._bytes)
            self.address = 0
