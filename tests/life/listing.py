"""What exists: files, processes, descriptors, nameless memory, sockets; to compare twice."""

import os
import re
import stat
from pathlib import Path

PLACES = ("/tmp", "/dev/shm", "/run", "/var/lib/corosync")
_MEMFD = re.compile(r"/memfd:[^ ]+")


def files(*directories: str) -> dict[str, str]:
    """Each file below these directories, by path: its kind, size and where a link leads."""
    found = {}
    for directory in directories or PLACES:
        for parent, names, others in os.walk(directory):
            for name in (*names, *others):
                path = os.path.join(parent, name)
                try:
                    about = os.lstat(path)
                    leads = os.readlink(path) if stat.S_ISLNK(about.st_mode) else ""
                except FileNotFoundError:
                    continue
                size = 0 if stat.S_ISDIR(about.st_mode) else about.st_size
                found[path] = f"{stat.filemode(about.st_mode)} {about.st_uid} {size} {leads}"
            names[:] = [name for name in names if not os.path.ismount(os.path.join(parent, name))]
    return found


def processes() -> dict[int, str]:
    """Every process on this island, by pid."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                found[int(entry)] = Path(f"/proc/{entry}/comm").read_text().strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def descriptors(pid: int | str = "self") -> list[str]:
    """What a process has open."""
    found = []
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
        except FileNotFoundError:
            continue
    return sorted(re.sub(r"\d{3,}", "N", each) for each in found)


def nameless_memory() -> list[str]:
    """Every memfd that a process on this island holds."""
    found = []
    for pid in processes():
        try:
            found += _MEMFD.findall(" ".join(descriptors(pid)))
            found += _MEMFD.findall(Path(f"/proc/{pid}/maps").read_text())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return sorted(found)


def sockets() -> int:
    """Unix sockets in this network namespace."""
    return len(Path("/proc/net/unix").read_text().splitlines()) - 1


def everything() -> dict[str, object]:
    """All of it, with as little as possible that changes by itself."""
    return {
        "files": files(),
        "processes": {str(pid): name for pid, name in processes().items()},
        "descriptors": descriptors(),
        "maps": len(Path("/proc/self/maps").read_text().splitlines()),
        "memory": nameless_memory(),
        "sockets": sockets(),
        "semaphores": Path("/proc/sysvipc/sem").read_text(),
        "segments": Path("/proc/sysvipc/shm").read_text(),
        "keys": len(Path("/proc/keys").read_text().splitlines()),
    }
