"""Trace: what happened on all nodes, merged in virtual time, with a running hash.

Speaks:      records (`Booted`, `Sent`, `Delivered`, ...) to checkers, printers and the hash; facts
             (`TokenPassed`, `Heard`, ...) to those who listen to them, and to nobody else.
Keeps:       the trace is all that checkers may judge; its hash is equal for equal seeds.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

from unisono.base.event import event
from unisono.base.ids import MS, NodeId

LINES_HASHED_AT_ONCE: Final = 256
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
class Reconfigured:
    """A process goes on with other settings."""

    time: int
    who: Process
    what: str

    def __str__(self) -> str:
        return f"{self.who}: {self.what}"


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
    | Reconfigured
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


class TokenPassed(NamedTuple):
    """A process sent the token of `ring` on, or sent it once more; `rtr` counts its requests."""

    time: int
    who: Process
    ring: Ring
    token_seq: int
    seq: int
    aru: int
    rtr: int
    datagram: bytes


class Numbered(NamedTuple):
    """A process sent message `seq` of `ring`: its own for the first time, or anybody's again."""

    time: int
    who: Process
    ring: Ring
    seq: int
    datagram: bytes


class Heard(NamedTuple):
    """A process read these messages of the ring that it forms or is on, one after the other.

    It is told before the process passes the ring's token on, not at once.
    """

    who: Process
    ring: Ring
    seqs: list[int]


class RoundSent(NamedTuple):
    """A process said what ends its part of one round of the synchronisation of `ring`."""

    time: int
    who: Process
    ring: Ring


class RoundHeard(NamedTuple):
    """A process was delivered what `origin` says at the end of a round, about its current ring."""

    time: int
    who: Process
    ring: Ring
    origin: NodeId


class Voted(NamedTuple):
    """A process was delivered the votes of `origin`; `waits` and `claims` are flags of the node."""

    time: int
    who: Process
    origin: NodeId
    votes: int
    expected: int
    claims: bool
    """The origin says that it is quorate."""
    waits: bool
    """The origin still waits for all."""


class Verdict(NamedTuple):
    """What a process found about its partition at the end of a synchronisation."""

    time: int
    who: Process
    quorate: bool
    total: int
    expected: int
    quorum: int


class Idled(NamedTuple):
    """A calm cluster had nothing to do since `since`, and this came of it.

    `hold_ns` and `rest_ns` are the shortest times that a token stays somewhere in each turn: held
    for Corosync members, resting among Unisono members.
    """

    time: int
    since: int
    nodes: int
    datagrams: int
    marks: int
    hold_ns: int
    rest_ns: int
    merge_ns: int


class Weighed(NamedTuple):
    """Objects, and bytes in them, that a part of an idle process holds on to."""

    time: int
    who: Process
    part: str
    objects: int
    payload: int
    nodes: int
    groups: int
    clients: int
    """Client processes of the whole cluster; `groups` are those that they are in."""


class Said(NamedTuple):
    """A process gave the ring a message with this content."""

    time: int
    who: Process
    payload: bytes


class Secret(NamedTuple):
    """Bytes that nobody outside may ever see: what kind of key it is, and the key."""

    who: Process
    what: str
    key: bytes


class KeysHeld(NamedTuple):
    """The fingerprints of the authkeys with which a process accepts peers from now on."""

    time: int
    who: Process
    kids: frozenset[bytes]


class Sealed(NamedTuple):
    """A process sealed something under this key with this nonce."""

    time: int
    who: Process
    key: bytes
    nonce: bytes


class PacketSent(NamedTuple):
    """A process sent a packet of the secure transport over a link."""

    time: int
    who: Process
    target: NodeId
    link: int
    packet: bytes


class Entrusted(NamedTuple):
    """The ring gave the secure transport a frame for `target`, or for all (0)."""

    time: int
    who: Process
    target: NodeId
    frame: bytes


class Accepted(NamedTuple):
    """The secure transport gave the ring a frame as one of node `origin`.

    `seal` names key and nonce under which it came; empty when it came in more than one.
    """

    time: int
    who: Process
    origin: NodeId
    frame: bytes
    seal: bytes


class RolledBack(NamedTuple):
    """What a process knew of its peers is again what it was some time ago."""

    time: int
    who: Process
    noticed: bool
    """Whether the process knows of it."""


Fact: TypeAlias = (
    TokenPassed
    | Numbered
    | Heard
    | RoundSent
    | RoundHeard
    | Voted
    | Verdict
    | Idled
    | Weighed
    | Said
    | Secret
    | KeysHeld
    | Sealed
    | PacketSent
    | Entrusted
    | Accepted
    | RolledBack
)
"""What is too frequent or too intimate for a record: neither hashed, counted nor kept."""

Listener: TypeAlias = Callable[[Any], None]


class Observer(Protocol):
    """What listens to a trace."""

    def attach(self, trace: "Trace") -> None:
        """Begin to listen."""


_Observer = TypeVar("_Observer", bound=Observer)


class Trace:
    """Takes records in order: hashes each, keeps the last few, tells the listeners of its type."""

    __slots__ = ("_hash", "_lines", "_listeners", "_observers", "_watchers", "counts", "last")

    def __init__(self) -> None:
        self.last: deque[Record] = deque(maxlen=LAST_RECORDS_KEPT)
        self.counts: dict[str, int] = {}
        self._hash = hashlib.blake2b(digest_size=16)
        self._lines: list[str] = []
        """Not hashed yet."""
        self._observers: dict[type, object] = {}
        self._listeners: dict[type, list[Listener]] = {}
        self._watchers: list[Listener] = []

    def listen(self, kind: type, listener: Listener) -> None:
        """Call `listener(record)` for each record of type `kind` from now on."""
        self._listeners.setdefault(kind, []).append(listener)

    def watch(self, watcher: Listener) -> None:
        """Call `watcher(record)` for each record, before the listeners."""
        self._watchers.append(watcher)

    def observer(self, kind: type[_Observer]) -> _Observer:
        """The one observer of that class, made and set to work when it is asked for first.

        What several checkers want to know is found out once.
        """
        observer = self._observers.get(kind)
        if not isinstance(observer, kind):
            observer = self._observers[kind] = kind()
            observer.attach(self)
        return observer

    def _digest(self) -> None:
        self._hash.update("".join(self._lines).encode())
        self._lines.clear()

    def ears(self, kind: type) -> list[Listener]:
        """Who listens to `kind`, now and later: the same list always."""
        return self._listeners.setdefault(kind, [])

    def tell(self, fact: Fact) -> None:
        """Tell the listeners of its type; whatever a listener raises passes through."""
        for listener in self._listeners.get(type(fact), ()):
            listener(fact)

    def add(self, record: Record) -> None:
        """Append one record; whatever a listener raises passes through."""
        lines = self._lines
        lines.append(f"{record.time} {record}\n")
        if len(lines) >= LINES_HASHED_AT_ONCE:
            self._digest()
        self.last.append(record)
        kind = type(record)
        name = kind.__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        for watcher in self._watchers:
            watcher(record)
        for listener in self._listeners.get(kind, ()):
            listener(record)

    def hexdigest(self) -> str:
        """The hash of everything so far."""
        self._digest()
        return self._hash.hexdigest()


def format_record(record: Record) -> str:
    """One line: virtual milliseconds, then what happened."""
    return f"{record.time / MS:12.6f}  {record}"
