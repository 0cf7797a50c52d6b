"""Life of a process: what tells it from every other one that had or will have its number.

Speaks:      /proc/sys/kernel/random/boot_id, /proc/PID/stat (proc(5)).
Keeps:       what /proc does not tell is answered with zeros: a container may hide it.
"""

from pathlib import Path
from typing import Final

BOOT_ID_BYTES: Final = 16
_START_FIELD: Final = 22
_FIELDS_BEFORE_STATE: Final = 2


def boot_id() -> bytes:
    """16 bytes that the kernel drew when this host was started."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
        found = bytes.fromhex(text.strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(BOOT_ID_BYTES)
    return found if len(found) == BOOT_ID_BYTES else bytes(BOOT_ID_BYTES)


def start_ticks(pid: int) -> int:
    """When the process was started, in clock ticks since boot."""
    try:
        # The second field is the program's name in brackets, and may hold blanks and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[_START_FIELD - _FIELDS_BEFORE_STATE - 1])
    except (OSError, ValueError, IndexError):
        return 0
