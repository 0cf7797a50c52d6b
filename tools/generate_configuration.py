"""docs/reference/configuration.md from the schema table of the configuration.

Usage: generate_configuration.py [--check]
"""

import sys
from pathlib import Path

from unisono.config import schema

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference" / "configuration.md"
HEAD = """\
<!-- Written by tools/generate_configuration.py from the schema; do not edit. -->
# Configuration

`unisonod` reads `corosync.conf` as Corosync does; see corosync.conf(5). Every key it knows is here,
with its default and what it accepts; the last words say where a key has no effect yet.

"""


def main() -> int:
    text = HEAD + schema.as_markdown().rstrip() + "\n"
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print(f"{TARGET.relative_to(ROOT)} is not current: python tools/generate_configuration.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
