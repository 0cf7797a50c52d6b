"""The grammar: which bytes are sections and entries, and where faults are found."""

import pytest

from unisono.base.limits import CONFIG_BYTES_MAX, CONFIG_ERRORS_MAX
from unisono.config.grammar import parse, shown


def pairs(text: str | bytes) -> list[tuple[str, str, str, int]]:
    parsed = parse(text, "f")
    assert parsed.errors == []
    return [(e.path, e.key, e.value, e.place.line) for e in parsed.entries]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("totem {\n a: 1\n}\n", [("totem", "a", "1", 2)]),
        ("totem {\r\n a: 1\r\n}\r\n", [("totem", "a", "1", 2)]),
        ("totem {\n a: 1\n}", [("totem", "a", "1", 2)]),
        ("totem{\n\ta\t:\t1 \t\n\t}\t", [("totem", "a", "1", 2)]),
        ("totem {\n a {\n b: 1\n }\n c: 2\n}", [("totem", "c", "2", 5), ("totem.a", "b", "1", 3)]),
        ("totem : {\n a: 1\n}", [("totem", "a", "1", 2)]),
        ("# a: {\n\n  # b\ntotem {\n}\nabc: 1", [("", "abc", "1", 6)]),
        ("totem {\n a: 1 # x\n}", [("totem", "a", "1 # x", 2)]),
        ("totem {\n a:\n}", [("totem", "a", "", 2)]),
        ("totem {\n a: b:c : d\n}", [("totem", "a", "b:c : d", 2)]),
        ("totem {\n a: }\n}", [("totem", "a", "}", 2)]),
        ("totem {\n a: x}y\n}", [("totem", "a", "x}y", 2)]),
        (b"totem {\n a: \xe9\n}", [("totem", "a", "\udce9", 2)]),
        ("totem {\n a: é\n}", [("totem", "a", "é", 2)]),
        ("totem {\n a: 1\n a: 2\n}", [("totem", "a", "1", 2), ("totem", "a", "2", 3)]),
        ("totem {\n a: " + "y" * 506 + "\n}", [("totem", "a", "y" * 506, 2)]),
    ],
)
def test_parse_when_text_is_legal_then_entries_keep_path_and_line(
    text: str | bytes, expected: list[tuple[str, str, str, int]]
) -> None:
    assert pairs(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("totem {\n a: {\n}", 1, "never closed"),
        ("totem {\n a: b{c\n}\n}", 2, "found c after"),
        ("foo { bar: 1 }", 1, "after `{`"),
        ("{\n}", 1, "no section name"),
        ("totem {", 1, "never closed"),
        ("totem {\n a {\n}", 1, "never closed"),
        ("}", 1, "no section is open"),
        ("totem {\n} x", 2, "found } x"),
        ("totem {\n a = 1\n}", 2, "found a = 1"),
        ("totem {\n : 1\n}", 2, "no key"),
        ("totem {\n a b: 1\n}", 2, "other characters"),
        ("totem {\n\xa0a: 1\n}", 2, "other characters"),
        ("a: 1", 1, "path of 1 bytes"),
        ("totem {\n" + "k" * 249 + ": 1\n}", 2, "path of 255 bytes"),
        ("s" * 255 + " {\n}", 1, "path too long"),
        ("totem {\n a: " + "y" * 507 + "\n}", 2, "line of 511 bytes"),
        ("a: " + "y" * 508, 1, "line of 511 bytes"),
        ("totem {\n a: 1\0\n}", 2, "NUL"),
        ("\0", 1, "NUL"),
        ("abc: \ud800", 1, "surrogate"),
        ("#" * (CONFIG_BYTES_MAX + 1), 1, "allowed: up to"),
    ],
)
def test_parse_when_line_is_wrong_then_place_and_reason_are_told(
    text: str, line: int, words: str
) -> None:
    errors = parse(text, "f").errors
    assert any(error.startswith(f"f:{line}: ") and words in error for error in errors), errors


def test_parse_when_several_lines_are_wrong_then_all_are_told() -> None:
    parsed = parse("totem {\n a = 1\n b: 2\n c\n}\n}\n", "f")
    assert [error.partition(": ")[0] for error in parsed.errors] == ["f:2", "f:4", "f:6"]
    assert [entry.key for entry in parsed.entries] == ["b"]


def test_parse_when_section_is_on_one_line_then_no_second_error_follows() -> None:
    assert len(parse("foo { bar: 1 }\ntotem {\n}\n", "f").errors) == 1


def test_parse_when_faults_abound_then_they_are_bounded() -> None:
    assert len(parse("x\n" * 10_000, "f").errors) == CONFIG_ERRORS_MAX


@pytest.mark.parametrize("text", ["totem {", "}", "totem { x", "{\n}", "totem {\n}}"])
def test_parse_when_braces_are_wrong_then_it_is_unbalanced(text: str) -> None:
    assert parse(text, "f").unbalanced


def test_parse_when_only_a_value_line_is_wrong_then_it_is_balanced() -> None:
    assert not parse("totem {\n a = 1\n}", "f").unbalanced


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", "a"), ("", '""'), (" a", '" a"'), ("a\nb", "a\\nb"), ("\udce9", "\\udce9")],
)
def test_shown_when_text_is_odd_then_it_is_printable(text: str, expected: str) -> None:
    assert shown(text) == expected
    shown(text).encode("utf-8")


def test_shown_when_text_is_long_then_it_is_cut() -> None:
    assert len(shown("x" * 500)) == 63
