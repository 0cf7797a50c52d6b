"""Roll: what every member of the ring holds, by what it said in the ring's order.

Keeps:       nothing is decided before every member has spoken since the last change of the ring, so
             all decide alike, and two operators' orders meet in one order.
"""

from collections import Counter
from collections.abc import Iterable

from unisono.base.ids import NodeId
from unisono.wire.service.keyring import Held, Order, Ordered


def retired_of(rows: Iterable[Held]) -> list[bytes]:
    """All that anybody has retired, without repetitions."""
    return list(dict.fromkeys(kid for held in rows for kid in held.retired))


def agreed_active(rows: Iterable[Held]) -> bytes:
    """The key with which all shall begin, although rings that were apart may differ.

    A key that somebody had before its present one is older than that. Of the others most members
    decide, and the larger fingerprint where they are equal. `rows` is not empty.
    """
    rows = list(rows)
    count = Counter(held.active for held in rows)
    older = {held.previous for held in rows}.union(retired_of(rows))
    candidates = [kid for kid in count if kid not in older] or list(count)
    return max(candidates, key=lambda kid: (count[kid], kid))


def agreed_next(rows: Iterable[Held]) -> bytes | None:
    """The key that all shall hold as the next one, by the same rule."""
    rows = list(rows)
    taken = {held.active for held in rows} | {held.previous for held in rows}
    taken.update(retired_of(rows))
    count = Counter(held.next for held in rows if held.next not in taken)
    del count[None]
    return max(count, key=lambda kid: (count[kid], kid or b""), default=None)


class Roll:
    """The rows of the present members. Equal at all members that are at the same message."""

    __slots__ = ("begun", "known", "members", "removed", "rows", "wanted")

    def __init__(self) -> None:
        self.members: tuple[NodeId, ...] = ()
        self.rows: dict[NodeId, Held] = {}
        self.known: dict[NodeId, Held] = {}
        """The last word of everybody that was ever a member in this life of the daemon."""
        self.wanted: bytes | None = None
        """The next key: the one whose installation was ordered first."""
        self.begun: bytes | None = None
        """The key of the last USE since the ring changed: the rows follow a little later."""
        self.removed: set[bytes] = set()
        """The keys of each REMOVE since then."""

    @property
    def is_complete(self) -> bool:
        """Whether every member has spoken."""
        return bool(self.members) and len(self.rows) == len(self.members)

    def begin(self, members: tuple[NodeId, ...]) -> None:
        """The ring changed: everybody speaks anew."""
        self.members = members
        self.rows.clear()
        self.wanted = self.begun = None
        self.removed.clear()

    def take(self, message: Ordered) -> None:
        """An order that has an effect, at its place."""
        if message.order is Order.INSTALL:
            self.wanted = message.kid
            return
        if message.order is Order.USE:
            self.begun = message.kid
        else:
            self.removed.add(message.kid)
        if self.wanted == message.kid:
            self.wanted = None

    def note(self, origin: NodeId, held: Held) -> bool:
        """Take what a member says; whether it is news."""
        former = self.rows.get(origin)
        if origin not in self.members or (former is not None and held.serial <= former.serial):
            return False
        was_complete = self.is_complete
        self.rows[origin] = self.known[origin] = held
        if not was_complete and self.is_complete:
            self.wanted = agreed_next(self.rows.values())
        elif self.wanted is not None and self.wanted in (held.active, *held.retired):
            self.wanted = None
        return True

    def role_elsewhere(self, kid: bytes) -> str:
        """The role that the key has or had and that keeps it from being the next one, or ""."""
        if self.is_removed(kid):
            return "was removed"
        if self.is_active(kid):
            return "is active"
        if any(kid == held.previous for held in self.rows.values()):
            return "is the previous one"
        return ""

    def is_active(self, kid: bytes) -> bool:
        """Whether somebody begins with the key, or will as soon as it reads the order."""
        return kid == self.begun or any(held.active == kid for held in self.rows.values())

    def is_removed(self, kid: bytes) -> bool:
        """Whether somebody has retired the key, or will."""
        return kid in self.removed or any(kid in held.retired for held in self.rows.values())

    def lacking(self, kid: bytes) -> list[NodeId]:
        """Members that do not accept the key."""
        return sorted(node for node, held in self.rows.items() if kid not in held.accepted)

    def not_using(self, kid: bytes) -> list[NodeId]:
        """Members that begin with another key."""
        return sorted(node for node, held in self.rows.items() if held.active != kid)

    def keeping(self, kid: bytes) -> list[NodeId]:
        """Members that have not retired the key."""
        return sorted(
            node
            for node, held in self.rows.items()
            if kid in held.accepted or kid not in held.retired
        )

    def teller(self, kid: bytes) -> NodeId | None:
        """Who tells the key to those that lack it: one, so that they hear it once."""
        holders = [node for node, held in self.rows.items() if kid in held.accepted]
        return min(holders, default=None)
