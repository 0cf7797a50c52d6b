"""The program `unisonod`, and `python -m unisono.executive`.

Keeps:       who wants it to stop is heard also while it loads: Python now and then loses an
             interrupt that comes in the middle of an import, so it waits until all are done.
"""

import signal
import sys


def run() -> int:
    """Load and run the daemon; its exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM))
    from unisono.executive.main import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
