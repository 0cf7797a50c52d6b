"""Spawning: a small Python of our own, with given descriptors and nothing else of ours.

Speaks:      posix_spawn(3), setsid(2), pidfd_open(2), waitid(2).
Keeps:       the new process has its own session: no terminal's signal reaches it; signals that
             would end it politely are blocked from its first instruction on.
"""

import fcntl
import os
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

FIRST: Final = 3
"""Where the given descriptors begin in the new process."""
_OUT_OF_THE_WAY: Final = 64
_POLITE: Final = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGALRM,
)  # fmt: skip
_BOOTSTRAP: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from importlib import import_module; import_module(sys.argv[2]).main()"
)


def spawn_module(module: str, descriptors: Sequence[int]) -> int:
    """Run `module`.main() in a new process, `descriptors` at 3, 4 and so on; its pid. OSError.

    The interpreter reads neither site directories nor the environment, which is empty.
    """
    root = str(Path(__file__).resolve().parents[2])
    # Copies far above the places: no copy is overwritten before it has been put into its own.
    copies: list[int] = []
    try:
        for descriptor in descriptors:
            copies.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY))
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-B", "-c", _BOOTSTRAP, root, module],
            {},
            file_actions=[
                *((os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in range(3)),
                *((os.POSIX_SPAWN_DUP2, copy, FIRST + n) for n, copy in enumerate(copies)),
            ],
            setsid=True,
            setsigmask=_POLITE,
            setsigdef=[signal.SIGPIPE],
        )
    finally:
        for copy in copies:
            os.close(copy)


def end_child(pid: int, patience_seconds: float) -> None:
    """Wait for a child to end, kill it when it does not, and leave no zombie."""
    with suppress(ProcessLookupError, ChildProcessError):
        watch = os.pidfd_open(pid)
        try:
            # Somebody else may have waited for it, and its number be a stranger's by now.
            os.waitid(os.P_PIDFD, watch, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            if not poll.poll(patience_seconds * 1000):
                signal.pidfd_send_signal(watch, signal.SIGKILL)
            os.waitid(os.P_PIDFD, watch, os.WEXITED)
        finally:
            os.close(watch)
