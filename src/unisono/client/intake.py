"""Intake: the bytes of a stream from the moment they come until their frame is whole.

Speaks:      frames of the native stream (wire.native), as views that hold until more is read.
Keeps:       nothing is allocated for a read; the beginning of a frame is moved once at most, and
             once more when the frame is larger than any before it.
Never:       reads by itself: the driver fills `room` and says how much came.
"""

from typing import Final

from unisono.base.limits import NATIVE_FRAME_BYTES_MAX
from unisono.wire import native

SMALL_BYTES: Final = 16 * 1024
"""Room of a connection on which little comes."""
USUAL_BYTES: Final = 256 * 1024
"""Room of a connection on which much comes: as much as a socket holds."""
_SHORT_BYTES: Final = 4 * 1024
"""The beginning of a frame that is moved at once: cheaper than reading into a corner."""
_CALM_READS_MAX: Final = 64
"""Reads without a large frame after which the room for large frames is given back."""


class Intake:
    """Room for what comes; frames out of what came."""

    __slots__ = ("_calm", "_end", "_start", "_view")

    def __init__(self) -> None:
        self._view = memoryview(bytearray(SMALL_BYTES))
        self._start = self._end = 0
        self._calm = 0

    @property
    def room_bytes(self) -> int:
        """How much is kept for reading, used or not."""
        return len(self._view)

    def room(self) -> memoryview:
        """Where the next bytes go, never empty; frames that were given before are gone."""
        start, end, size = self._start, self._end, len(self._view)
        if start == end and size == USUAL_BYTES:
            self._start = self._end = 0
            return self._view
        kept = end - start
        need = native.HEADER_BYTES
        if kept >= need:
            need = native.frame_bytes(self._view, start)
        if need > size or (end == size and size < USUAL_BYTES):
            self._resize(USUAL_BYTES if need <= USUAL_BYTES else NATIVE_FRAME_BYTES_MAX)
        elif size > USUAL_BYTES and self._is_calm(need):
            self._resize(USUAL_BYTES)
        elif start and (kept < _SHORT_BYTES or start + need > size):
            self._view[:kept] = self._view[start:end]
            self._start, self._end = 0, kept
        return self._view[self._end :]

    def frames(self, count: int) -> list[memoryview]:
        """`count` bytes came into the room: the frames that are whole; WireError."""
        start, end = self._start, self._end + count
        self._end = end
        frames, used = native.split_frames(self._view[start:end])
        self._start = start + used
        return frames

    def _is_calm(self, need: int) -> bool:
        """Whether no frame has needed the large room for a while."""
        is_large = need > USUAL_BYTES
        self._calm = 0 if is_large else self._calm + 1
        return self._calm > _CALM_READS_MAX

    def _resize(self, size: int) -> None:
        kept = self._end - self._start
        view = memoryview(bytearray(size))
        view[:kept] = self._view[self._start : self._end]
        self._view = view
        self._start, self._end = 0, kept
        self._calm = 0
