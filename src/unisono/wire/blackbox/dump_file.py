"""A dump file: a page about the dump, the ring as it was found, and checksums.

Speaks:      our dump files, version 1; little-endian.
Counterpart: libqb lib/log_blackbox.c, qb_log_blackbox_write_to_file, which has no checksum.
Keeps:       each 128 cells, or as many bytes, have a CRC32: damage costs the block that it hit. The
             keeper loads this and little else: it waits for months and should be small.
"""

from struct import Struct
from typing import Final
from zlib import crc32

MAGIC: Final = b"UNIDMP\r\n"
VERSION: Final = 1
ABOUT_LAYOUT: Final = Struct("<8sIIqqI")
"""magic, version, why, monotonic clock and real time (ns), CRC32 of all before it. The times are
those of the dump that was asked for, or of the moment at which the process was seen to be dead."""
assert ABOUT_LAYOUT.size == 36
ABOUT_BYTES: Final = 40
RING_HEADER_BYTES: Final = 80
"""The ring's own header with its padding: cells begin at a multiple of 8, last words
behind them."""
CELL_BYTES: Final = 40
BLOCK_CELLS: Final = 128
BLOCK_BYTES: Final = BLOCK_CELLS * CELL_BYTES
CRC_LAYOUT: Final = Struct("<I")

DIED: Final = 1
"""Why: the process ended without a word to its keeper; it may have left last words."""
REQUESTED: Final = 2
"""Why: somebody asked for the dump while the process ran."""


def encode_dump(ring: bytes, why: int, monotonic_ns: int, realtime_ns: int) -> bytes:
    """The file for the bytes of a ring, header, cells and last words, whatever they are."""
    about = ABOUT_LAYOUT.pack(MAGIC, VERSION, why, monotonic_ns, realtime_ns, 0)
    about = about[: -CRC_LAYOUT.size]
    page = (about + CRC_LAYOUT.pack(crc32(about))).ljust(ABOUT_BYTES, b"\0")
    view = memoryview(ring)
    sums = (
        CRC_LAYOUT.pack(crc32(view[at : at + BLOCK_BYTES]))
        for at in range(RING_HEADER_BYTES, len(ring), BLOCK_BYTES)
    )
    return b"".join((page, ring, *sums))
