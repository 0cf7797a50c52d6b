"""Starts a program again whenever it ends, as `Restart=always` of systemd.service(5) has it.

supervisor.py COMMAND...: for ever; the program ends with it.
"""

import subprocess
import sys
import time

RESTART_SECONDS = 0.1
"""RestartSec, as it is unless somebody configures it."""


def main() -> None:
    while True:
        subprocess.run(["setpriv", "--pdeathsig", "KILL", *sys.argv[1:]], check=False)
        time.sleep(RESTART_SECONDS)


if __name__ == "__main__":
    main()
