"""docs/reference/flight-recorder-requirements.md from tests/requirements.py and the tests' names.

Usage: generate_requirements.py [--check]
"""

import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference" / "flight-recorder-requirements.md"
sys.path.insert(0, str(ROOT))

from tests.requirements import REQUIREMENTS, shown_by  # noqa: E402  not installed: found by its path

HEAD = """\
<!-- Written by tools/generate_requirements.py from tests/requirements.py; do not edit. -->
# Requirements of the flight recorder

What must never happen to a daemon because another one, or a tool, is started beside it, and what
its recorder is good for when it dies. Each has its tests, whose names carry its number; a run of
the suite ends with a table of what was shown. Most of them run in namespaces, as root.

"""


def cell(places: list[str]) -> str:
    """Names of tests, by file."""
    parts = []
    for file, group in groupby(sorted(places), key=lambda place: place.partition(": ")[0]):
        names = ", ".join(f"`{place.partition(': ')[2]}`" for place in group)
        parts.append(f"{file}: {names}")
    return "; ".join(parts)


def page() -> str:
    """The whole page."""
    lines = ["| | requirement | tests |", "|---|---|---|"]
    found = shown_by()
    for number, sentence in REQUIREMENTS.items():
        lines.append(f"| BB{number} | {sentence} | {cell(found.get(number, []))} |")
    return HEAD + "\n".join(lines) + "\n"


def main() -> int:
    text = page()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print(f"{TARGET.relative_to(ROOT)} is not current: python tools/generate_requirements.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
