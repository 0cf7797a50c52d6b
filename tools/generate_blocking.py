"""Make the blocking client from the asyncio one: take out `async` and `await`, rename, format.

    python tools/generate_blocking.py            write src/unisono/blocking/
    python tools/generate_blocking.py --check    exit 1 if what is there is stale

The syntax tree says where to edit; the text around is kept, comments too.
"""

import argparse
import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src/unisono/aio"
TARGET = ROOT / "src/unisono/blocking"
FILES = ("session.py", "group.py", "node.py")
HEADER = "# Generated from src/unisono/aio/{name} by tools/generate_blocking.py: edit that file.\n"
NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "AsyncGenerator": "Generator",
    "AsyncIterator": "Iterator",
    "aio": "blocking",
}
WORDS = {
    "`async with unisono.": "`with unisono.blocking.",
    "`async with": "`with",
    "`async for": "`for",
    "`await ": "`",
    "Several tasks may send; one should": "Several threads may send; one should",
    "at the end of this turn of the loop": "at once",
    "Messages of one turn travel together. ": "",
}
"""Prose in docstrings and messages that is only true of asyncio."""


class Edits(ast.NodeVisitor):
    """Where a keyword of asynchronous Python stands: (line, column, keyword)."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int, str]] = []

    def _asynchronous(self, node: ast.stmt) -> None:
        self.found.append((node.lineno, node.col_offset, "async"))
        self.generic_visit(node)

    visit_AsyncFunctionDef = _asynchronous  # noqa: N815  ast calls the visitors
    visit_AsyncFor = _asynchronous  # noqa: N815  ast calls the visitors
    visit_AsyncWith = _asynchronous  # noqa: N815  ast calls the visitors

    def visit_Await(self, node: ast.Await) -> None:
        self.found.append((node.lineno, node.col_offset, "await"))
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        if node.is_async:
            raise SystemExit(f"line {node.target.lineno}: no asynchronous comprehensions, please")
        self.generic_visit(node)


def without_keywords(source: str) -> str:
    """The source without `async` and `await`."""
    edits = Edits()
    edits.visit(ast.parse(source))
    lines = source.splitlines(keepends=True)
    for number, column, keyword in sorted(edits.found, reverse=True):
        line = lines[number - 1].encode()
        head, tail = line[:column].decode(), line[column:].decode()
        assert tail.startswith(keyword + " "), (number, tail)
        lines[number - 1] = head + tail.removeprefix(keyword + " ")
    return "".join(lines)


def renamed(source: str) -> str:
    """The source with its names as the blocking client has them."""
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for token in reversed(tokens):
        if token.type == tokenize.NAME and token.string in NAMES:
            row, start, end = token.start[0] - 1, token.start[1], token.end[1]
            lines[row] = lines[row][:start] + NAMES[token.string] + lines[row][end:]
    return "".join(lines)


def formatted(source: str, name: str) -> str:
    """The source as the repository's formatter has it."""
    command = [sys.executable, "-m", "ruff"]
    tidy = ["check", "--select", "I,F401,UP028", "--fix-only", "--unsafe-fixes", "-q"]
    for step in (tidy, ["format", "-q"]):
        call = [*command, *step, "--stdin-filename", str(TARGET / name), "-"]
        source = subprocess.run(
            call, input=source, capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
    return source


def generate(name: str) -> str:
    """The blocking twin of a file of unisono.aio."""
    source = renamed(without_keywords((SOURCE / name).read_text()))
    for asynchronous, blocking in WORDS.items():
        source = source.replace(asynchronous, blocking)
    return formatted(HEADER.format(name=name) + source, name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, do not write")
    check = parser.parse_args().check
    stale = []
    for name in FILES:
        target, wanted = TARGET / name, generate(name)
        if not target.exists() or target.read_text() != wanted:
            stale.append(str(target.relative_to(ROOT)))
            if not check:
                target.write_text(wanted)
    for path in stale:
        print(f"{path}: {'is not what its source makes' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
