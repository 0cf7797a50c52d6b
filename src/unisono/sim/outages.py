"""Outages: from when to when the network was cut and nodes slept, read from the trace's faults.

Speaks:      `take(record)`, `end(time)`; `bands(nodes)`, `spells(lanes)` for a picture.
Keeps:       several cuts at once add up, as they do in `network`; bounded.
Never:       needs to know every fault: what it does not understand has no length.
"""

import re
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from unisono.base.ids import NodeId
from unisono.sim import trace

OUTAGES_KEPT_MAX: Final = 1_000
"""Bands, and as many spells, that are remembered; the oldest go first."""
OUTAGES_AT_ONCE_MAX: Final = 8
"""Cuts that are told apart at one moment."""
TEXT_CHARS_MAX: Final = 120
"""What is said of one band."""

_SIDES: Final = r"\d+(?:,\d+)*(?: \| \d+(?:,\d+)*)*"
_BEGIN: Final = re.compile(rf"(cut|flap|clog) ({_SIDES}|.*?)(?: every .*)?")
_END: Final = re.compile(r"(rejoin|unflap|unclog) (.*)")
_BEGUN_BY: Final = {"rejoin": "cut", "unflap": "flap", "unclog": "clog"}
_SPELL: Final = re.compile(r"(pause|freeze|resume|slow) (\d+)(?: x(\d+))?")


class _Outage(NamedTuple):
    """One fault of the network that lasts; `sides` is empty where it does not part the nodes."""

    text: str
    sides: tuple[tuple[int, ...], ...]


@dataclass(slots=True)
class _Band:
    """What acts on the network from `begin` to `end`."""

    begin: int
    end: int
    outages: tuple[_Outage, ...]


class Outages:
    """Intervals of one run."""

    def __init__(self) -> None:
        self._bands: deque[_Band] = deque(maxlen=OUTAGES_KEPT_MAX)
        self._spells: deque[tuple[NodeId, int, int, str]] = deque(maxlen=OUTAGES_KEPT_MAX)
        self._active: list[_Outage] = []
        self._since = 0
        self._ill: dict[tuple[NodeId, str], int] = {}
        self._running: set[NodeId] = set()

    def take(self, record: trace.Record) -> None:
        """One record of the trace, in its order."""
        match record:
            case trace.Calmed():
                self.end(record.time)
            case trace.Booted():
                self._running.add(record.who.node)
            case trace.Crashed():
                self._running.discard(record.who.node)
                self._recover(record.who.node, "asleep", record.time)
            case trace.Faulted():
                self._fault(record.time, record.what)
            case _:
                pass

    def end(self, time: int) -> None:
        """Whatever lasts ends here."""
        self._change(time, [])
        for node, kind in list(self._ill):
            self._recover(node, kind, time)

    def _fault(self, time: int, what: str) -> None:
        if what == "heal":
            self._change(time, [each for each in self._active if not each.text.startswith("cut")])
        elif spell := _SPELL.fullmatch(what):
            self._spell(time, NodeId(int(spell[2])), spell[1], spell[3])
        elif begin := _BEGIN.fullmatch(what):
            sides = () if begin[1] == "clog" else _parted(begin[2])
            new = _Outage(f"{begin[1]} {begin[2]}", sides)
            self._change(time, [*self._active, new])
        elif end := _END.fullmatch(what):
            text = f"{_BEGUN_BY[end[1]]} {end[2]}"
            left = list(self._active)
            over = next((each for each in left if each.text == text), None)
            if over is not None:
                left.remove(over)
            self._change(time, left)

    def _change(self, time: int, active: list[_Outage]) -> None:
        if self._active and time > self._since:
            self._bands.append(_Band(self._since, time, tuple(self._active)))
        self._active, self._since = active[-OUTAGES_AT_ONCE_MAX:], time

    def _spell(self, time: int, node: NodeId, verb: str, factor: str | None) -> None:
        kind = "slow" if verb == "slow" else "asleep"
        if verb == "resume" or factor == "1":
            self._recover(node, kind, time)
        elif node in self._running:
            self._ill.setdefault((node, kind), time)

    def _recover(self, node: NodeId, kind: str, time: int) -> None:
        begin = self._ill.pop((node, kind), None)
        if begin is not None:
            self._spells.append((node, begin, time, kind))

    def bands(self, nodes: list[NodeId]) -> list[list[Any]]:
        """`[begin, end, text, part of each lane]`; parts are -1 where nothing parts the nodes."""
        return [
            [band.begin, band.end, _text(band.outages), _parts(band.outages, nodes)]
            for band in self._bands
        ]

    def spells(self, lanes: dict[NodeId, int]) -> list[list[Any]]:
        """`[lane, begin, end, "asleep" or "slow"]`."""
        return [[lanes[node], *rest] for node, *rest in self._spells if node in lanes]


def _parted(words: str) -> tuple[tuple[int, ...], ...]:
    """`1,2 | 3` as sides; nothing where the words are links."""
    if not re.fullmatch(_SIDES, words):
        return ()
    return tuple(tuple(map(int, side.split(","))) for side in words.split(" | "))


def _text(outages: tuple[_Outage, ...]) -> str:
    text = "; ".join(outage.text for outage in outages)
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"


def _parts(outages: tuple[_Outage, ...], nodes: list[NodeId]) -> list[int]:
    """Nodes with the same number are on the same sides of every cut; on no side is alone."""
    cuts = [outage.sides for outage in outages if outage.sides]
    if not cuts:
        return [-1] * len(nodes)
    places = [
        tuple(
            tuple(number for number, side in enumerate(sides) if node in side) or (-node,)
            for sides in cuts
        )
        for node in nodes
    ]
    first = list(dict.fromkeys(places))
    return [first.index(place) for place in places]
