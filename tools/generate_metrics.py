"""docs/reference/metrics.md from the table of metrics.

Usage: generate_metrics.py [--check]
"""

import sys
from pathlib import Path

from unisono.observe.metric_table import SECTIONS
from unisono.observe.metrics import Family

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference" / "metrics.md"
HEAD = """\
<!-- Written by tools/generate_metrics.py from the table of metrics; do not edit. -->
# Metrics

What `unisono metrics` says, once on standard output or over HTTP; how Prometheus reads it stands on
[another page](../how-to/watch-with-prometheus.md). A name, its labels and its unit stay what
they are. Counters begin anew with the daemon, those of a log target with that target.

The last column is where the number stands in the [status](status.md), which has it as it is unless
the unit says otherwise: true is 1, a list or an object counts how much is in it, a text becomes the
label of a 1 or is 1 unless it is empty. What the status does not have yet, or not with this
transport, has no sample.

"""
COLUMNS = "| name | kind | labels | meaning | status |\n|---|---|---|---|---|\n"


def row(family: Family) -> str:
    """One line of a table; a bar would end its cell, and no source has one."""
    labels = ", ".join(f"`{label}`" for label in family.labels)
    source = f"`{family.source}`" if family.source else ""
    cells = (f"`{family.name}`", family.kind.value, labels, family.help, source)
    return f"| {' | '.join(cells)} |\n"


def page() -> str:
    """The whole page."""
    text = HEAD
    for title, families in SECTIONS.items():
        text += (
            f"## {title}\n\n| name | kind | labels | meaning | status |\n|---|---|---|---|---|\n"
        )
        text += "".join(row(family) for family in families) + "\n"
    return text.rstrip() + "\n"


def main() -> int:
    text = page()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print(f"{TARGET.relative_to(ROOT)} is not current: python tools/generate_metrics.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
