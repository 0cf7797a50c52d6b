"""libqb's dumps: read as qb-blackbox reads them, but right; written so that qb-blackbox reads them.

Speaks:      the dump files of libqb, version 2 (with marker, nanoseconds) and the one before it
             (without marker, seconds); little-endian, LP64.
Counterpart: libqb lib/log_blackbox.c, lib/ringbuffer.c (qb_rb_create_from_file).
Keeps:       a broken entry costs itself; a broken chunk costs what lies before the next whole one.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final

from unisono.base.errors import WireError
from unisono.base.limits import (
    LIBQB_DUMP_BYTES_MAX,
    LIBQB_ENTRY_BYTES_MAX,
    LIBQB_MESSAGE_BYTES_MAX,
)
from unisono.wire.blackbox.entry import PRIORITIES, Damage, Entry
from unisono.wire.blackbox.printf import render

MARKER_LAYOUT: Final = Struct("<5I")
HEADER_LAYOUT: Final = Struct("<5I")
CHUNK_LAYOUT: Final = Struct("<2I")
ENTRY_LAYOUT: Final = Struct("<IIBI")
TIMESPEC_LAYOUT: Final = Struct("<2q")
TIME_LAYOUT: Final = Struct("<q")
LENGTH_LAYOUT: Final = Struct("<I")
assert MARKER_LAYOUT.size == HEADER_LAYOUT.size == 20
assert CHUNK_LAYOUT.size == 8
assert ENTRY_LAYOUT.size == 13

MARKER: Final = MARKER_LAYOUT.pack(0, 0xCCBBCCBB, 0xBBCCBBCC, 2, 0)
"""Where an old dump has its ring's size, which is never 0."""
_RING_VERSION: Final = 1
_MAGIC: Final = LENGTH_LAYOUT.pack(0xA1A1A1A1)
_MASK: Final = 0xFFFFFFFF
_WORD: Final = 4
_PAGE: Final = 4096
_RING_MARGIN_BYTES: Final = 13
"""What libqb adds to a requested size before it rounds it up to pages."""
_NANOS: Final = 1_000_000_000
_SECONDS_MAX: Final = 1 << 33
_NAME_BYTES_MAX: Final = 128
_TEXT_FORMAT: Final = b"%s\0"


def is_libqb(data: bytes) -> bool:
    """Whether `data` looks like a dump of libqb: by its marker, or by the sum in an old header."""
    if data.startswith(MARKER):
        return True
    if len(data) < HEADER_LAYOUT.size:
        return False
    *fields, total = HEADER_LAYOUT.unpack_from(data)
    return bool(fields[0] and fields[3] == _RING_VERSION and sum(fields) & _MASK == total)


def decode_libqb(data: bytes) -> tuple[list[Entry], Damage]:
    """The entries of a dump, oldest first, and what is wrong with it; WireError if all is."""
    if len(data) > LIBQB_DUMP_BYTES_MAX:
        raise WireError(f"dump of {len(data)} bytes; the largest read has {LIBQB_DUMP_BYTES_MAX}")
    damage = Damage()
    entries = []
    has_marker = data.startswith(MARKER)
    for chunk in _chunks(_unread(data, len(MARKER) if has_marker else 0), damage):
        try:
            entries.append(_decode_entry(chunk, TIMESPEC_LAYOUT if has_marker else TIME_LAYOUT))
        except WireError as fault:
            damage.note(f"entry {len(entries)}: {fault}")
    return entries, damage


def _unread(data: bytes, start: int) -> bytes:
    """What lies between the read and the write index of the ring, in one piece."""
    if len(data) < start + HEADER_LAYOUT.size:
        raise WireError(f"dump of {len(data)} bytes has no header")
    words, write, read, version, total = HEADER_LAYOUT.unpack_from(data, start)
    if version != _RING_VERSION or (words + write + read + version) & _MASK != total:
        raise WireError("the header of the dump is damaged")
    if not (write < words and read < words):
        raise WireError(f"ring of {words} words has its indexes at {read} and {write}")
    ring = data[start + HEADER_LAYOUT.size :]
    if len(ring) != words * _WORD:
        raise WireError(f"ring of {words} words, but {len(ring)} bytes of it")
    if read <= write:
        return ring[read * _WORD : write * _WORD]
    return ring[read * _WORD :] + ring[: write * _WORD]


def _chunks(unread: bytes, damage: Damage) -> Iterator[bytes]:
    at, end = 0, len(unread)
    while at < end:
        if length := _chunk_bytes(unread, at):
            yield unread[at + CHUNK_LAYOUT.size : at + CHUNK_LAYOUT.size + length]
            at += _padded(CHUNK_LAYOUT.size + length)
            continue
        damage.note(f"no entry begins at byte {at} of {end}")
        at = _next_chunk(unread, at + _WORD)


def _chunk_bytes(unread: bytes, at: int) -> int:
    """Length of the chunk that begins there; 0 when none does."""
    if at + CHUNK_LAYOUT.size > len(unread) or unread[at + _WORD : at + 2 * _WORD] != _MAGIC:
        return 0
    length = int(LENGTH_LAYOUT.unpack_from(unread, at)[0])
    fits = at + CHUNK_LAYOUT.size + length <= len(unread)
    return length if length <= LIBQB_ENTRY_BYTES_MAX and fits else 0


def _next_chunk(unread: bytes, at: int) -> int:
    """Where the next chunk begins at `at` or behind it, or the end."""
    while (found := unread.find(_MAGIC, at + _WORD)) >= 0:
        start = found - _WORD
        if start % _WORD == 0 and _chunk_bytes(unread, start):
            return start
        at = found - _WORD + 1
    return len(unread)


def _decode_entry(chunk: bytes, when_layout: Struct) -> Entry:
    if len(chunk) < ENTRY_LAYOUT.size:
        raise WireError(f"{len(chunk)} bytes")
    line, tag, priority, name_bytes = ENTRY_LAYOUT.unpack_from(chunk)
    when_at = ENTRY_LAYOUT.size + name_bytes
    text_at = when_at + when_layout.size + LENGTH_LAYOUT.size
    if text_at > len(chunk):
        raise WireError(f"the name of its function has {name_bytes} bytes")
    seconds, *nanos = when_layout.unpack_from(chunk, when_at)
    if not (0 <= seconds < _SECONDS_MAX and all(0 <= part < _NANOS for part in nanos)):
        raise WireError("its time is impossible")
    (text_bytes,) = LENGTH_LAYOUT.unpack_from(chunk, text_at - LENGTH_LAYOUT.size)
    if text_at + text_bytes > len(chunk):
        raise WireError(f"its message claims {text_bytes} bytes")
    template, end, raw = chunk[text_at : text_at + text_bytes].partition(b"\0")
    if not end:
        raise WireError("its message has no end")
    return Entry(
        when_ns=seconds * _NANOS + sum(nanos),
        priority=min(priority, len(PRIORITIES) - 1),
        function=_text(chunk[ENTRY_LAYOUT.size : when_at].partition(b"\0")[0]),
        line=line,
        tag=tag,
        text=render(_text(template), raw),
    )


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def encode_libqb(entries: Iterable[Entry]) -> bytes:
    """A dump, version 2, that qb-blackbox prints; texts longer than it takes are cut."""
    unread = b"".join(map(_encode_entry, entries))
    # One word stays free: equal indexes would mean that the ring is empty.
    ring_bytes = -(-(len(unread) + _RING_MARGIN_BYTES) // _PAGE) * _PAGE
    if ring_bytes > LIBQB_DUMP_BYTES_MAX:
        raise WireError(f"{len(unread)} bytes of entries; a dump takes {LIBQB_DUMP_BYTES_MAX}")
    fields = (ring_bytes // _WORD, len(unread) // _WORD, 0, _RING_VERSION)
    header = HEADER_LAYOUT.pack(*fields, sum(fields) & _MASK)
    return MARKER + header + unread + bytes(ring_bytes - len(unread))


def _encode_entry(entry: Entry) -> bytes:
    function = _cut(entry.function, _NAME_BYTES_MAX) + b"\0"
    # The text is an argument, never the format: nothing in it is converted again.
    room = LIBQB_MESSAGE_BYTES_MAX - len(_TEXT_FORMAT) - 1
    message = _TEXT_FORMAT + _cut(entry.text, room) + b"\0"
    body = b"".join(
        (
            ENTRY_LAYOUT.pack(entry.line, entry.tag, entry.priority, len(function)),
            function,
            TIMESPEC_LAYOUT.pack(*divmod(entry.when_ns, _NANOS)),
            LENGTH_LAYOUT.pack(len(message)),
            message,
        )
    )
    chunk = LENGTH_LAYOUT.pack(len(body)) + _MAGIC + body
    return chunk + bytes(_padded(len(chunk)) - len(chunk))


def _cut(text: str, bytes_max: int) -> bytes:
    raw = text.replace("\0", "?").encode(errors="replace")
    return raw if len(raw) <= bytes_max else raw[:bytes_max].decode(errors="ignore").encode()


def _padded(length: int) -> int:
    return -(-length // _WORD) * _WORD
