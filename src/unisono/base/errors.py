"""Errors as data: one table of code, name, certainty and text; exceptions and tools come from it.

Counterpart: corosync include/corosync/corotypes.h, cs_error_t.
Keeps:       `definite` says whether the operation certainly did not happen.
"""

from enum import IntEnum
from typing import Final, NamedTuple


class CsError(IntEnum):
    """cs_error_t."""

    OK = 1
    LIBRARY = 2
    VERSION = 3
    INIT = 4
    TIMEOUT = 5
    TRY_AGAIN = 6
    INVALID_PARAM = 7
    NO_MEMORY = 8
    BAD_HANDLE = 9
    BUSY = 10
    ACCESS = 11
    NOT_EXIST = 12
    NAME_TOO_LONG = 13
    EXIST = 14
    NO_SPACE = 15
    INTERRUPT = 16
    NAME_NOT_FOUND = 17
    NO_RESOURCES = 18
    NOT_SUPPORTED = 19
    BAD_OPERATION = 20
    FAILED_OPERATION = 21
    MESSAGE_ERROR = 22
    QUEUE_FULL = 23
    QUEUE_NOT_AVAILABLE = 24
    BAD_FLAGS = 25
    TOO_BIG = 26
    NO_SECTIONS = 27
    CONTEXT_NOT_FOUND = 28
    TOO_MANY_GROUPS = 30
    SECURITY = 100


class ErrorRow(NamedTuple):
    """One row of the table: `definite` is True when the operation certainly did not happen."""

    definite: bool
    text: str


ERRORS: Final[dict[CsError, ErrorRow]] = {
    CsError.OK: ErrorRow(False, "the operation succeeded"),
    CsError.LIBRARY: ErrorRow(
        False, "the daemon cannot be reached, or the connection to it was lost"
    ),
    CsError.VERSION: ErrorRow(True, "the two sides do not speak a common version"),
    CsError.INIT: ErrorRow(True, "initialisation failed"),
    CsError.TIMEOUT: ErrorRow(False, "no answer came in time"),
    CsError.TRY_AGAIN: ErrorRow(True, "the daemon is busy or the ring is changing; try again"),
    CsError.INVALID_PARAM: ErrorRow(True, "a parameter is not valid"),
    CsError.NO_MEMORY: ErrorRow(True, "out of memory"),
    CsError.BAD_HANDLE: ErrorRow(True, "the handle is not (or no longer) valid"),
    CsError.BUSY: ErrorRow(True, "another operation is in progress"),
    CsError.ACCESS: ErrorRow(True, "this user may not do that"),
    CsError.NOT_EXIST: ErrorRow(True, "it does not exist"),
    CsError.NAME_TOO_LONG: ErrorRow(True, "the name is too long"),
    CsError.EXIST: ErrorRow(True, "it exists already"),
    CsError.NO_SPACE: ErrorRow(True, "no space is left"),
    CsError.INTERRUPT: ErrorRow(False, "the operation was interrupted by a membership change"),
    CsError.NAME_NOT_FOUND: ErrorRow(True, "the name was not found"),
    CsError.NO_RESOURCES: ErrorRow(True, "not enough resources"),
    CsError.NOT_SUPPORTED: ErrorRow(True, "not supported"),
    CsError.BAD_OPERATION: ErrorRow(True, "the operation is not allowed now"),
    CsError.FAILED_OPERATION: ErrorRow(False, "the operation failed"),
    CsError.MESSAGE_ERROR: ErrorRow(False, "a message was damaged"),
    CsError.QUEUE_FULL: ErrorRow(True, "the queue is full"),
    CsError.QUEUE_NOT_AVAILABLE: ErrorRow(True, "the queue is not available"),
    CsError.BAD_FLAGS: ErrorRow(True, "the flags are not valid"),
    CsError.TOO_BIG: ErrorRow(True, "the message is too large"),
    CsError.NO_SECTIONS: ErrorRow(True, "there are no more entries"),
    CsError.CONTEXT_NOT_FOUND: ErrorRow(True, "the context was not found"),
    CsError.TOO_MANY_GROUPS: ErrorRow(True, "there are too many groups"),
    CsError.SECURITY: ErrorRow(True, "a security check failed"),
}


class UnisonoError(Exception):
    """Root of every exception that this package raises on purpose."""


class WireError(UnisonoError):
    """The peer's bytes are wrong: count, mark, drop, go on."""


class UsageError(UnisonoError):
    """Our caller is wrong; the text says what to do instead."""


class ConfigError(UnisonoError):
    """The configuration is wrong; the text names place, key, what was found, what is allowed."""


class ClusterError(UnisonoError):
    """An operation on the cluster failed with a cs_error_t; `definite` as in the table."""

    def __init__(self, code: CsError, what: str = "") -> None:
        row = ERRORS[code]
        super().__init__(f"{what + ': ' if what else ''}{row.text} ({code.name})")
        self.code = code
        self.definite = row.definite


class ConnectionLost(ClusterError):
    """The local daemon went away."""

    def __init__(self, what: str = "") -> None:
        super().__init__(CsError.LIBRARY, what)
