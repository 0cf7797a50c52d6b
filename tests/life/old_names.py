"""Old names: every name in a shared directory that a recorder with a pid in it could want.

Counterpart: libqb lib/ringbuffer.c, lib/log_blackbox.c: /dev/shm/qb-PROGRAM-PID-blackbox-header.
"""

import os
from collections.abc import Sequence

from tests.life import listing
from tests.life.island import NOBODY

PROGRAMS = ("corosync", "unisonod", "unisono", "python3")
KINDS = ("file", "link", "directory", "pipe")
HEADERS = "/dev/shm/qb-{program}-{pid}-blackbox-header"
"""With these alone libqb 2.0.6 puts header and data into different directories."""
FORMS = (
    HEADERS,
    "/dev/shm/qb-{program}-{pid}-blackbox-data",
    "/dev/shm/{program}-{pid}",
    "/tmp/qb-{program}-{pid}-blackbox-header",
    "/tmp/qb-{program}-{pid}-blackbox-data",
    "/tmp/{program}-{pid}",
)
VICTIM = "/run/victim"
"""Where the links lead."""


def occupy(kind: str, pids: int, forms: Sequence[str] = FORMS) -> dict[str, str]:
    """Take them all, for each pid up to `pids`, as a user without rights; what is there then."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        for form in forms:
            for program in PROGRAMS:
                for pid in range(pids + 1):
                    _make(kind, form.format(program=program, pid=pid))
    finally:
        os.seteuid(0)
        os.setegid(0)
    return listing.files("/dev/shm", "/tmp")


def _make(kind: str, path: str) -> None:
    match kind:
        case "file":
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o666))
        case "link":
            os.symlink(VICTIM, path)
        case "directory":
            os.mkdir(path)
        case "pipe":
            os.mkfifo(path)
