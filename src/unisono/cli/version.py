"""`unisono version`: the installed version, and nothing else touched."""

from collections.abc import Sequence
from importlib.metadata import version


def run(_arguments: Sequence[str]) -> int:
    """Print the version."""
    print(f"unisono {version('unisono')}")
    return 0
