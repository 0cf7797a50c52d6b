"""libqb's ring in shared memory, producer and consumer, without ever touching the shared pages.

Speaks:      header file (indices, semaphore, flow-control word) and data file (chunks).
Counterpart: libqb lib/ringbuffer.c, ringbuffer_int.h, ringbuffer_helper.c.
Keeps:       our own index is private; theirs is checked before use; bytes go by pread and pwrite,
             words that both sides change by futex(2): no truncation or scribble can hurt us.
See:         DESIGN.md in this directory for why this is sound.
"""

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from unisono.base.errors import WireError
from unisono.base.group import Buffer
from unisono.linux.futex import ADD_MAX, SharedWords
from unisono.linux.semaphore import initial_semaphore
from unisono.wire.ipc.shm import (
    CHUNK,
    COMMITTED,
    FLOW_AT,
    HEADER,
    HEADER_BYTES,
    READ_AT,
    REFERENCE_COUNT_AT,
    SEMAPHORE_AT,
    WORD,
    WRITE_AT,
    data_bytes,
)

WINDOW_BYTES: Final = 64 * 1024
"""Most that one read takes out of the ring, unless a single chunk is larger (ours)."""
JOIN_BYTES_MAX: Final = 64 * 1024
"""Up to here one copy in memory is cheaper than a gathering write (measured)."""
GATHER_PIECES_MAX: Final = 1_000
"""Pieces of one gathering write; IOV_MAX is 1024."""
INDEX_TRIES_MAX: Final = 8
_PAGE_BYTES: Final = os.sysconf("SC_PAGESIZE")


Message: TypeAlias = tuple[int, Sequence[Buffer]]
"""A message to write: its length in bytes, and its pieces."""


class RingBroken(WireError):
    """The other side damaged, truncated or misused its ring: drop it."""


class Ring:
    """Both files of one ring. Close it once; a closed ring must not be used."""

    __slots__ = ("data_fd", "header_fd", "message_bytes_max", "word_size", "words")

    def __init__(self, header_fd: int, data_fd: int, message_bytes_max: int) -> None:
        """Take over two open files; OSError, and both are closed, if mapping the header fails."""
        self.header_fd = header_fd
        self.data_fd = data_fd
        self.message_bytes_max = message_bytes_max
        self.word_size = data_bytes(message_bytes_max, _PAGE_BYTES) // 4
        try:
            self.words = SharedWords(header_fd, HEADER_BYTES)
        except OSError:
            os.close(header_fd)
            os.close(data_fd)
            raise

    def set_flow_control(self, level: int) -> None:
        """Store 0..2 in the word that the client tests before it sends; RingBroken if it cannot."""
        self._store(FLOW_AT, level)

    def set_reference_count(self, count: int) -> None:
        """Store libqb's reference count (0 on teardown, 2 while a client is connected)."""
        self._store(REFERENCE_COUNT_AT, count)

    def load(self, offset: int) -> int:
        """A word of the header, perhaps torn: for hints, and for words of which one byte varies."""
        raw = os.pread(self.header_fd, 4, offset)
        if len(raw) != 4:
            raise RingBroken("header file is truncated")
        return int(WORD.unpack(raw)[0])

    def _store(self, offset: int, value: int) -> None:
        try:
            os.pwrite(self.header_fd, WORD.pack(value), offset)
        except OSError as reason:
            raise RingBroken(f"header file: {reason}") from reason

    def close(self) -> None:
        """Unmap and close."""
        self.words.close()
        os.close(self.header_fd)
        os.close(self.data_fd)


def create_ring(
    directory_fd: int, base: str, message_bytes_max: int, owner: tuple[int, int] | None
) -> Ring:
    """New files `<base>-header` and `<base>-data` (mode 0600) in the directory `directory_fd`.

    `base` is an absolute path whose last part names the files; `owner` is (uid, gid) or None to
    keep ours. The memory is reserved. OSError when any of it fails; the files may then exist.
    """
    name = base.rpartition("/")[2]
    size = data_bytes(message_bytes_max, _PAGE_BYTES)
    header = HEADER.pack(
        0,
        0,
        size // 4,
        f"{base}-header".encode(),
        f"{base}-data".encode(),
        1,
        initial_semaphore(),
        0,
    )
    data_fd = _create(directory_fd, f"{name}-data", size, owner)
    try:
        header_fd = _create(directory_fd, f"{name}-header", HEADER_BYTES, owner)
        os.pwrite(header_fd, header, 0)
    except OSError:
        os.close(data_fd)
        raise
    return Ring(header_fd, data_fd, message_bytes_max)


def _create(directory_fd: int, name: str, size: int, owner: tuple[int, int] | None) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=directory_fd)
    try:
        os.posix_fallocate(fd, 0, size)
        if owner is not None:
            os.fchown(fd, *owner)
    except OSError:
        os.close(fd)
        raise
    return fd


def open_ring(base: str, message_bytes_max: int) -> Ring:
    """The files that a server made, as a client opens them; OSError, or RingBroken if odd."""
    header_fd = os.open(f"{base}-header", os.O_RDWR | os.O_CLOEXEC)
    try:
        raw = os.pread(header_fd, HEADER.size, 0)
        if len(raw) < HEADER.size:
            raise RingBroken(f"{base}-header has {len(raw)} bytes")
        fields = HEADER.unpack(raw)
        data_path = fields[4].partition(b"\0")[0]
        data_fd = os.open(data_path, os.O_RDWR | os.O_CLOEXEC)
    except BaseException:
        os.close(header_fd)
        raise
    ring = Ring(header_fd, data_fd, message_bytes_max)
    if fields[2] != ring.word_size or os.fstat(data_fd).st_size != ring.word_size * 4:
        ring.close()
        raise RingBroken(f"{base}: {fields[2]} words, expected {ring.word_size}")
    return ring


class Consumer:
    """The reading side of a ring: one per ring."""

    __slots__ = ("_chunk_bytes", "_read", "_ring")

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._read = 0
        self._chunk_bytes = 0

    def take(self, count: int, *, counted: bool = True) -> list[memoryview]:
        """Take at least one and up to `count` chunks, each a private copy.

        The caller knows that `count` were committed (a byte came for each). With `counted` False
        the caller has waited on the semaphore already. RingBroken when a chunk is not one.
        """
        ring = self._ring
        window = self._window(self._guess(count))
        found, at = self._parse(window, count)
        if not found:
            length = self._chunk_length(window)
            window = self._window(CHUNK.size + length)
            found, at = self._parse(window, 1)
            if not found:
                raise RingBroken("data file is truncated")
        if counted and not ring.words.add(SEMAPHORE_AT, -len(found)):
            raise RingBroken("header file is truncated")
        self._chunk_bytes = at // len(found)
        self._advance(at // 4)
        return found

    def _parse(self, window: bytes, count: int) -> tuple[list[memoryview], int]:
        """The whole chunks of `window`, at most `count`, and where the next one begins."""
        found: list[memoryview] = []
        view = memoryview(window)
        at = 0
        end = len(window) - CHUNK.size
        longest = self._ring.message_bytes_max
        unpack = CHUNK.unpack_from
        while at <= end and count:
            length, magic = unpack(window, at)
            if magic != COMMITTED or length > longest:
                raise RingBroken(f"chunk of {length} bytes, magic {magic:#x}")
            start = at + 8
            if start + length > len(window):
                break
            found.append(view[start : start + length])
            at = start + (length + 3 & ~3)
            count -= 1
        return found, at

    def _chunk_length(self, window: bytes) -> int:
        if len(window) < CHUNK.size:
            raise RingBroken("data file is truncated")
        return int(CHUNK.unpack_from(window)[0])

    def _guess(self, count: int) -> int:
        """How much to read for `count` chunks, if they are as large as those before."""
        return min(_PAGE_BYTES + count * self._chunk_bytes, WINDOW_BYTES)

    def _window(self, length: int) -> bytes:
        """`length` bytes of the data file from our index on, around its end."""
        ring = self._ring
        offset, size = self._read * 4, ring.word_size * 4
        if offset + length <= size:
            return os.pread(ring.data_fd, length, offset)
        head = os.pread(ring.data_fd, size - offset, offset)
        if len(head) != size - offset:
            raise RingBroken("data file is truncated")
        return head + os.pread(ring.data_fd, length - len(head), 0)

    def _advance(self, steps: int) -> None:
        """Publish our index. The producer may look at any time: every value on the way is true,
        because each is one of old, new, or between them in the direction of reading.
        """
        words, old = self._ring.words, self._read
        new = old + steps
        intact = True
        if new >= self._ring.word_size:
            new -= self._ring.word_size
            intact = words.clear(READ_AT)
            old = 0
        while intact and new > old:
            step = min(new - old, ADD_MAX)
            intact = words.add(READ_AT, step)
            old += step
        if not intact:
            raise RingBroken("header file is truncated")
        self._read = new


class Producer:
    """The writing side of a ring: one per ring."""

    __slots__ = ("_free", "_ring", "_write")

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._write = 0
        self._free = ring.word_size - 1

    def put(self, messages: Iterable[Message]) -> int:
        """Append messages, as many as fit; how many that were.

        They become visible together. RingBroken when the ring is damaged.
        """
        pieces: list[Buffer] = []
        count = words = 0
        refreshed = False
        for length, message in messages:
            need = (length + 11) // 4
            if words + need >= self._free:
                if not refreshed:
                    refreshed = True
                    self._refresh()
                if words + need >= self._free:
                    break
            pieces.append(CHUNK.pack(length, COMMITTED))
            pieces.extend(message)
            if length & 3:
                pieces.append(bytes(-length & 3))
            words += need
            count += 1
        if count:
            self._write_pieces(pieces, words * 4)
            self._commit(words, count)
        return count

    def _write_pieces(self, pieces: list[Buffer], length: int) -> None:
        ring = self._ring
        offset, size = self._write * 4, ring.word_size * 4
        try:
            if offset + length > size:
                whole = b"".join(pieces)
                done = os.pwrite(ring.data_fd, whole[: size - offset], offset)
                done += os.pwrite(ring.data_fd, whole[size - offset :], 0)
            elif length <= JOIN_BYTES_MAX:
                done = os.pwrite(ring.data_fd, b"".join(pieces), offset)
            else:
                done = 0
                for at in range(0, len(pieces), GATHER_PIECES_MAX):
                    batch = pieces[at : at + GATHER_PIECES_MAX]
                    done += os.pwritev(ring.data_fd, batch, offset + done)
        except OSError as reason:
            raise RingBroken(f"data file: {reason}") from reason
        if done != length:
            raise RingBroken(f"data file: {done} of {length} bytes written")

    def _commit(self, words: int, count: int) -> None:
        ring = self._ring
        self._write = (self._write + words) % ring.word_size
        self._free -= words
        # Readers go by the semaphore and their own index; write_pt is a courtesy that may tear.
        with contextlib.suppress(OSError):
            os.pwrite(ring.header_fd, WORD.pack(self._write), WRITE_AT)
        while count:
            step = min(count, ADD_MAX)
            if not ring.words.add(SEMAPHORE_AT, step, step):
                raise RingBroken("header file is truncated")
            count -= step

    def _refresh(self) -> None:
        """Learn how far the reader is: its index may only have moved towards ours."""
        ring = self._ring
        for _ in range(INDEX_TRIES_MAX):
            read = ring.load(READ_AT)
            if ring.words.equals(READ_AT, read):
                break
        else:
            return
        if read >= ring.word_size:
            raise RingBroken(f"read index {read} of {ring.word_size}")
        free = (read - self._write - 1) % ring.word_size
        if free < self._free:
            raise RingBroken(f"read index {read} went back")
        self._free = free
