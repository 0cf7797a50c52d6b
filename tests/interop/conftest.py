"""Laboratory fixture: builds rings of real daemons, and says why when this machine cannot."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.lab import Lab

TOOLS = ("corosync", "gcc", "ip", "nft", "nsenter", "setpriv", "unshare")
CPG_HEADER = Path("/usr/include/corosync/cpg.h")


@pytest.fixture
def laboratory() -> Iterator[Callable[..., Lab]]:
    """Makes laboratories; each is taken down when the test ends."""
    lacking = [tool for tool in TOOLS if not shutil.which(tool)]
    if lacking or not CPG_HEADER.exists():
        pytest.skip(f"make setup as root; not installed: {lacking or 'libcpg-dev'}")
    with ExitStack() as stack:
        yield lambda *args, **keywords: stack.enter_context(Lab(*args, **keywords))
