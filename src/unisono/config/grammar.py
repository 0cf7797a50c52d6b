"""The grammar of corosync.conf(5): bytes in, sections and entries with their places out.

Speaks:      lines of at most 510 bytes: `NAME {`, `KEY: VALUE`, `}`, `# comment`.
Counterpart: corosync exec/coroparse.c, parse_section; the order in which a line is tested is its.
Keeps:       every fault is reported, not only the first; reading goes on where it sensibly can.
Never:       knows a section or a key by name (config.schema does), but for `key`, the secret.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from unisono.base.limits import (
    CONFIG_BYTES_MAX,
    CONFIG_ERRORS_MAX,
    CONFIG_LINE_BYTES_MAX,
    CONFIG_PATH_BYTES_MAX,
    CONFIG_PATH_BYTES_MIN,
)

_BLANK: Final = b" \t"
_BEFORE_MARK: Final = b" \t:{"
"""Trimmed from the end of a section name or key: `totem : {` opens `totem`."""
_KEY_BYTES: Final = frozenset(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/:-"
)
_MAYBE_SECRET: Final = re.compile(rb"key[ \t:={]+[^ \t:={]")
_SECRET_ENTRY: Final = re.compile(rb"key[ \t]*:[^{]*")
"""`totem.key` is the cluster's key itself: a line that misspells it must not get into a log."""
_SHOWN_CHARACTERS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: `file:line`, lines counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(slots=True, eq=False)
class Section:
    """One pair of braces; `path` is dotted (`totem.interface`) and empty for the file itself."""

    path: str
    place: Place
    entries: list["Entry"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value` line; undecodable bytes are kept as surrogate escapes."""

    path: str
    key: str
    value: str = field(repr=False)
    """May be the cluster's key (`totem.key`), so it is never printed as a part of this."""
    place: Place


@dataclass(slots=True)
class Parsed:
    """What a file says: its sections in the order in which they open, and its faults."""

    sections: list[Section]
    errors: list[str]
    unbalanced: bool = False
    """A brace is wrong, so that an entry may have been read into a section it was not meant for."""

    @property
    def entries(self) -> Iterator[Entry]:
        """Every entry, section by section."""
        return (entry for section in self.sections for entry in section.entries)


def shown(text: str) -> str:
    """`text` as messages show it: on one line, printable, shortened, quoted when it needs to be."""
    cut = text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "..."
    safe = cut.encode("unicode_escape").decode("ascii") if not cut.isprintable() else cut
    return safe if safe and safe == safe.strip() else f'"{safe}"'


def parse(text: str | bytes, file: str) -> Parsed:
    """Read a whole file; faults are collected in `errors` as `file:line: reason`."""
    reader = _Reader(file)
    try:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        reader.fault(1, "the text holds a lone surrogate; allowed: UTF-8")
        return reader.parsed
    if len(data) > CONFIG_BYTES_MAX:
        reader.fault(1, f"found {len(data)} bytes; allowed: up to {CONFIG_BYTES_MAX}")
        return reader.parsed
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        reader.read_line(number, line)
        if len(reader.parsed.errors) >= CONFIG_ERRORS_MAX:
            reader.parsed.unbalanced = True  # the rest is unread
            break
    else:
        reader.end()
    return reader.parsed


class _Reader:
    """Holds the open sections while the lines go by."""

    __slots__ = ("_file", "_open", "parsed")

    def __init__(self, file: str) -> None:
        self._file = file
        self._open = [Section("", Place(file, 1))]
        self.parsed = Parsed([self._open[0]], [])

    def fault(self, number: int, reason: str) -> None:
        """Note what is wrong in line `number`."""
        self.parsed.errors.append(f"{self._file}:{number}: {reason}")

    def read_line(self, number: int, line: bytes) -> None:
        """Test one line in Corosync's order: `{` anywhere, `:` anywhere, `}`."""
        if len(line) > CONFIG_LINE_BYTES_MAX:
            self.fault(number, f"line of {len(line)} bytes; allowed: {CONFIG_LINE_BYTES_MAX}")
            return
        if b"\0" in line:
            self.fault(number, "line holds a NUL byte; allowed: text")
            return
        line = line.removesuffix(b"\r").rstrip(_BLANK)
        bare = line.lstrip(_BLANK)
        if not bare or bare.startswith(b"#"):
            return
        if _MAYBE_SECRET.match(bare) and not _SECRET_ENTRY.fullmatch(bare):
            self.parsed.unbalanced |= b"{" in line or b"}" in line
            self.fault(
                number,
                "found a line that begins with `key`, and is not shown because it "
                "may hold one; allowed: `key: value` without braces",
            )
        elif b"{" in line:
            self._open_section(number, line)
        elif b":" in line:
            self._read_entry(number, line)
        elif bare == b"}":
            self._close_section(number)
        else:
            self.parsed.unbalanced |= b"}" in line
            self.fault(
                number,
                f"found {shown(_text(bare))}; allowed: `section {{`, `key: value` or a lone `}}`",
            )

    def end(self) -> None:
        """The file is over: every section must be closed."""
        for section in self._open[1:]:
            self.parsed.unbalanced = True
            self.parsed.errors.append(
                f"{section.place}: {shown(section.path)}: section is never closed; "
                "allowed: a lone `}` after its last line"
            )

    def _open_section(self, number: int, line: bytes) -> None:
        before, _, after = line.partition(b"{")
        name = _trim_name(before)
        after = after.strip(_BLANK)
        if after:
            self.parsed.unbalanced = True
            self.fault(number, f"found {shown(_text(after))} after `{{`; allowed: nothing")
            if b"}" in after:  # all in one line: opened and closed, so the next line is outside
                return
        if not name:
            self.parsed.unbalanced = True
            self.fault(number, "found no section name before `{`; allowed: `section {`")
        path = self._path(name)
        if len(path.encode("utf-8", "surrogateescape")) >= CONFIG_PATH_BYTES_MAX:
            self.fault(number, f"section path too long; allowed: below {CONFIG_PATH_BYTES_MAX}")
            path = shown(path)
        section = Section(path, Place(self._file, number))
        self._open.append(section)
        self.parsed.sections.append(section)

    def _read_entry(self, number: int, line: bytes) -> None:
        before, _, after = line.partition(b":")
        name = _trim_name(before)
        path = self._path(name)
        raw = path.encode("utf-8", "surrogateescape")
        if not name:
            self.fault(number, "found no key before `:`; allowed: `key: value`")
        elif not CONFIG_PATH_BYTES_MIN <= len(raw) < CONFIG_PATH_BYTES_MAX:
            self.fault(
                number,
                f"{shown(path)}: path of {len(raw)} bytes; allowed: "
                f"{CONFIG_PATH_BYTES_MIN}..{CONFIG_PATH_BYTES_MAX - 1}",
            )
        elif not _KEY_BYTES.issuperset(raw):
            self.fault(
                number, f"{shown(path)}: found other characters; allowed: A-Z a-z 0-9 . _ / : -"
            )
        else:
            section = self._open[-1]
            value = _text(after.lstrip(_BLANK))
            place = Place(self._file, number)
            section.entries.append(Entry(section.path, _text(name), value, place))

    def _close_section(self, number: int) -> None:
        if len(self._open) == 1:
            self.parsed.unbalanced = True
            self.fault(number, "found `}` where no section is open; allowed: one per `{`")
        else:
            self._open.pop()

    def _path(self, name: bytes) -> str:
        outer = self._open[-1].path
        return f"{outer}.{_text(name)}" if outer else _text(name)


def _trim_name(before: bytes) -> bytes:
    """A section's name or a key: blanks go at both ends, stray marks at the end, one byte stays."""
    name = before.lstrip(_BLANK)
    return name[:1] + name[1:].rstrip(_BEFORE_MARK)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
