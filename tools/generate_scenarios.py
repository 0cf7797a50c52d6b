"""docs/reference/scenarios.md from the scenario files: what each shows and what it stands for.

Usage: generate_scenarios.py [--check]
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCENARIOS = ROOT / "tests" / "scenarios"
TARGET = ROOT / "docs" / "reference" / "scenarios.md"
ORIGIN = "Stands for:"

HEAD = """\
<!-- Written by tools/generate_scenarios.py from tests/scenarios; do not edit. -->
# Scenarios

Each file in `tests/scenarios` says in commands what happens to a cluster, and below each block
what the nodes made of it. The real ring and the real services run them in virtual time, and the
checkers of extended virtual synchrony judge each one as well.

Many stand for a fault that some system of this field has had: numbers with a hash are public
issues (`corosync#828` is issue 828 of corosync/corosync), commits are Corosync's; *flatiron*
(Corosync's cts/corotests.py), *csts* (jfriesse/csts) and *Pacemaker CTS* are the test suites whose
scenario it is.

"""


def comment(path: Path) -> tuple[str, str]:
    """What the scenario shows and what it stands for; SystemExit when it does not say."""
    lines = path.read_text().splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    text = " ".join(line.lstrip("# ") for line in lines[:end])
    shown, found, origin = text.partition(ORIGIN)
    if not found or not shown.strip() or not origin.strip():
        raise SystemExit(
            f"{path.relative_to(ROOT)}: begin with what is shown, then `# {ORIGIN} ...`"
        )
    return shown.strip(), origin.strip().rstrip(".")


def table() -> str:
    """One row for each file."""
    rows = ["| scenario | what is shown | stands for |", "|---|---|---|"]
    for path in sorted(SCENARIOS.glob("*.txt")):
        shown, origin = (text.replace("|", r"\|") for text in comment(path))
        rows.append(f"| `{path.stem}` | {shown} | {origin} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    text = HEAD + table()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print(f"{TARGET.relative_to(ROOT)} is not current: python tools/generate_scenarios.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
