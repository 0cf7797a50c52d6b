"""docs/reference/properties.md from the checkers: what each judges, and the planted bugs it caught.

Usage: generate_properties.py [--check]
"""

import json
import re
import sys
from pathlib import Path

from unisono.sim.checkers import Checker, all_checkers

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference" / "properties.md"
CAUGHT = ROOT / "tests" / "mutants" / "results.json"

HEAD = """\
<!-- Written by tools/generate_properties.py from the checkers; do not edit. -->
# Properties

What the simulator demands of every run. A checker sees the merged trace of all nodes, never the
inside of a machine, and ends the run with the first violation. P1 to P23 are the guarantees of
extended virtual synchrony (Moser, Amir, Melliar-Smith, Agarwal: *Extended Virtual Synchrony*,
ICDCS 1994) and of the ring that provides them (Amir et al.: *The Totem Single-Ring Ordering and
Membership Protocol*, ACM TOCS 1995), the others those of the services above it and of the secure
transport below it.

The checkers are in `src/unisono/sim/checkers`, one file each. To end a run is also the right of
three that need no file: an exception that escapes a machine, a livelock, and a client that gets a
wrong answer.

"""


def caught() -> dict[str, list[str]]:
    """The planted bugs by the name of the checker that noticed them; empty when nobody looked."""
    if not CAUGHT.exists():
        return {}
    bugs: dict[str, list[str]] = {}
    for entry in json.loads(CAUGHT.read_text()):
        bugs.setdefault(entry["checker"], []).append(f"{entry['mutant']} ({entry['seed']})")
    return bugs


def rank(number: str) -> tuple[bool, int, str]:
    """Numbered properties first, by number."""
    found = re.fullmatch(r"P(\d+)", number)
    return (found is None, int(found[1]) if found else 0, number)


def rows(checkers: list[Checker]) -> list[list[str]]:
    """Number, property, checker's file; then its bugs, once anybody has looked for any."""
    bugs = caught()
    table = []
    for checker in checkers:
        file = type(checker).__module__.rpartition(".")[2]
        for number, text in checker.properties:
            row = [number, text, f"`{file}`"]
            if bugs:
                row.append(", ".join(sorted(bugs.get(checker.name, []))))
            table.append(row)
    return sorted(table, key=lambda row: rank(row[0]))


def page() -> str:
    """The whole page."""
    head = ["", "property", "checker"]
    if caught():
        head.append("planted bugs that it caught (at seed)")
    table = [head, ["---"] * len(head), *rows(all_checkers())]
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in table)


def main() -> int:
    text = page()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print(f"{TARGET.relative_to(ROOT)} is not current: python tools/generate_properties.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
