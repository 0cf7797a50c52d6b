"""docs/reference/configuration.md from the schema table of the configuration.

Usage: generate_configuration.py [--check]
"""

import sys
from pathlib import Path

from unisono.config import schema
from unisono.config.changes import reloadable

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference" / "configuration.md"
HEAD = """\
<!-- Written by tools/generate_configuration.py from the schema; do not edit. -->
# Configuration

`unisonod` reads `corosync.conf` as Corosync does; see corosync.conf(5). Every key it knows is here,
with its default and what it accepts; `status` says where a key has no effect yet. What has
a `yes` under `reload` changes while the daemon runs,
[when told](../how-to/change-the-configuration.md); the rest waits for the next start.

"""


def main() -> int:
    text = HEAD + schema.as_markdown(reloadable()).rstrip() + "\n"
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print(f"{TARGET.relative_to(ROOT)} is not current: python tools/generate_configuration.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
