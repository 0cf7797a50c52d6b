# Generated from src/unisono/aio/node.py by tools/generate_blocking.py: edit that file.
"""The local daemon as a program sees it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from unisono.base.errors import ClusterError, ConnectionLost, CsError, UsageError, WireError
from unisono.base.ids import NodeId
from unisono.blocking.backend import Connection, now
from unisono.blocking.group import Group
from unisono.blocking.session import open_session, until
from unisono.client.core import Answer, Core, cs_error
from unisono.client.discovery import find_instance, read_protocol
from unisono.client.values import Member

TIMEOUT_SECONDS: Final = 15.0
Question: TypeAlias = Callable[[Core], int]


def connect(
    instance: str | os.PathLike[str] | None = None,
    *,
    protocol: str = "auto",
    reconnect: bool = False,
    timeout: float = TIMEOUT_SECONDS,
) -> Node:
    """The local daemon, to be opened by `with`.

    `instance`: its directory (default: UNISONO_INSTANCE, else the machine's daemon). `protocol`:
    "native" (our daemon), "qb" (Corosync too), or "auto". `reconnect`: find a lost daemon again
    and report a `Gap`. `timeout`: seconds for connecting, joining, leaving and questions.
    """
    return Node(instance, protocol=protocol, reconnect=reconnect, timeout=timeout)


class Node:
    """A connection to the local daemon, and the groups opened through it."""

    __slots__ = (
        "_connection",
        "_directory",
        "_protocol",
        "groups",
        "reconnect",
        "timeout",
    )

    def __init__(
        self,
        instance: str | os.PathLike[str] | None,
        *,
        protocol: str,
        reconnect: bool,
        timeout: float,
    ) -> None:
        self._directory = find_instance(instance)
        self._protocol = read_protocol(protocol)
        self._connection: Connection | None = None
        self.reconnect = reconnect
        self.timeout = timeout
        self.groups: set[Group] = set()
        """Groups that are joined through this object."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connect; ConnectionLost when there is no daemon, ClusterError when it refuses."""
        if self._connection is not None:
            raise UsageError("open already")
        self._connection = self.open_connection(now() + self.timeout)

    def close(self) -> None:
        """Close the connection, and each group that is still joined."""
        # By name: the daemon hears of equal courses of events in equal order.
        for group in sorted(self.groups, key=lambda group: group.name):
            group.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def node_id(self) -> NodeId:
        """The id of the local node."""
        return self._opened.core.me.node_id

    @property
    def protocol(self) -> str:
        """How this object speaks to the daemon: "native" or "qb" ("auto" before it is open)."""
        return self._protocol.value

    def group(self, name: str | bytes, *, rings: bool = False) -> Group:
        """A group by name (text is UTF-8, at most 128 bytes), not joined yet.

        With `rings` its events include changes of the ring of daemons below.
        """
        return Group(self, name.encode() if isinstance(name, str) else name, rings=rings)

    def members(self, group: str | bytes) -> tuple[Member, ...]:
        """The members of any group, as the local daemon knows them now."""
        name = group.encode() if isinstance(group, str) else group
        connection, answer = self._ask(lambda core: core.ask_members(name))
        return connection.core.read_members(answer.body)

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself; ClusterError NOT_SUPPORTED over libqb."""
        _, answer = self._ask(lambda core: core.ask_status())
        try:
            status = json.loads(answer.body)
        except ValueError as reason:
            raise WireError(f"the daemon's status is not JSON: {reason}") from reason
        return dict(status)

    def open_connection(self, deadline: float) -> Connection:
        """A further connection to the same daemon, greeted: one for each group."""
        connection, self._protocol = open_session(self._directory, self._protocol, deadline)
        return connection

    @property
    def _opened(self) -> Connection:
        if self._connection is None:
            raise UsageError("not open: use `with unisono.blocking.connect() as node`")
        return self._connection

    def _ask(self, question: Question) -> tuple[Connection, Answer]:
        deadline = now() + self.timeout
        connection = self._opened
        try:
            return connection, _ask_once(connection, question, deadline)
        except ConnectionLost:
            if not self.reconnect:
                raise
        connection.close()
        self._connection = connection = self.open_connection(deadline)
        return connection, _ask_once(connection, question, deadline)


def _ask_once(connection: Connection, question: Question, deadline: float) -> Answer:
    core = connection.core
    core.check()
    number = connection.order(lambda: question(core))
    try:
        connection.flush(deadline)
        until(connection, lambda: core.has_answer(number), deadline)
    finally:
        answer = core.forget(number)
    assert answer is not None
    if answer.error != CsError.OK:
        raise ClusterError(cs_error(answer.error))
    return answer
