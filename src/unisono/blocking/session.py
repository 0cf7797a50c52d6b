# Generated from src/unisono/aio/session.py by tools/generate_blocking.py: edit that file.
"""Opening a connection to the local daemon, and insisting while it is busy."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from unisono.base.errors import ClusterError, ConnectionLost, CsError
from unisono.blocking.backend import Connection, now, open_native, open_qb, sleep
from unisono.client.core import State
from unisono.client.discovery import Protocol, cpg_endpoint, native_endpoint

_BUSY: Final = (CsError.TRY_AGAIN, CsError.BUSY)
"""Refusals that pass by themselves: the ring is forming, or a queue is full."""
_RETRY_SECONDS: Final = 0.05


def open_session(
    directory: Path | None, protocol: Protocol, deadline: float
) -> tuple[Connection, Protocol]:
    """A connection that was greeted, and the protocol that was found; waits for a busy daemon.

    ConnectionLost without a daemon; ClusterError ACCESS, SECURITY, VERSION, TIMEOUT, TRY_AGAIN.
    """
    while True:
        try:
            connection, found = _open(directory, protocol, deadline)
        except ClusterError as reason:
            if reason.code not in _BUSY or now() + _RETRY_SECONDS > deadline:
                raise
        else:
            try:
                _greet(connection, deadline)
            except ClusterError as reason:
                connection.close()
                if reason.code not in _BUSY or now() + _RETRY_SECONDS > deadline:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                return connection, found
        sleep(_RETRY_SECONDS)


def _open(
    directory: Path | None, protocol: Protocol, deadline: float
) -> tuple[Connection, Protocol]:
    missing = ""
    if protocol is not Protocol.QB:
        try:
            return open_native(native_endpoint(directory)), Protocol.NATIVE
        except ConnectionLost:
            if protocol is Protocol.NATIVE:
                raise
            missing = f"{native_endpoint(directory)}, "
    try:
        return open_qb(cpg_endpoint(directory), deadline), Protocol.QB
    except ConnectionLost as reason:
        what = f"no daemon at {missing}{cpg_endpoint(directory)}"
        raise ConnectionLost(what) from reason


def _greet(connection: Connection, deadline: float) -> None:
    connection.order(connection.core.greet)
    connection.flush(deadline)
    until(connection, lambda: connection.core.state is State.READY, deadline)


def until(connection: Connection, done: Callable[[], bool], deadline: float) -> None:
    """Wait until `done()`; ClusterError if the daemon refuses, TIMEOUT, ConnectionLost."""
    core = connection.core
    while True:
        seen = core.version
        if done():
            return
        if core.refused is not None:
            raise ClusterError(core.refused, core.name.decode(errors="replace"))
        core.check()
        connection.progress(seen, deadline)


def insist(
    connection: Connection, order: Callable[[], None], done: Callable[[], bool], deadline: float
) -> None:
    """Give the order, again while the daemon is busy, until it is done."""
    while True:
        connection.order(order)
        connection.flush(deadline)
        try:
            until(connection, done, deadline)
            return
        except ClusterError as reason:
            if reason.code not in _BUSY or now() + _RETRY_SECONDS > deadline:
                raise
        sleep(_RETRY_SECONDS)
