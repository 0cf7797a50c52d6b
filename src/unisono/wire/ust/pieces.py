"""Pieces: a sealed frame that is larger than a datagram, cut into some that fit.

Speaks:      16 bytes before each piece: u64 frame, u16 index, u16 count, u32 bytes of the frame.
Keeps:       all pieces of a frame but the last have one size, so that an index is a place.
Never:       whether the pieces belong together: only the seal of the whole can tell.
"""

from struct import Struct
from typing import Final, NamedTuple

from unisono.base.errors import UsageError, WireError
from unisono.base.group import Buffer

_LAYOUT: Final = Struct(">QHHI")
PIECE_HEADER_BYTES: Final = 16
assert _LAYOUT.size == PIECE_HEADER_BYTES
FRAME_BYTES_MAX: Final = 65_536 + 64
"""A frame of 64 kB with its own header and tag (ours)."""
PIECES_MAX: Final = 256
"""Pieces of one frame: 64 kB in the smallest datagrams that IPv6 paths carry, and room to spare."""


class Piece(NamedTuple):
    """One piece of the frame with the random number `frame`."""

    frame: int
    number: int
    pieces: int
    total: int
    """Bytes of the whole frame."""
    data: memoryview


def encode_pieces(frame: int, sealed: bytes, room: int) -> list[bytes]:
    """`sealed` in pieces of at most `room` bytes, their headers included. UsageError."""
    step = room - PIECE_HEADER_BYTES
    total = len(sealed)
    count = -(-total // step) if step > 0 else 0
    if not 0 < count <= PIECES_MAX or total > FRAME_BYTES_MAX:
        raise UsageError(f"frame of {total} bytes in pieces of {room}")
    return [
        _LAYOUT.pack(frame, index, count, total) + sealed[index * step : (index + 1) * step]
        for index in range(count)
    ]


def decode_piece(body: Buffer) -> Piece:
    """One piece; WireError when its numbers cannot be."""
    if len(body) <= PIECE_HEADER_BYTES:
        raise WireError(f"piece of {len(body)} bytes")
    frame, index, count, total = _LAYOUT.unpack_from(body)
    size = len(body) - PIECE_HEADER_BYTES
    if not (index < count <= PIECES_MAX and total <= FRAME_BYTES_MAX):
        raise WireError(f"piece {index} of {count}, {total} bytes in all")
    # Every piece but the last has one size, and the last has what remains.
    if index < count - 1:
        fits = size * (count - 1) < total <= size * count
    else:
        fits = 0 < size <= total and (count == 1) == (size == total)
    if not fits:
        raise WireError(f"piece {index} of {count} has {size} of {total} bytes")
    return Piece(frame, index, count, total, memoryview(body)[PIECE_HEADER_BYTES:])
