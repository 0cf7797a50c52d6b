"""Properties: what must hold of the nodes' stories, judged for each node and each pair of nodes.

Speaks:      `Stories.add(story, record)`, `judge(stories)`: a text when a property is broken.
Counterpart: extended virtual synchrony (Moser, Amir et al., ICDCS 1994), as the checkers do.
Keeps:       only what holds at every moment of every run is demanded; a story is one node's own
             sequence of records, so that runs that differ in nothing else are one state.
Never:       a global order of events: each property is one of a single node or of two.

The checkers judge one merged trace and conclude at its end. A search has millions of ends, and
meets each story in many of them: here each story is read once, and each pair is compared once.
"""

from collections.abc import Collection, Sequence
from typing import Final, TypeAlias

from unisono.base.ids import NodeId
from unisono.sim.trace import (
    Booted,
    Crashed,
    Delivered,
    Installed,
    Process,
    Record,
    Ring,
    Sent,
)

Message: TypeAlias = tuple[NodeId, int]
"""Origin and key."""
Place: TypeAlias = tuple[Ring, int, int]
"""Ring, sequence, and which of the packet's messages it is."""
Move: TypeAlias = tuple[Process, Ring | None, frozenset[NodeId], tuple[Message, ...]]
"""Who moved to a ring, from which one, with whom, and what it had delivered there."""
EMPTY: Final = 0
"""The story in which nothing has happened yet."""


class Tale:
    """What one story tells; `broken` names the property that it breaks by itself."""

    __slots__ = (
        "_log",
        "_pending",
        "_regular",
        "_ring",
        "_together",
        "broken",
        "came",
        "gone_on",
        "highest",
        "knew",
        "last",
        "owed",
        "places",
        "stable",
        "upto",
        "views",
        "where",
        "who",
    )

    def __init__(self, records: Sequence[Record], safe: Collection[int]) -> None:
        self.broken = ""
        self.who: Process | None = None
        self.highest = -1
        self.views: dict[Ring, frozenset[NodeId]] = {}
        self.places: dict[Place, Message] = {}
        self.where: dict[Message, Place] = {}
        self.came: dict[Ring, Move] = {}
        """How this node came to a ring: from where, with whom, having delivered what there."""
        self.gone_on: dict[Ring, frozenset[Message]] = {}
        """Rings left for another one, and what had been delivered there."""
        self.upto: dict[Ring, Place] = {}
        """The last place delivered in the regular view."""
        self.stable: set[tuple[Ring, Message]] = set()
        """Safe messages delivered in the regular view."""
        self.knew: dict[Message, Place] = {}
        """What this node had delivered last when it sent a message."""
        self.owed: list[tuple[int, bool]] = []
        """What the living daemon sent and has not delivered: key, and whether during sync."""
        self.last: Place | None = None
        self._forget()
        for record in records:
            self._read(record, safe)
            if self.broken:
                return

    def _forget(self) -> None:
        self._ring: Ring | None = None
        self._regular = False
        self._pending: Installed | None = None
        self._together: frozenset[NodeId] = frozenset()
        self._log: list[Message] = []
        self.owed = []
        self.last = None

    def _read(self, record: Record, safe: Collection[int]) -> None:
        match record:
            case Booted():
                self.who = record.who
                self._forget()
            case Crashed():
                self._forget()
            case Sent():
                self.owed.append((record.key, record.during_sync))
                if self.last is not None:
                    self.knew[record.who.node, record.key] = self.last
                else:
                    self.knew[record.who.node, record.key] = _BEFORE_ALL
            case Delivered():
                self._deliver(record, safe)
            case Installed() if record.regular:
                self._enter(record)
            case Installed():
                self._part(record)
            case _:
                pass

    def _deliver(self, record: Delivered, safe: Collection[int]) -> None:
        message = (record.origin, record.key)
        ring = record.ring
        if ring is None or ring != self._ring:
            self.broken = f"delivery view: in ring {self._ring}: {record}"
            return
        last = self.last
        if last is not None and last[0] == ring and record.seq < last[1]:
            self.broken = f"agreed order: sequence {last[1]} was delivered before: {record}"
        if message in self.where:
            self.broken = f"integrity: delivered before at {self.where[message][:2]}: {record}"
        index = last[2] + 1 if last is not None and last[:2] == (ring, record.seq) else 0
        place = (ring, record.seq, index)
        self.last = self.where[message] = place
        self.places[place] = message
        self._log.append(message)
        if self._regular:
            self.upto[ring] = place
            if record.key in safe:
                self.stable.add((ring, message))
        if record.origin == record.who.node:
            self.owed = [each for each in self.owed if each[0] != record.key]

    def _part(self, record: Installed) -> None:
        members = frozenset(record.members)
        old = self.views[self._ring] if self._ring else frozenset({record.who.node})
        if self._pending is not None:
            self.broken = f"transitional views: two in a row: {record}"
        elif not members <= old:
            self.broken = f"transitional views: not all come from {sorted(old)}: {record}"
        elif self._ring and record.who.node not in members:
            self.broken = f"self inclusion: {record}"
        elif self._ring and frozenset(record.left) != old - members:
            self.broken = f"transitional views: left should be {sorted(old - members)}: {record}"
        self._pending = record
        self._regular = False
        self._together = members
        self._void()

    def _void(self) -> None:
        """The exchange about a view need not be finished when the view changes."""
        self.owed = [each for each in self.owed if not each[1]]

    def _enter(self, record: Installed) -> None:
        members, ring = frozenset(record.members), record.ring
        if self._pending is None or self._pending.ring != ring:
            self.broken = f"transitional views: none announced this one: {record}"
        elif record.who.node not in members or ring.rep not in members:
            self.broken = f"self inclusion: {record}"
        elif ring.seq <= self.highest:
            self.broken = f"unique views: {self.highest} was installed before: {record}"
        elif frozenset(record.joined) != members - self._together:
            self.broken = f"transitional views: who joined is not who is new: {record}"
        elif not self._together <= members:
            self.broken = f"transitional views: members got lost: {record}"
        log = tuple(self._log)
        self.came[ring] = (record.who, self._ring, self._together, log)
        if self._ring is not None:
            self.gone_on[self._ring] = frozenset(log)
        self.views[ring] = members
        self.highest = ring.seq
        self._ring, self._regular, self._pending = ring, True, None
        self._log = []
        self._void()


_BEFORE_ALL: Final[Place] = (Ring(NodeId(0), -1, 0), 0, 0)


class Stories:
    """Every story is kept once and has a number; what was judged once is not judged again."""

    def __init__(self, safe: Collection[int]) -> None:
        self._safe = frozenset(safe)
        self._parents: list[tuple[int, Record | None]] = [(EMPTY, None)]
        self._numbers: dict[tuple[int, str], int] = {}
        self._tales: dict[int, Tale] = {}
        self._judged: dict[tuple[int, int], str] = {}

    def add(self, story: int, record: Record) -> int:
        """The number of the story that goes on with `record`."""
        number = self._numbers.setdefault((story, str(record)), len(self._parents))
        if number == len(self._parents):
            self._parents.append((story, record))
        return number

    def records(self, story: int) -> list[Record]:
        """The whole story."""
        found: list[Record] = []
        while story != EMPTY:
            story, record = self._parents[story]
            assert record is not None
            found.append(record)
        return found[::-1]

    def tale(self, story: int) -> Tale:
        """What the story tells."""
        tale = self._tales.get(story)
        if tale is None:
            tale = self._tales[story] = Tale(self.records(story), self._safe)
        return tale

    def judge(self, stories: Sequence[int]) -> str:
        """The first property that these stories break, or nothing."""
        for place, one in enumerate(stories):
            for other in stories[:place]:
                key = (one, other)
                found = self._judged.get(key)
                if found is None:
                    found = self._judged[key] = judge_pair(self.tale(one), self.tale(other))
                if found:
                    return found
        return ""


def judge_pair(one: Tale, other: Tale) -> str:
    """The property that two nodes' stories break, alone or together, or nothing."""
    return (
        one.broken
        or other.broken
        or _judge_views(one, other)
        or _judge_places(one, other)
        or _judge_moves(one, other)
        or _judge_debts(one, other)
        or _judge_debts(other, one)
    )


def _judge_views(one: Tale, other: Tale) -> str:
    for ring, members in one.views.items():
        theirs = other.views.get(ring, members)
        if theirs != members:
            return f"unique views: ring {ring} is {sorted(members)} and {sorted(theirs)}"
    return ""


def _judge_places(one: Tale, other: Tale) -> str:
    for message, place in one.where.items():
        theirs = other.where.get(message, place)
        if theirs != place:
            return (
                f"agreed order: {_name(message)} is at {_spot(place)} for {one.who},"
                f" at {_spot(theirs)} for {other.who}"
            )
        if other.places.get(place, message) != message:
            return (
                f"agreed order: at {_spot(place)} {one.who} delivered {_name(message)},"
                f" {other.who} {_name(other.places[place])}"
            )
    return ""


def _judge_moves(one: Tale, other: Tale) -> str:
    for ring, (who, before, together, log) in one.came.items():
        if ring not in other.came:
            continue
        they, their_before, their_together, their_log = other.came[ring]
        if before is not None and before == their_before:
            if together != their_together or they.node not in together:
                return (
                    f"transitional views: {who} and {they} came from {before} to {ring} with"
                    f" {sorted(together)} and {sorted(their_together)}"
                )
            if log != their_log:
                return (
                    f"virtual synchrony: {who} and {they} went together from {before} to {ring},"
                    f" having delivered {_names(log)} and {_names(their_log)}"
                )
        elif they.node in together or who.node in their_together:
            return f"transitional views: {who} and {they} came to {ring} from different rings"
    return ""


def _judge_debts(one: Tale, other: Tale) -> str:
    """What `one` owes because of what `other` did."""
    for place, message in other.places.items():
        ring, seq, _ = place
        known = one.knew.get(message)
        if one.who is not None and message[0] == one.who.node:
            if known is None:
                return f"integrity: {one.who} never sent {_name(message)}"
            if ring.seq < known[0].seq or (ring == known[0] and seq < known[1]):
                return f"causal order: {_name(message)} was sent after {_spot(known)}"
        upto = one.upto.get(ring)
        if upto is not None and place < upto and place not in one.places:
            return (
                f"gap freedom: {one.who} passed over {_name(message)} at {_spot(place)},"
                f" which {other.who} delivered"
            )
    for ring, message in other.stable:
        left = one.gone_on.get(ring)
        if left is not None and message not in left:
            return (
                f"safe delivery: {_name(message)} was stable in {ring} at {other.who},"
                f" {one.who} went on without it"
            )
    return ""


def _name(message: Message) -> str:
    return f"{message[1]:x} from {message[0]}"


def _names(log: Sequence[Message]) -> str:
    return ", ".join(map(_name, log)) or "nothing"


def _spot(place: Place) -> str:
    return f"{place[0]}/{place[1]}"
