"""This host, as the configuration asks about it: names, addresses, users.

Counterpart: getaddrinfo(3), getpwnam(3), getgrnam(3), uname(2).
Keeps:       `unisono.config.hosts` stays free of input and output; these are its answers.
"""

import grp
import os
import pwd
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from unisono.linux.interfaces import local_addresses

UIDGID_FILES_MAX: Final = 1_024
"""Files of uidgid.d that are read (ours)."""
_FAMILIES: Final = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


class SystemResolver:
    """Answers from the system's databases."""

    def resolve(self, name: str, ip_version: str) -> Sequence[str]:
        """Numeric addresses of a host, best first; OSError when it is unknown."""
        family = _FAMILIES.get(ip_version, socket.AF_UNSPEC)
        found = socket.getaddrinfo(name, None, family, socket.SOCK_DGRAM)
        return [str(entry[4][0]) for entry in found]

    def user(self, name: str) -> int | None:
        """Number of a user, None when there is none of that name."""
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            return None

    def group(self, name: str) -> int | None:
        """Number of a group, None when there is none of that name."""
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            return None


class ThisHost:
    """The machine that the daemon runs on; `node_id` as told on the command line."""

    __slots__ = ("addresses", "names", "node_id")

    def __init__(self, node_id: int | None = None) -> None:
        """OSError when the kernel does not list its addresses."""
        self.node_id = node_id
        self.names: Sequence[str] = (os.uname().nodename,)
        self.addresses: Sequence[str] = [
            f"{entry.address}/{entry.prefix_length}" for entry in local_addresses()
        ]


def read_uidgid_files(config_file: str) -> list[tuple[str, str]]:
    """Name and text of each regular file in uidgid.d beside the configuration; unreadable: none."""
    found = []
    try:
        names = sorted(Path(config_file).resolve().parent.joinpath("uidgid.d").iterdir())
    except OSError:
        return []
    for path in names[:UIDGID_FILES_MAX]:
        try:
            if path.is_file():
                found.append((str(path), path.read_text(errors="surrogateescape")))
        except OSError:
            continue
    return found
