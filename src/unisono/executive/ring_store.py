"""The ring-id file: the ring sequence that survives a restart.

Speaks:      `ringid_<nodeid>`, 8 bytes, the host's byte order, mode 0600.
Counterpart: corosync exec/main.c, corosync_ring_id_create_or_load, corosync_ring_id_store.
Keeps:       the file is whole at any moment: written aside, synced, renamed. What cannot be
             stored is not used, and leaves the sequence of before where it is.
"""

import contextlib
import errno
import os
import struct
from pathlib import Path
from typing import Final

from unisono.base.errors import UnisonoError
from unisono.base.ids import NodeId
from unisono.base.limits import RING_SEQ_STORED_MAX
from unisono.executive.advice import reason

RING_SEQ_LAYOUT: Final = struct.Struct("=Q")
assert RING_SEQ_LAYOUT.size == 8
FILE_MODE: Final = 0o600


class RingStoreError(UnisonoError):
    """The ring sequence cannot be stored: this node must not form a ring."""


class RingStore:
    """The stored ring sequence of one node."""

    __slots__ = ("_directory", "path")

    def __init__(self, directory: str, node_id: NodeId) -> None:
        self._directory = Path(directory)
        self.path = self._directory / f"ringid_{node_id}"

    def load(self) -> int:
        """The stored sequence; 0 when there is no file or it is damaged, as Corosync has it.

        RingStoreError when it is there and may not be read.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise RingStoreError(f"cannot read {self.path}: {reason(error)}") from error
        if len(content) != RING_SEQ_LAYOUT.size:
            return 0
        seq: int = RING_SEQ_LAYOUT.unpack(content)[0]
        return seq if seq <= RING_SEQ_STORED_MAX else 0

    @property
    def is_damaged(self) -> bool:
        """Whether a file is there that is no ring sequence."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return False
        if len(content) != RING_SEQ_LAYOUT.size:
            return True
        seq: int = RING_SEQ_LAYOUT.unpack(content)[0]
        return seq > RING_SEQ_STORED_MAX

    def store(self, seq: int) -> None:
        """Replace the stored sequence, on disk when this returns; RingStoreError if it cannot."""
        aside = self.path.with_name(f".{self.path.name}.new")
        try:
            with contextlib.suppress(FileNotFoundError):
                aside.unlink()
            _write(aside, RING_SEQ_LAYOUT.pack(seq))
            aside.replace(self.path)
            self._sync_directory()
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise RingStoreError(
                f"cannot store the ring sequence in {self.path}: {reason(error)}"
            ) from error

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    """Make the file, all of it, on disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
