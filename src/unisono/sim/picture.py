"""Pictures: one run as one page that opens in any browser, without a network.

Speaks:      `Recorder` watches a run (records, and datagrams if it is given the cluster);
             `render(recorder, outcome)` gives the page.
Keeps:       the page stands alone and is bounded: of what is many, the latest is kept, and the
             page says how much is not drawn.
Never:       judges; reads the state of a machine.
"""

import json
from collections import deque
from collections.abc import Iterator
from functools import partial
from html import escape
from importlib.resources import files
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from unisono.base.ids import NodeId
from unisono.sim import trace
from unisono.sim.cluster import Cluster
from unisono.sim.network import DatagramKind, Inlet, kind_of
from unisono.sim.outages import Outages

FEW_CHARS_MAX: Final = 900_000
"""Of a page, for views, faults, starts and ends."""
MANY_CHARS_MAX: Final = 1_100_000
"""For sends, deliveries and the like."""
TOKENS_CHARS_MAX: Final = 400_000
"""For token moves."""
DATAGRAMS_CHARS_MAX: Final = 250_000
"""For other datagrams."""
ROW_CHARS: Final = 40
"""Of a record beside its text, about."""
MOVE_CHARS: Final = 25
"""Of a datagram, about; a token's move has one number more."""
TEXT_CHARS_MAX: Final = 300
"""Of one record; a longer one is cut."""
_T = TypeVar("_T")
_CATEGORIES: Final = {
    "Installed": "views",
    "Synced": "synced",
    "Sent": "sends",
    "Delivered": "deliveries",
    "Booted": "life",
    "Crashed": "life",
    "Faulted": "faults",
    "Calmed": "faults",
    "ClientStarted": "clients",
    "ClientEnded": "clients",
    "GroupViewed": "clients",
    "GroupSent": "clients",
    "GroupDelivered": "clients",
}
"""Which switch of the page shows which record; any other record is under "other"."""
_MANY: Final = frozenset({"sends", "deliveries", "other"})
_MANY_KINDS: Final = frozenset({"GroupSent", "GroupDelivered"})


class Verdict(Protocol):
    """What the page says of a run as a whole: a `run.Outcome`."""

    @property
    def seed(self) -> int:
        """What to repeat it by."""

    @property
    def name(self) -> str:
        """The property that does not hold, or nothing."""

    @property
    def text(self) -> str:
        """The checker's words."""

    @property
    def digest(self) -> str:
        """The hash of the trace."""

    @property
    def simulated_ns(self) -> int:
        """When it ended."""

    @property
    def datagrams(self) -> int:
        """How many arrived."""


class _Row(NamedTuple):
    """One record as the page shows it; `ordinal` counts all records of the run."""

    ordinal: int
    time: int
    kind: str
    node: NodeId | None
    text: str
    extra: list[Any]


class _Move(NamedTuple):
    """A datagram came at `time`; for a token, `since` is when the sender had got it."""

    time: int
    kind: str
    source: NodeId
    target: NodeId
    since: int


class _Latest(Generic[_T]):
    """What was added last, of a bounded size; `seen` counts all."""

    def __init__(self, chars_max: int) -> None:
        self.kept: deque[tuple[_T, int]] = deque()
        self.seen = 0
        self._room = chars_max

    def add(self, item: _T, chars: int) -> None:
        """Remember it, and forget the oldest where there is no room."""
        self.seen += 1
        self._room -= chars
        self.kept.append((item, chars))
        while self._room < 0:
            self._room += self.kept.popleft()[1]

    @property
    def lost(self) -> int:
        """How many were forgotten."""
        return self.seen - len(self.kept)

    def __iter__(self) -> Iterator[_T]:
        return (item for item, _ in self.kept)


class Recorder:
    """A watcher for `run_seed` and `run_plan`; `tap(cluster)` adds the datagrams."""

    def __init__(self) -> None:
        self._few = _Latest[_Row](FEW_CHARS_MAX)
        self._many = _Latest[_Row](MANY_CHARS_MAX)
        self._tokens = _Latest[_Move](TOKENS_CHARS_MAX)
        self._datagrams = _Latest[_Move](DATAGRAMS_CHARS_MAX)
        self._nodes: set[NodeId] = set()
        self._ordinal = 0
        self._sent: dict[int, int] = {}
        self._token_came: dict[NodeId, int] = {}
        self._outages = Outages()

    def __call__(self, record: trace.Record) -> None:
        """One record of the trace, in its order."""
        kind = type(record).__name__
        who = getattr(record, "who", None)
        node = who.node if who is not None else None
        if node is not None:
            self._nodes.add(node)
        if isinstance(record, trace.Installed):
            self._nodes.update(record.members)
        if node is not None and isinstance(record, trace.Installed | trace.Booted):
            # Whatever token it had before was another ring's.
            self._token_came[node] = record.time
        self._outages.take(record)
        category = _CATEGORIES.get(kind, "other")
        many = category in _MANY or kind in _MANY_KINDS
        row = _Row(self._ordinal, record.time, kind, node, _cut(record), self._extra(record))
        chars = ROW_CHARS + len(row.text) + len(str(row.extra))
        (self._many if many else self._few).add(row, chars)
        self._ordinal += 1

    def tap(self, cluster: Cluster) -> None:
        """From now on show every datagram that arrives in `cluster`, too."""
        for node, machine in cluster.nodes.items():
            self._nodes.add(node)
            machine.wiretap(partial(self._listen, cluster, node))

    def _listen(self, cluster: Cluster, node: NodeId, arrive: Inlet) -> Inlet:
        def inlet(datagram: bytes, source: NodeId) -> None:
            self._arrived(cluster.now, datagram, source, node)
            arrive(datagram, source)

        return inlet

    def _extra(self, record: trace.Record) -> list[Any]:
        """What the page needs to know beyond the text; see `page/plot.js`."""
        match record:
            case trace.Installed():
                change = [list(record.members), list(record.left), list(record.joined)]
                return [int(record.regular), str(record.ring), *change]
            case trace.Sent():
                self._sent[record.key] = self._ordinal
                return []
            case trace.Delivered():
                return [self._sent.get(record.key, -1)]
            case _:
                return []

    def _arrived(self, now: int, datagram: bytes, source: NodeId, target: NodeId) -> None:
        kind = kind_of(datagram)
        if kind is DatagramKind.TOKEN:
            since = self._token_came.get(source, now)
            self._token_came[target] = now
            self._tokens.add(_Move(now, "TOKEN", source, target, since), MOVE_CHARS + 10)
        else:
            name = kind.name if kind is not None else "?"
            self._datagrams.add(_Move(now, name, source, target, now), MOVE_CHARS)

    def document(self, outcome: Verdict) -> dict[str, Any]:
        """The page's data: numbers, lists and texts only. Times are virtual nanoseconds."""
        rows = sorted([*self._few, *self._many])
        kinds = sorted({row.kind for row in rows})
        lanes = {node: lane for lane, node in enumerate(sorted(self._nodes))}
        index = {row.ordinal: number for number, row in enumerate(rows)}
        names = sorted({move.kind for move in self._datagrams})
        self._outages.end(outcome.simulated_ns)
        return {
            "seed": outcome.seed,
            "nodes": list(lanes),
            "end": outcome.simulated_ns,
            "verdict": {"name": outcome.name, "text": outcome.text},
            "digest": outcome.digest,
            "datagrams_arrived": outcome.datagrams,
            "kinds": [[kind, _CATEGORIES.get(kind, "other")] for kind in kinds],
            "records": [_packed(row, kinds, lanes, index) for row in rows],
            "bands": self._outages.bands(list(lanes)),
            "spells": self._outages.spells(lanes),
            "tokens": [[m.time, lanes[m.source], lanes[m.target], m.since] for m in self._tokens],
            "datagram_kinds": names,
            "datagrams": [
                [m.time, lanes[m.source], lanes[m.target], names.index(m.kind)]
                for m in self._datagrams
            ],
            "notes": self._notes(),
        }

    def _notes(self) -> list[str]:
        """What is not on the page, in words."""
        left_out = {
            "views, faults and starts": self._few.lost,
            "sends and deliveries": self._many.lost,
            "token moves": self._tokens.lost,
            "other datagrams": self._datagrams.lost,
        }
        notes = [f"the first {n:,} {what} not drawn" for what, n in left_out.items() if n]
        if not self._tokens.seen:
            notes.append("token moves were not recorded")
        return notes


def _cut(record: trace.Record) -> str:
    text = str(record)
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"


def _packed(
    row: _Row, kinds: list[str], lanes: dict[NodeId, int], index: dict[int, int]
) -> list[Any]:
    """`[time, kind, lane or -1, text, ...]`; a delivery's last is the number of its send's row."""
    lane = -1 if row.node is None else lanes[row.node]
    extra = [index.get(row.extra[0], -1)] if row.kind == "Delivered" else row.extra
    return [row.time, kinds.index(row.kind), lane, row.text, *extra]


def render(recorder: Recorder, outcome: Verdict) -> str:
    """The whole page: markup, style, script and data in one text."""
    folder = files("unisono.sim") / "page"
    data = json.dumps(recorder.document(outcome), separators=(",", ":"), ensure_ascii=False)
    parts = {
        "TITLE": escape(f"Seed {outcome.seed}: {outcome.name or 'ok'}"),
        "STYLE": (folder / "page.css").read_text(encoding="utf-8"),
        "PLOT": (folder / "plot.js").read_text(encoding="utf-8"),
        "TEXT": (folder / "text.js").read_text(encoding="utf-8"),
        # Inside a script element only "<" could end it; JSON says it otherwise.
        "DATA": data.replace("<", "\\u003c"),
    }
    page = (folder / "page.html").read_text(encoding="utf-8")
    pieces = page.split("@@")
    return "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces))
