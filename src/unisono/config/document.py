"""The document: every entry checked against the schema and put where its section's rules say.

Speaks:      `read_document(parsed, report)` to `Document`: single sections merged, last key wins;
             nodes by position, links by number, the other repeated sections one by one.
Counterpart: corosync exec/coroparse.c, main_config_parser_cb.
Never:       relates one key to another (config.timers, config.nodes, config.network).
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from unisono.config import schema
from unisono.config.grammar import Entry, Parsed, Place, Section, shown
from unisono.config.problems import Report
from unisono.config.schema import Kind, Status

_INTEGER: Final = re.compile(r"[\v\f\r]*[+-]?[0-9]{1,40}")
"""What strtoll(3) takes as a whole; space and tab are gone already."""
_LOG_NAME: Final = re.compile(r"[A-Za-z0-9._/:-]{1,63}")
_SHOWN_NAMES_MAX: Final = 50
_SAME_WORD: Final = {"on": "yes", "off": "no"}


@dataclass(frozen=True, slots=True)
class Given:
    """A value that the file gives: checked, with the place where it stands."""

    key: str
    value: int | str = field(repr=False)
    place: Place


@dataclass(slots=True)
class Block:
    """The keys of one section, or of all sections that are merged into one."""

    path: str
    place: Place | None = None
    given: dict[str, Given] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """Keys whose values are reported already, so that they are not called absent as well."""

    def number(self, name: str) -> int:
        """Value in force of a number: as given, else the schema's default (which must exist)."""
        row = row_of(self.path, name)
        value = self.given[name].value if name in self.given else row.default
        if value == 0 and row.zero_is_default:
            value = row.default
        assert isinstance(value, int), f"{self.path}.{name} has no default"
        return value

    def text(self, name: str) -> str:
        """Value in force of a word or text: as given, else the default, else empty."""
        value = self.given[name].value if name in self.given else row_of(self.path, name).default
        return "" if value is None else str(value)

    def text_given(self, name: str) -> str:
        """A text as the file gives it, empty when it does not."""
        return self.text(name) if name in self.given else ""

    def switch(self, name: str) -> bool:
        """Whether a word means yes."""
        return self.text(name) in {"yes", "on", "trace"}

    def has(self, name: str) -> bool:
        """Whether the file gives it, other than by a 0 that means the default."""
        found = self.given.get(name)
        zero = found is not None and found.value == 0 and row_of(self.path, name).zero_is_default
        return found is not None and not zero

    def place_of(self, name: str) -> Place | None:
        """Where the key stands; where the section opens when the key is absent."""
        return self.given[name].place if name in self.given else self.place


def row_of(path: str, name: str) -> schema.Key:
    """The schema's row of a key that must exist."""
    row = schema.key_row(path, name)
    assert row is not None, f"{path}.{name} is not in the schema"
    return row


@dataclass(slots=True)
class Document:
    """A whole configuration, checked key by key."""

    sections: dict[str, Block] = field(default_factory=dict)
    nodes: list[Block] = field(default_factory=list)
    links: dict[int, Block] = field(default_factory=dict)
    grants: list[Given] = field(default_factory=list)
    """uidgid: keys `uid` and `gid`, in order."""
    extras: list[Block] = field(default_factory=list)
    """Other repeated sections."""

    def section(self, path: str) -> Block:
        """The section that is not repeated; empty when the file does not have it."""
        return self.sections.setdefault(path, Block(path))

    def blocks(self) -> Iterator[Block]:
        """Every block."""
        yield from self.sections.values()
        yield from self.nodes
        yield from self.links.values()
        yield from self.extras


def read_document(parsed: Parsed, report: Report) -> Document:
    """Check every entry and sort it in; unknown names warn, bad values are errors."""
    report.errors.extend(parsed.errors)
    document = Document()
    position = 0
    unknown: set[str] = set()
    for section in parsed.sections:
        if section.path not in schema.SECTIONS:
            _warn_section(section, unknown, report)
            continue
        block = _read_block(section, report)
        match section.path:
            case "nodelist":
                position = 0
                _warn_second_list(document, section, report)
            case "nodelist.node":
                _place_node(document, position, block)
                position += 1
            case "totem.interface":
                _place_link(document, block)
            case "uidgid":
                document.grants.extend(_grants(section, block))
            case path if schema.SECTIONS[path].repeated:
                _check_log_names(document, block, report)
                document.extras.append(block)
            case path:
                _merge(document.section(path), block)
    return document


def read_grants(parsed: Parsed, report: Report) -> list[Given]:
    """Check a file of uidgid.d, which may hold uidgid sections only."""
    report.errors.extend(parsed.errors)
    grants: list[Given] = []
    for section in parsed.sections:
        if section.path == "uidgid":
            grants.extend(_grants(section, _read_block(section, report)))
        elif section.path or section.entries:
            place = section.entries[0].place if not section.path else section.place
            report.error(
                place,
                shown(section.path or section.entries[0].key),
                "found in a file of uidgid.d; allowed: uidgid sections",
            )
    return grants


def _read_block(section: Section, report: Report) -> Block:
    block = Block(section.path, section.place)
    for entry in section.entries:
        row = schema.key_row(entry.path, entry.key)
        if row is None:
            _tell_unknown_key(entry, report)
            continue
        value = _value(row, entry.value)
        if value is None:
            block.refused.add(entry.key)
            report.error(entry.place, f"{entry.path}.{entry.key}", _refusal(row, entry.value))
        else:
            block.given[entry.key] = Given(entry.key, value, entry.place)
    return block


def _refusal(row: schema.Key, text: str) -> str:
    coming = "; it is not in this version" if text in row.choices_later else ""
    return f"found {shown(text)}{coming}; allowed: {row.allowed}"


def _value(row: schema.Key, text: str) -> int | str | None:
    """The value that `text` stands for, None when the schema does not allow it."""
    if row.kind is Kind.TEXT:
        return text
    if row.kind is Kind.WORD:
        word = text.lower() if row.any_case else text
        return word if word in row.choices else None
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    if number == 0 and row.zero_is_default:
        return 0
    low = 0 if row.kind is Kind.DERIVED else row.low
    return number if low <= number <= row.high else None


def _grants(section: Section, block: Block) -> list[Given]:
    """Every grant: unlike elsewhere, a key that is repeated counts each time."""
    del block  # read for its warnings
    return [
        Given(entry.key, entry.value, entry.place)
        for entry in section.entries
        if entry.key in {"uid", "gid"}
    ]


def _merge(target: Block, block: Block) -> None:
    target.place = target.place or block.place
    target.given.update(block.given)
    target.refused |= block.refused


def _place_node(document: Document, position: int, block: Block) -> None:
    if position < len(document.nodes):
        _merge(document.nodes[position], block)
    else:
        document.nodes.append(block)


def _place_link(document: Document, block: Block) -> None:
    number = block.number("linknumber")
    _merge(document.links.setdefault(number, Block(block.path)), block)


def _check_log_names(document: Document, block: Block, report: Report) -> None:
    """A logging section must say whom it is about; about the daemon itself it joins `logging`."""
    required = {"logging.logger_subsys": "subsys", "logging.logging_daemon": "name"}
    name = required.get(block.path)
    if name is None:
        return
    for key in {name} | ({"subsys"} & set(block.given)):
        if not _LOG_NAME.fullmatch(block.text(key)):
            report.error(
                block.place_of(key),
                f"{block.path}.{key}",
                f"found {shown(block.text(key))}; allowed: 1..63 of A-Z a-z 0-9 . _ / : -",
            )
    if block.text(name) == "corosync" and name == "name" and "subsys" not in block.given:
        shared = {key: given for key, given in block.given.items() if key != "name"}
        document.section("logging").given.update(shared)


def _warn_second_list(document: Document, section: Section, report: Report) -> None:
    if document.nodes:
        report.warning(
            section.place, "nodelist", "a second node list overwrites the first, node by node"
        )


def _warn_section(section: Section, unknown: set[str], report: Report) -> None:
    """Warn once about the outermost unknown section, and about keys outside of any section."""
    if not section.path:
        for entry in section.entries:
            report.warning(entry.place, shown(entry.key), "key outside of any section is ignored")
        return
    labels = section.path.split(".")
    if any(".".join(labels[:count]) in unknown for count in range(1, len(labels))):
        return
    unknown.add(section.path)
    hint = _nearest(section.path, schema.SECTIONS) if report.has_room else ""
    report.warning(section.place, shown(section.path), f"unknown section is ignored{hint}")


def _tell_unknown_key(entry: Entry, report: Report) -> None:
    row = schema.SECTIONS[entry.path]
    what = f"{entry.path}.{shown(entry.key)}"
    names = [key.name for key in row.keys]
    if row.closed:
        report.error(entry.place, what, f"unknown key; allowed: {', '.join(names)}")
        return
    hint = (_elsewhere(entry.key) or _nearest(entry.key, names)) if report.has_room else ""
    report.warning(entry.place, what, f"unknown key is ignored{hint}")


def _elsewhere(name: str) -> str:
    paths = [path for path in schema.SECTIONS if schema.key_row(path, name) is not None]
    return f"; it belongs into section {paths[0]}" if paths else ""


def _nearest(word: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def warn_about_status(document: Document, report: Report) -> None:
    """One warning names the keys that will matter later, one the keys that never will again."""
    later, obsolete = [], []
    for block in document.blocks():
        for given in block.given.values():
            row = row_of(block.path, given.key)
            text = f"{block.path}.{given.key} ({given.place})"
            if row.status is Status.OBSOLETE:
                obsolete.append(text)
            elif row.status is Status.LATER and _differs(given.value, row):
                later.append(text)
    if later:
        report.note(f"{report.file}: accepted, without effect in this version: {_joined(later)}")
    if obsolete:
        report.note(f"{report.file}: obsolete and ignored: {_joined(obsolete)}")


def _joined(names: list[str]) -> str:
    more = len(names) - _SHOWN_NAMES_MAX
    return ", ".join(names[:_SHOWN_NAMES_MAX] + ([f"{more} more"] if more > 0 else []))


def _differs(value: int | str, row: schema.Key) -> bool:
    """Whether the value asks for something else than what happens without the key."""
    default = "" if row.default is None else row.default
    if value == 0 and row.zero_is_default:
        return False
    if isinstance(value, str) and set(row.choices) >= {"yes", "on"}:
        return _SAME_WORD.get(value, value) != _SAME_WORD.get(str(default), default)
    return value != default
