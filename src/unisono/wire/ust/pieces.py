"""Pieces: a frame that is larger than a datagram, cut into some that fit.

Speaks:      16 bytes before each piece: u64 frame, u16 index, u16 count, u32 bytes of the frame.
Keeps:       all pieces of a frame but the last have one size, so that an index is a place.
Never:       whether the pieces belong together: only a seal can tell.
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

from unisono.base.errors import UsageError, WireError
from unisono.base.group import Buffer
from unisono.base.run import Run

_LAYOUT: Final = Struct(">QHHI")
PIECE_HEADER_BYTES: Final = 16
assert _LAYOUT.size == PIECE_HEADER_BYTES
_END: Final = Struct(">HHI")
_FRAME_BYTES: Final = PIECE_HEADER_BYTES - _END.size
FRAME_BYTES_MAX: Final = 65_536 + 64
"""A frame of 64 kB with its own header and tag (ours)."""
PIECES_MAX: Final = 256
"""Pieces of one frame: 64 kB in the smallest datagrams that IPv6 paths carry, and room to spare."""
_PLANS_MAX: Final = 64
"""Plans remembered: full frames come in few sizes, one for each size of datagram."""


class Piece(NamedTuple):
    """One piece of the frame with the random number `frame`."""

    frame: int
    number: int
    pieces: int
    total: int
    """Bytes of the whole frame."""
    step: int
    """Bytes of every piece but the last."""
    data: memoryview


@lru_cache(maxsize=_PLANS_MAX)
def _ends(count: int, total: int) -> tuple[bytes, ...]:
    """The second halves of the headers of one frame's pieces; the first is its random number."""
    return tuple([_END.pack(index, count, total) for index in range(count)])


@lru_cache(maxsize=_PLANS_MAX)
def _bodies(count: int, total: int, step: int, skipped: int) -> Struct:
    """Takes the pieces of a frame out of `skipped` bytes each, all at once."""
    skip = f"{skipped}x" if skipped else ""
    return Struct(f"{skip}{step}s" * (count - 1) + f"{skip}{total - (count - 1) * step}s")


def encode_pieces(frame: int, body: bytes, room: int, lead: bytes = b"") -> Run:
    """`body` in pieces of at most `room` bytes, `lead` and their headers included. UsageError."""
    step = room - len(lead) - PIECE_HEADER_BYTES
    total = len(body)
    count = -(-total // step) if step > 0 else 0
    if not 0 < count <= PIECES_MAX or total > FRAME_BYTES_MAX:
        raise UsageError(f"frame of {total} bytes in pieces of {room}")
    parts = [lead + frame.to_bytes(_FRAME_BYTES, "big")] * (3 * count)
    parts[1::3] = _ends(count, total)
    parts[2::3] = _bodies(count, total, min(step, total), 0).unpack(body)
    return Run(b"".join(parts), room)


def decode_piece(body: Buffer) -> Piece:
    """One piece; WireError when its numbers cannot be."""
    size = len(body) - PIECE_HEADER_BYTES
    if size <= 0:
        raise WireError(f"piece of {len(body)} bytes")
    frame, index, count, total = _LAYOUT.unpack_from(body)
    if not (index < count <= PIECES_MAX and total <= FRAME_BYTES_MAX):
        raise WireError(f"piece {index} of {count}, {total} bytes in all")
    # Every piece but the last has one size, and the last has what remains.
    step = size if index < count - 1 or count == 1 else (total - size) // (count - 1)
    last = total - (count - 1) * step
    if not 0 < last <= step or size != (last if index == count - 1 else step):
        raise WireError(f"piece {index} of {count} has {size} of {total} bytes")
    return Piece(frame, index, count, total, step, memoryview(body)[PIECE_HEADER_BYTES:])


def join_pieces(run: Run, lead: int) -> bytes | None:
    """The body of the frame, if `run` is its pieces, from the first to the last and no others.

    Each has `lead` bytes before its header. Only the header of the first is looked at: what the
    others are, the seal of the whole must tell. None when it is not that plain.
    """
    data = run.data
    skipped = lead + PIECE_HEADER_BYTES
    size = run.step - skipped
    if size <= 0 or len(data) <= skipped:
        return None
    _, index, count, total = _LAYOUT.unpack_from(data, lead)
    is_plain = not index and len(data) == total + count * skipped
    if not is_plain or count != -(-total // size) or count > PIECES_MAX:
        return None
    return b"".join(_bodies(count, total, min(size, total), skipped).unpack(data))


def count_run(packets: Sequence[Buffer], at: int, piece: Piece, lead: int) -> int:
    """How many packets from `at` on, where `piece` was found, go on with its frame: at least 1.

    Each has the same `lead` bytes before its header; the sizes of the others are not looked at.
    """
    run = packets[at : at + piece.pieces - piece.number]
    if len(run) == 1:
        return 1
    start = bytes(run[0][: lead + _FRAME_BYTES])
    ends = _ends(piece.pieces, piece.total)[piece.number : piece.number + len(run)]
    size = lead + PIECE_HEADER_BYTES
    if run[1][:size] != start + ends[1]:
        return 1
    heads = [packet[:size] for packet in run]
    # All at once: per packet this is what costs most after the seal itself.
    if b"".join(heads) == start + start.join(ends):
        return len(run)
    strangers = (n for n in range(1, len(run)) if heads[n] != start + ends[n])
    return next(strangers, len(run))
