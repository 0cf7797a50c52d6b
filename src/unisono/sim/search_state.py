"""State: the canonical form of a machine, its fingerprint, and how it is set aside and taken up.

Speaks:      `fingerprint`, `freeze`, `thaw`; `shift` and `normalise` for the ring's machine.
Counterpart: state hashing and hash compaction in explicit-state model checkers (SPIN, Murphi).
Keeps:       two machines with one fingerprint behave alike from now on; all times are relative,
             and a moment in a field that is not known to hold one is an error.
Never:       knows what a machine's fields mean, except those named in `normalise` and `TIMES`.
"""

import copyreg
import io
import pickle
from collections import deque
from collections.abc import Callable, Collection
from enum import Enum
from hashlib import blake2b
from typing import Any, Final

from unisono.base.ids import SEQ_BEFORE_FIRST, Nanos
from unisono.totem import Totem
from unisono.totem.flow import FLOW_SETTLED_VISITS
from unisono.totem.resting import ASK_AFTER_NS
from unisono.totem.timers import NEVER, Timer
from unisono.totem.transitions import State

NOW: Final = Nanos(1 << 40)
"""The moment at which every machine is set aside: its deadlines say how far away they are."""
TIMES: Final = ("_fail_since", "_last_visit", "_pause_stamp", "_rest_since")
"""Fields of the ring's machine that hold a moment, besides the timers and `_again`."""
CONSTANT: Final = ("_known", "_settings")
"""Fields that never change: they are lent to a machine while it runs."""
DIGEST_BYTES: Final = 16
_PLAIN: Final = frozenset({str, float, bool, type(None)})

# -- the canonical form ---------------------------------------------------------------------------


class UnknownMoment(Exception):
    """A machine remembers a moment that `shift` does not move."""


class _Canon:
    """Writes one thing as text: all slots, containers in order, sets and dicts sorted.

    Mutable objects that are met again are written as references: that two names mean one object
    is part of the state.
    """

    __slots__ = ("_seen", "out")

    def __init__(self) -> None:
        self.out: list[str] = []
        self._seen: dict[int, int] = {}

    def write(self, *things: object) -> None:
        put = self.out.append
        for thing in things:
            kind = type(thing)
            if kind is int:
                if NOW // 2 < thing < 2 * NOW:  # type: ignore[operator]  # an int, as just seen
                    raise UnknownMoment(f"{thing}: `shift` does not know the field that holds it")
                put(f"{thing};")
            elif kind in _PLAIN:
                put(f"{thing!r};")
            elif isinstance(thing, Enum):
                put(f"{kind.__name__}.{thing.name};")
            else:
                self._write_large(thing)

    def _write_large(self, thing: object) -> None:
        if isinstance(thing, bytes | bytearray | memoryview):
            self.out.append(f"x{bytes(thing).hex()};")
        elif isinstance(thing, tuple):
            self._write_row(thing)
        elif isinstance(thing, set | frozenset):
            self.out.append(f"s({''.join(sorted(map(canonical, thing)))})")
        elif id(thing) in self._seen:
            self.out.append(f"r{self._seen[id(thing)]};")
        else:
            self._seen[id(thing)] = len(self._seen)
            self._write_mutable(thing)

    def _write_mutable(self, thing: object) -> None:
        if isinstance(thing, list | deque):
            self._write_row(thing)
        elif isinstance(thing, dict):
            self.out.append(f"d{len(thing)}(")
            for text, key in sorted((canonical(key), key) for key in thing):
                self.out.append(text)
                self.write(thing[key])
            self.out.append(")")
        else:
            kind = type(thing)
            self.out.append(f"{kind.__name__}(")
            try:
                self.write(*[getattr(thing, name) for name in slots_of(kind)])
            except UnknownMoment as error:
                error.add_note(f"in {kind.__name__}: one of {', '.join(slots_of(kind))}")
                raise
            for name, value in sorted(getattr(thing, "__dict__", {}).items()):
                self.out.append(name)
                self.write(value)
            self.out.append(")")

    def _write_row(self, things: Collection[object]) -> None:
        self.out.append(f"{len(things)}(")
        self.write(*things)
        self.out.append(")")


_SLOTS: Final[dict[type, tuple[str, ...]]] = {}


def slots_of(kind: type) -> tuple[str, ...]:
    """The names of all slots of `kind` and its bases, sorted."""
    names = _SLOTS.get(kind)
    if names is None:
        found: set[str] = set()
        for base in kind.__mro__:
            slots = base.__dict__.get("__slots__", ())
            found.update((slots,) if isinstance(slots, str) else slots)
        names = _SLOTS[kind] = tuple(sorted(found - {"__dict__", "__weakref__"}))
    return names


def canonical(thing: object) -> str:
    """The canonical form of `thing`; equal forms mean equal behaviour. Raises UnknownMoment."""
    canon = _Canon()
    canon.write(thing)
    return "".join(canon.out)


def fingerprint(thing: object) -> bytes:
    """The BLAKE2b hash of the canonical form."""
    return blake2b(canonical(thing).encode(), digest_size=DIGEST_BYTES).digest()


# -- setting aside --------------------------------------------------------------------------------


def _reduce_view(view: memoryview) -> tuple[Callable[..., memoryview], tuple[bytes]]:
    return memoryview, (bytes(view),)


def freeze(thing: object) -> bytes:
    """All of `thing` as bytes; what it shares within itself stays shared."""
    out = io.BytesIO()
    pickler = pickle.Pickler(out, protocol=5)
    pickler.dispatch_table = {**copyreg.dispatch_table, memoryview: _reduce_view}
    pickler.dump(thing)
    return out.getvalue()


def thaw(blob: bytes) -> Any:
    """A fresh copy of what was frozen."""
    return pickle.loads(blob)  # noqa: S301  # bytes that `freeze` made in this process


# -- what is relative, saturated or dead ----------------------------------------------------------


def shift(totem: Totem, by: int) -> None:
    """Move every moment that the machine remembers by `by` nanoseconds."""
    row = totem._timers.row
    row[:] = [due if due == NEVER else due + by for due in row]
    for name in TIMES:
        setattr(totem, name, getattr(totem, name) + by)
    totem._again = {seq: (due + by, pause) for seq, (due, pause) in totem._again.items()}


def normalise(totem: Totem) -> None:
    """Give one value to every variable whose exact value cannot matter any more (at NOW).

    The tick that notices pauses is taken as having just come, as long as it is not overdue;
    counters that are only compared with a bound stop at that bound; what the next entry of
    RECOVERY sets anew is cleared while a node is not on a ring.
    """
    settings = totem._settings
    row = totem._timers.row
    if row[Timer.PAUSE_TICK] > NOW:
        refresh_tick(totem)
    totem._last_visit = max(totem._last_visit, NOW - ASK_AFTER_NS)
    unchanged_max = max(settings.seqno_unchanged_const + 1, FLOW_SETTLED_VISITS)
    totem._seq_unchanged = min(totem._seq_unchanged, unchanged_max)
    totem._fail_count = min(totem._fail_count, settings.fail_recv_const + 1)
    totem._fail_since = max(totem._fail_since, NOW - settings.token_timeout_ns)
    if totem._rest is None:
        totem._rest_since = NOW
        totem._rest_sent = 0
    due = settings.miss_count_const
    totem._miss = {seq: min(count, due) for seq, count in totem._miss.items()}
    totem._again = {seq: (max(at, NOW), pause) for seq, (at, pause) in totem._again.items()}
    if totem._state not in (State.OPERATIONAL, State.RECOVERY):
        totem._token_seq = SEQ_BEFORE_FIRST
        totem._last_aru = totem._last_seq = totem._seq_unchanged = totem._rest_idle = 0
        totem._fail_count = totem._retrans_flg_count = totem._rotation_counter = 0
        totem._miss = {}
        totem._fail_since = NOW
    for name in totem.counters:
        totem.counters[name] = 0


def refresh_tick(totem: Totem) -> None:
    """The tick that notices pauses came just now."""
    row = totem._timers.row
    if row[Timer.PAUSE_TICK] != NEVER:
        totem._pause_stamp = NOW
        row[Timer.PAUSE_TICK] = NOW + totem._pause_tick()
