"""Trace: what happened on all nodes, merged in virtual time, with a running hash.

Speaks:      records (`Booted`, `Sent`, `Delivered`, ...) to checkers, printers and the hash.
Keeps:       the trace is all that checkers may judge; its hash is equal for equal seeds.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from unisono.base.event import event
from unisono.base.ids import MS, NodeId

LAST_RECORDS_KEPT: Final = 400
"""Records kept for the report of a failure."""


class Process(NamedTuple):
    """One life of a node: a restarted daemon is another process."""

    node: NodeId
    life: int

    def __str__(self) -> str:
        return str(self.node) if self.life == 1 else f"{self.node}#{self.life}"


class Ring(NamedTuple):
    """A regular configuration. `epoch` counts how often its representative had lost its store:

    without a store a representative may give the same ring id again, which no checker may blame.
    """

    rep: NodeId
    seq: int
    epoch: int

    def __str__(self) -> str:
        return f"{self.rep}.{self.seq:x}" + ("'" * self.epoch)


class Member(NamedTuple):
    """A client process in a closed process group, as its peers see it."""

    node: NodeId
    pid: int

    def __str__(self) -> str:
        return f"{self.node}:{self.pid}"


def _list(numbers: tuple[object, ...]) -> str:
    return ",".join(map(str, numbers)) or "-"


@event
class Booted:
    """A daemon starts; `kept` tells whether it found its stored ring sequence."""

    time: int
    who: Process
    ring_seq: int
    kept: bool

    def __str__(self) -> str:
        return f"{self.who}: boot ring_seq={self.ring_seq}" + ("" if self.kept else " store lost")


@event
class Crashed:
    """A daemon is gone, at once or after a clean leave."""

    time: int
    who: Process
    clean: bool

    def __str__(self) -> str:
        return f"{self.who}: {'left' if self.clean else 'crash'}"


@event
class Sent:
    """The ring accepted a message. `key` names its group and content; equal contents, equal keys.

    `during_sync` tells which of the two send queues it entered.
    """

    time: int
    who: Process
    key: int
    safe: bool
    during_sync: bool

    def __str__(self) -> str:
        return (
            f"{self.who}: send {self.key:x}"
            f"{' safe' if self.safe else ''}{' sync' if self.during_sync else ''}"
        )


@event
class Delivered:
    """The ring delivered a message; `ring` is None when this process never installed that ring."""

    time: int
    who: Process
    origin: NodeId
    key: int
    ring: Ring | None
    seq: int

    def __str__(self) -> str:
        return f"{self.who}: deliver {self.key:x} from={self.origin} at {self.ring}/{self.seq}"


@event
class Installed:
    """A configuration was announced; for a transitional one `ring` is the regular one to come."""

    time: int
    who: Process
    regular: bool
    ring: Ring
    members: tuple[NodeId, ...]
    left: tuple[NodeId, ...]
    joined: tuple[NodeId, ...]

    def __str__(self) -> str:
        return (
            f"{self.who}: {'regular' if self.regular else 'transitional'} ring={self.ring}"
            f" members={_list(self.members)} left={_list(self.left)} joined={_list(self.joined)}"
        )


@event
class Synced:
    """The services above the ring agree again; `native` when all members are known as Unisono."""

    time: int
    who: Process
    native: bool

    def __str__(self) -> str:
        return f"{self.who}: synced{' native' if self.native else ''}"


@event
class Faulted:
    """The storm did something."""

    time: int
    what: str

    def __str__(self) -> str:
        return f"fault: {self.what}"


@event
class Calmed:
    """Every fault is over, every node runs; by `deadline` all must be well."""

    time: int
    deadline: int

    def __str__(self) -> str:
        return f"calm until {self.deadline / MS:.3f} ms"


@event
class Measured:
    """The length of a queue and its bound."""

    time: int
    who: Process
    what: str
    value: int
    bound: int

    def __str__(self) -> str:
        return f"{self.who}: {self.what} {self.value} of {self.bound}"


@event
class Ended:
    """The run is over."""

    time: int
    datagrams: int

    def __str__(self) -> str:
        return f"end after {self.datagrams} datagrams"


@event
class ClientStarted:
    """A client process begins and joins a group; `native` tells which door it uses."""

    time: int
    who: Process
    member: Member
    group: bytes
    native: bool

    def __str__(self) -> str:
        door = "native" if self.native else "libcpg"
        return f"{self.who}: client {self.member} starts {door} for {self.group.decode()}"


@event
class ClientEnded:
    """A client process is gone; `died` when it did not say goodbye."""

    time: int
    who: Process
    member: Member
    group: bytes
    died: bool

    def __str__(self) -> str:
        return f"{self.who}: client {self.member} {'dies' if self.died else 'ends'}"


@event
class GroupSent:
    """The daemon took a client's message for a group."""

    time: int
    who: Process
    member: Member
    group: bytes
    key: int
    safe: bool

    def __str__(self) -> str:
        return f"{self.who}: client {self.member} sends {self.key:x} to {self.group.decode()}"


@event
class GroupDelivered:
    """A client received a group's message."""

    time: int
    who: Process
    member: Member
    group: bytes
    sender: Member
    key: int

    def __str__(self) -> str:
        return (
            f"{self.who}: client {self.member} gets {self.key:x}"
            f" from={self.sender} in {self.group.decode()}"
        )


@event
class GroupViewed:
    """A client was told who is in its group; joined and left with libcpg's reasons."""

    time: int
    who: Process
    member: Member
    group: bytes
    members: tuple[Member, ...]
    joined: tuple[tuple[Member, int], ...]
    left: tuple[tuple[Member, int], ...]

    def __str__(self) -> str:
        joined = _list(tuple(f"{m}({r})" for m, r in self.joined))
        left = _list(tuple(f"{m}({r})" for m, r in self.left))
        return (
            f"{self.who}: client {self.member} view of {self.group.decode()}"
            f" members={_list(self.members)} joined={joined} left={left}"
        )


Record: TypeAlias = (
    Booted
    | Crashed
    | Sent
    | Delivered
    | Installed
    | Synced
    | Faulted
    | Calmed
    | Measured
    | Ended
    | ClientStarted
    | ClientEnded
    | GroupSent
    | GroupDelivered
    | GroupViewed
)

Listener: TypeAlias = Callable[[Any], None]


class Trace:
    """Takes records in order: hashes each, keeps the last few, tells the listeners of its type."""

    __slots__ = ("_hash", "_listeners", "_watchers", "counts", "last")

    def __init__(self) -> None:
        self.last: deque[Record] = deque(maxlen=LAST_RECORDS_KEPT)
        self.counts: dict[str, int] = {}
        self._hash = hashlib.blake2b(digest_size=16)
        self._listeners: dict[type, list[Listener]] = {}
        self._watchers: list[Listener] = []

    def listen(self, kind: type, listener: Listener) -> None:
        """Call `listener(record)` for each record of type `kind` from now on."""
        self._listeners.setdefault(kind, []).append(listener)

    def watch(self, watcher: Listener) -> None:
        """Call `watcher(record)` for each record, before the listeners."""
        self._watchers.append(watcher)

    def add(self, record: Record) -> None:
        """Append one record; whatever a listener raises passes through."""
        self._hash.update(b"%d %s\n" % (record.time, str(record).encode()))
        self.last.append(record)
        kind = type(record)
        self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1
        for watcher in self._watchers:
            watcher(record)
        for listener in self._listeners.get(kind, ()):
            listener(record)

    def hexdigest(self) -> str:
        """The hash of everything so far."""
        return self._hash.hexdigest()


def format_record(record: Record) -> str:
    """One line: virtual milliseconds, then what happened."""
    return f"{record.time / MS:12.6f}  {record}"
