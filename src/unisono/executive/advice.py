"""Advice: what an administrator can do about a file system that refuses.

Keeps:       a few words for each reason that has a remedy; nothing for the others.
"""

import errno
from typing import Final

_REMEDIES: Final = {
    errno.ENOENT: "create its directory",
    errno.ENOTDIR: "create its directory",
    errno.ENOSPC: "make room on its file system",
    errno.EDQUOT: "make room on its file system",
    errno.EROFS: "make its file system writable",
    errno.EACCES: "let the user of the daemon write there",
    errno.EPERM: "let the user of the daemon write there",
}


def reason(error: OSError) -> str:
    """Why it is refused, and what to do."""
    remedy = _REMEDIES.get(error.errno or 0)
    text = error.strerror or str(error)
    return f"{text}; {remedy}" if remedy else text
