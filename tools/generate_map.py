"""docs/map.md from the door plates: what each room is for and what each of its files says it is.

Usage: generate_map.py [--check]
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "unisono"
TARGET = ROOT / "docs" / "map.md"
PURE = {"totem", "services", "config", "crypto", "wire", "base"}
"""Rooms below the double line: no I/O, no clock, no dice."""

HEAD = """\
<!-- Written by tools/generate_map.py from the docstrings; do not edit. -->
# Map

A room imports only from rooms further down; rooms on one line do not import each other.
Rooms below the double line touch neither sockets nor clocks nor dice.

"""


def layers() -> list[list[str]]:
    """The rooms that exist, top line first, as the import contract in pyproject.toml has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    house = next(c for c in contracts["contracts"] if c["id"] == "house")
    lines = [[name.strip(" ()") for name in line.split("|")] for line in house["layers"]]
    existing = [[room for room in line if (SOURCE / room).is_dir()] for line in lines]
    return [line for line in existing if line]


def plate(path: Path) -> list[str]:
    """The lines of the docstring of a file; empty when it has none."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()


def sentence(lines: list[str]) -> str:
    """The first paragraph, on one line."""
    text = " ".join(lines).strip()
    if "" in lines:
        text = " ".join(lines[: lines.index("")]).strip()
    return text


def labels(lines: list[str]) -> Iterator[tuple[str, str]]:
    """(label, text) of each labelled line; continuation lines are joined."""
    label, text = "", ""
    for line in lines:
        head, colon, rest = line.partition(":")
        if colon and head.isalpha() and head in {"Speaks", "Counterpart", "Keeps", "Never"}:
            if label:
                yield label, text
            label, text = head, rest.strip()
        elif label and line.startswith(" "):
            text += " " + line.strip()
        elif label:
            yield label, text
            label = ""
    if label:
        yield label, text


def house(lines: list[list[str]]) -> str:
    """The drawing of the layers."""
    drawn, pure = [], False
    for line in lines:
        if not pure and PURE & set(line):
            drawn.append("=" * 32)
            pure = True
        drawn.append("   ".join(line))
    return "```text\n" + "\n".join(drawn) + "\n```\n"


def files(room: str) -> Iterator[str]:
    """One table row for each file of a room."""
    base = SOURCE / room
    for path in sorted(base.rglob("*.py")):
        name = path.relative_to(base).as_posix()
        if name != "__init__.py" and (text := sentence(plate(path))):
            escaped = text.replace("|", r"\|")
            yield f"| `{name}` | {escaped} |"


def describe(room: str) -> str:
    """The section about one room."""
    lines = plate(SOURCE / room / "__init__.py")
    parts = [f"## {room}\n", sentence(lines) + "\n"]
    if rows := [f"* *{label}*: {text}" for label, text in labels(lines)]:
        parts.append("\n".join(rows) + "\n")
    if table := list(files(room)):
        parts.append("\n".join(["| file | what it is |", "|---|---|", *table]) + "\n")
    return "\n".join(parts)


def main() -> int:
    lines = layers()
    rooms = [room for line in lines for room in line]
    text = HEAD + "\n".join([house(lines), *map(describe, rooms)])
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print(f"{TARGET.relative_to(ROOT)} is not current: python tools/generate_map.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
