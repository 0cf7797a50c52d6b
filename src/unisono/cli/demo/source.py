"""What the demonstration feeds: lines of a file, files of a directory, or Python's library."""

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from unisono.base.errors import UsageError

PIECE_BYTES_MAX: Final = 256 * 1024
"""A larger file travels in several operations."""
ITEMS_MAX: Final = 1_000_000
SKIPPED: Final = frozenset({"__pycache__", "site-packages", "dist-packages"})

Item = tuple[bytes, bytes]


def read_items(source: Path | None) -> list[Item]:
    """(key, value) of everything in `source`, the same on every call; UsageError.

    A file gives a line each, a directory a file each (large ones in pieces), None Python's library.
    """
    try:
        items = list(_items(source or Path(sysconfig.get_paths()["stdlib"])))
    except OSError as reason:
        raise UsageError(f"cannot read {reason.filename}: {reason.strerror}") from reason
    if not items:
        raise UsageError(f"{source} is empty: nothing to feed")
    if len(items) > ITEMS_MAX:
        raise UsageError(f"{source} has {len(items)} items; at most {ITEMS_MAX}")
    return items


def _items(source: Path) -> Iterator[Item]:
    if not source.is_dir():
        for number, line in enumerate(source.read_bytes().splitlines(keepends=True), 1):
            yield from _pieces(f"line {number}", line)
        return
    pattern = "*.py" if source == Path(sysconfig.get_paths()["stdlib"]) else "*"
    for path in sorted(source.rglob(pattern)):
        if path.is_file() and not SKIPPED.intersection(path.parts[len(source.parts) :]):
            yield from _pieces(str(path.relative_to(source)), path.read_bytes())


def _pieces(name: str, data: bytes) -> Iterator[Item]:
    key = name.encode(errors="surrogateescape")
    if len(data) <= PIECE_BYTES_MAX:
        yield key, data
        return
    for number, start in enumerate(range(0, len(data), PIECE_BYTES_MAX)):
        yield key + b"#%d" % number, data[start : start + PIECE_BYTES_MAX]
