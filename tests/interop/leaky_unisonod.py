"""unisonod, but whatever it draws from the kernel's entropy is told to a file.

leaky_unisonod.py FILE ARGUMENT...      the arguments are unisonod's
"""

import os
import sys

FILE = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
DRAW = os.urandom


def leaking(size: int) -> bytes:
    drawn = DRAW(size)
    if size == 32:
        os.write(FILE, drawn)
    return drawn


os.urandom = leaking
sys.argv[1:2] = []

# Only now: whoever imports os.urandom by name must get the leaking one.
from unisono.executive.main import main  # noqa: E402  after the patch on purpose

sys.exit(main())
