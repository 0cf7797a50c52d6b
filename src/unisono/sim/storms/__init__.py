"""Storms: which faults and which work come together, one file for each kind.

Speaks:      `load_storms()`, `read_storm(name, text)`, `draw_storm(random, name)`.
Counterpart: FoundationDB tests/fast/*.toml: a test is a list of workloads that run at once.
Keeps:       a file is read strictly: an unknown key or a value out of range names file, key, range.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any, Final, TypeVar

from unisono.sim.faults import HAZARDS
from unisono.sim.workload import CLIENT_VERBS, SIZES, Workload

NODES_DRAWN_MAX: Final = 64
FAULTS_DRAWN_MAX: Final = 200
LENGTH_TOKENS_MAX: Final = 3_000
TOKEN_MS_BOUNDS: Final = (100, 10_000)
WEIGHT_MAX: Final = 1_000

_T = TypeVar("_T")


class StormError(ValueError):
    """A file of storms is wrong; the text names file, key and what is allowed."""


@dataclass(frozen=True, slots=True)
class StormKind:
    """One file. Pairs of numbers are the smallest and the largest that a seed may draw."""

    name: str
    summary: str
    weight: int
    """How often seeds draw it, beside the others; 0 is on demand only."""
    nodes: tuple[int, int]
    token_ms: tuple[int, ...]
    """Time-outs of the ring, one of which is drawn."""
    length_tokens: tuple[int, int]
    """How long the storm lasts, in token time-outs."""
    faults: tuple[int, int]
    hazards: tuple[tuple[str, int], ...]
    """Names in `faults.HAZARDS`, and how often each comes beside the others."""
    workload: Workload
    stack: str = ""
    """What must stand there for it to mean anything; empty is whatever is drawn."""


@cache
def load_storms() -> tuple[StormKind, ...]:
    """Every kind, by name. Raises StormError."""
    kinds = []
    for entry in files(__package__).iterdir():
        name, dot, ending = entry.name.partition(".")
        if dot and ending == "toml":
            kinds.append(read_storm(name, entry.read_text(encoding="utf-8")))
    return tuple(sorted(kinds, key=lambda kind: kind.name))


def draw_storm(random: Random, name: str = "", stack: str = "") -> StormKind:
    """The kind of that name, or one for `stack` drawn by weight; the dice fall once either way."""
    everything = load_storms()
    kinds = [kind for kind in everything if kind.stack in ("", stack)]
    (drawn,) = random.choices(kinds, [kind.weight for kind in kinds])
    if not name:
        return drawn
    for kind in everything:
        if kind.name == name:
            return kind
    raise StormError(f"{name}: no such storm; there are {', '.join(k.name for k in everything)}")


def read_storm(name: str, text: str) -> StormKind:
    """The kind that a file `name`.toml describes. Raises StormError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StormError(f"{name}.toml: {error}") from error
    top = _Table(name, "", document)
    cluster, storm = top.table("cluster"), top.table("storm")
    hazards = top.table("hazards")
    kind = StormKind(
        name=name,
        summary=top.text("summary"),
        weight=top.whole("weight", 0, WEIGHT_MAX),
        nodes=cluster.pair("nodes", 1, NODES_DRAWN_MAX),
        token_ms=cluster.wholes("token_ms", *TOKEN_MS_BOUNDS),
        length_tokens=storm.pair("length_tokens", 1, LENGTH_TOKENS_MAX),
        faults=storm.pair("faults", 0, FAULTS_DRAWN_MAX),
        hazards=hazards.weights(HAZARDS),
        workload=_read_workload(top.table("messages"), top.table("clients")),
        stack=top.text("stack", ""),
    )
    for table in (top, cluster, storm, hazards):
        table.finish()
    return kind


def _read_workload(messages: "_Table", clients: "_Table") -> Workload:
    usual = Workload()
    workload = Workload(
        bursts=messages.pair("bursts", 0, 500, usual.bursts),
        burst_messages=messages.pair("burst_messages", 1, 5_000, usual.burst_messages),
        bytes_max=messages.whole("bytes_max", 0, 50_000_000, usual.bytes_max),
        sizes=messages.names("sizes", SIZES, usual.sizes),
        safe_shares=messages.shares("safe_shares", usual.safe_shares),
        near_faults=messages.share("near_faults", usual.near_faults),
        largest_share=messages.share("largest_share", usual.largest_share),
        actions=clients.pair("actions", 0, 5_000, usual.actions),
        native_shares=clients.shares("native_shares", usual.native_shares),
        verbs=clients.table("verbs").weights(CLIENT_VERBS, usual.verbs),
    )
    for table in (messages, clients):
        table.finish()
    return workload


class _Table:
    """A table of a file, of which every key must be asked for."""

    def __init__(self, file: str, path: str, values: Mapping[str, Any]) -> None:
        self._file = file
        self._path = path
        self._values = dict(values)
        self._asked: list[str] = []

    def table(self, key: str) -> "_Table":
        nothing: dict[str, Any] = {}
        value = self._take(key, lambda v: v if isinstance(v, dict) else None, "a table", nothing)
        return _Table(self._file, f"{self._path}{key}.", value)

    def text(self, key: str, usual: str | None = None) -> str:
        return self._take(key, lambda v: v if isinstance(v, str) and v else None, "a text", usual)

    def whole(self, key: str, least: int, most: int, usual: int | None = None) -> int:
        allowed = f"a whole number from {least} to {most}"
        return self._take(key, lambda v: v if _is_whole(v, least, most) else None, allowed, usual)

    def wholes(self, key: str, least: int, most: int) -> tuple[int, ...]:
        def read(value: Any) -> tuple[int, ...] | None:
            if not isinstance(value, list) or not value:
                return None
            return tuple(value) if all(_is_whole(each, least, most) for each in value) else None

        return self._take(key, read, f"a list of whole numbers from {least} to {most}")

    def pair(
        self, key: str, least: int, most: int, usual: tuple[int, int] | None = None
    ) -> tuple[int, int]:
        def read(value: Any) -> tuple[int, int] | None:
            if not isinstance(value, list) or len(value) != 2:
                return None
            first, last = value
            if not (_is_whole(first, least, most) and _is_whole(last, least, most)):
                return None
            return (first, last) if first <= last else None

        allowed = f"two whole numbers from {least} to {most}, the smaller first"
        return self._take(key, read, allowed, usual)

    def share(self, key: str, usual: float) -> float:
        allowed = "a number from 0.0 to 1.0"
        return self._take(key, lambda v: v if _is_share(v) else None, allowed, usual)

    def shares(self, key: str, usual: tuple[float, ...]) -> tuple[float, ...]:
        def read(value: Any) -> tuple[float, ...] | None:
            if not isinstance(value, list) or not value:
                return None
            return tuple(value) if all(map(_is_share, value)) else None

        return self._take(key, read, "a list of numbers from 0.0 to 1.0", usual)

    def names(
        self, key: str, known: Mapping[str, object], usual: tuple[str, ...]
    ) -> tuple[str, ...]:
        def read(value: Any) -> tuple[str, ...] | None:
            if not isinstance(value, list) or not value:
                return None
            return tuple(value) if all(each in known for each in value) else None

        return self._take(key, read, f"a list of {', '.join(known)}", usual)

    def weights(
        self, known: Mapping[str, object], usual: tuple[tuple[str, int], ...] = ()
    ) -> tuple[tuple[str, int], ...]:
        """Every key of the table: a known name and how often it comes; `usual` without any."""
        read = tuple(
            (name, self.whole(name, 1, WEIGHT_MAX)) for name in self._values if name in known
        )
        self._asked = list(known)
        self.finish()
        return read or usual

    def finish(self) -> None:
        """Refuse what nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                allowed = ", ".join(self._asked)
                raise StormError(
                    f"{self._file}.toml: {self._path}{key}: unknown; allowed: {allowed}"
                )

    def _take(
        self, key: str, read: Callable[[Any], _T | None], allowed: str, usual: _T | None = None
    ) -> _T:
        self._asked.append(key)
        if key not in self._values and usual is not None:
            return usual
        value = read(self._values.get(key))
        if value is None:
            given = self._values.get(key, "absent")
            raise StormError(f"{self._file}.toml: {self._path}{key}: {given}; allowed: {allowed}")
        return value


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
