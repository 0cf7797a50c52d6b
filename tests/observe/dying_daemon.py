"""A process that records 50,000 times a second until it is killed, for test_keeper.py.

python dying_daemon.py DIRECTORY COUNTER_FILE: prints its keeper's pid when both run; the counter
file always has the number that was recorded last.
"""

import mmap
import resource
import struct
import sys
import time
from pathlib import Path

from unisono.observe.keeper import Keeper
from unisono.observe.recorder import Recorder

BURST = 50
BURST_SECONDS = 0.001
TEXT_EVERY = 100
MARK = 211


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    recorder = Recorder(3)
    keeper = Keeper(Path(sys.argv[1]))
    if not (recorder.open() and keeper.start(recorder)):
        sys.exit("no recorder or no keeper")
    with open(sys.argv[2], "r+b") as file:
        counter = mmap.mmap(file.fileno(), 8)
    recorder.catch_fatal_signals()
    print(keeper.pid, flush=True)
    number = 0
    due = time.monotonic()
    while True:
        for _ in range(BURST):
            number += 1
            recorder.record(MARK, 3, number, "text" if number % TEXT_EVERY == 0 else "")
            struct.pack_into("<Q", counter, 0, number)
        due += BURST_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
