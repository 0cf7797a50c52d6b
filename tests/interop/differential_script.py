"""Scripts that run on any stage: real daemons of either kind, or the simulator.

Speaks:      lines such as `cut 1 | 2,3`; `play(text, stage)` gives an Observation.
Keeps:       `settle` ends on what the script itself implies (who must see whom, what must have
             come), never on time; so do the phases that it divides an observation into.
Never:       judges: that is differential_judge.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

from tests.interop.differential_stage import SIZE, Event, Mark, Message, Ring, Sending, Stage, View


class Bond(NamedTuple):
    """Two clients of which one should hear the other."""

    one: str
    other: str


@dataclass
class Phase:
    """What lies between two settlements."""

    steps: list[str]
    at_first: Mapping[str, int]
    """The clients at its beginning, with their nodes."""
    bonds: set[Bond]
    """Who could hear whom from its beginning to its end."""
    ever: set[Bond]
    """Who could hear whom at some moment of it."""
    sent: dict[str, list[Sending]] = field(default_factory=dict)
    events: dict[str, list[Event]] = field(default_factory=dict)
    at_end: Mapping[str, int] = field(default_factory=dict)
    is_settled: bool = True
    """Whether it ended with `settle`: all that had to come has come."""

    @property
    def title(self) -> str:
        return "; ".join(self.steps)

    def numbers(self, name: str) -> list[int]:
        """What `name` was told to send."""
        ranges = self.sent.get(name, ())
        return [number for each in ranges for number in range(each.first, each.first + each.count)]


@dataclass
class Observation:
    """What all clients of one stage saw."""

    stage: str
    phases: list[Phase]
    after_leave: dict[str, list[Event]]
    """What came to clients that had been told that they were out of the group."""


def steps_of(script: str) -> list[str]:
    """Its lines, without blanks."""
    return [line.strip() for line in script.splitlines() if line.strip()]


class World:
    """What a script says about who runs, where, and who is cut off from whom."""

    def __init__(self) -> None:
        self.up: set[int] = set()
        self.clients: dict[str, int] = {}
        self.sides: list[list[int]] = []

    def side(self, node: int) -> list[int]:
        """The running nodes that hear `node`."""
        side = next((side for side in self.sides if node in side), None)
        return sorted(n for n in self.up if side is None or n in side)

    def bonds(self) -> set[Bond]:
        pairs = product(self.clients.items(), repeat=2)
        return {Bond(one, other) for (one, m), (other, n) in pairs if n in self.side(m)}

    def down(self, node: int) -> None:
        self.up.discard(node)
        self.clients = {name: at for name, at in self.clients.items() if at != node}


class Player:
    """One script on one stage."""

    def __init__(self, title: str, stage: Stage) -> None:
        self.stage = stage
        self.world = World()
        self.observation = Observation(title, [], {})
        self._phase = self._new_phase()
        self._seen: dict[str, int] = {}
        self._leaving: list[str] = []
        self._next: dict[str, int] = {}

    def _new_phase(self) -> Phase:
        world = self.world
        return Phase([], dict(world.clients), world.bonds(), world.bonds())

    def play(self, script: str) -> Observation:
        """Carry it out, line by line."""
        for step in steps_of(script):
            if step.partition(" ")[0] not in ("settle", "look"):
                self._phase.steps.append(step)
            verb, *words = step.split()
            getattr(self, f"_do_{verb}")(*words)
            bonds = self.world.bonds()
            self._phase.ever |= bonds
            self._phase.bonds &= bonds
        self._collect_rest()
        return self.observation

    # -- steps ------------------------------------------------------------------------------------

    def _do_start(self, *nodes: str) -> None:
        """`start 1 2 3`"""
        for node in map(int, nodes):
            self.world.up.add(node)
            self.stage.start(node)

    def _do_kill(self, node: str) -> None:
        """`kill 2`: SIGKILL for the daemon; its clients notice."""
        self.world.down(int(node))
        self.stage.kill(int(node))

    def _do_stop(self, node: str) -> None:
        """`stop 2`: SIGTERM for the daemon."""
        self.world.down(int(node))
        self.stage.stop(int(node))

    def _do_open(self, name: str, node: str) -> None:
        """`open ann 1`: a client that joins the group."""
        self.world.clients[name] = int(node)
        self.stage.open(name, int(node))

    def _do_leave(self, name: str) -> None:
        """`leave ann`: it leaves the group and goes on reading."""
        del self.world.clients[name]
        self._leaving.append(name)
        self.stage.leave(name)

    def _do_die(self, name: str) -> None:
        """`die ann`: SIGKILL for the client."""
        del self.world.clients[name]
        self.stage.die(name)

    def _do_send(self, names: str, count: str, *options: str) -> None:
        """`send ann,bob 5 [size=BYTES] [gap=MICROSECONDS] [safe]`"""
        given = {key: int(value) for key, value in (o.split("=") for o in options if "=" in o)}
        for name in names.split(","):
            first = self._next.get(name, 1)
            size, gap_us = given.get("size", SIZE), given.get("gap", 0)
            sending = Sending(first, int(count), size, gap_us, "safe" in options)
            self._next[name] = first + sending.count
            self._phase.sent.setdefault(name, []).append(sending)
            self.stage.send(name, sending)

    def _do_flow(self, name: str, count: str) -> None:
        """`flow ann 20`: until `ann` has got so many messages in this phase."""

        def is_flowing() -> bool:
            return sum(isinstance(each, Message) for each in self._news(name)) >= int(count)

        self.stage.wait(f"{name} gets {count} messages", is_flowing)

    def _do_cut(self, *words: str) -> None:
        """`cut 1 | 2,3`"""
        self.world.sides = _sides(words)
        self.stage.cut(self.world.sides)

    def _do_heal(self) -> None:
        """`heal`"""
        self.world.sides = []
        self.stage.heal()

    def _do_deafen(self, node: str) -> None:
        """`deafen 3`: it gets tokens, but no multicasts."""
        self.stage.deafen(int(node))

    def _do_hear(self) -> None:
        """`hear`: the deaf hear again."""
        self.stage.hear()

    def _do_blink(self, ms: str, *words: str) -> None:
        """`blink 200 1 | 2,3`: cut, but for a shorter time than anybody takes for a failure."""
        self.stage.cut(_sides(words))
        self.stage.linger(int(ms))
        self.stage.heal()

    def _do_look(self, ms: str) -> None:
        """`look 300`: the phase ends after so many milliseconds, whatever has come by then."""
        self.stage.linger(int(ms))
        self._end_phase(is_settled=False)

    def _do_settle(self) -> None:
        """Who should see each other do, and have got all that they sent each other."""
        number = len(self.observation.phases)
        title = f"settled after {self._phase.title!r}"
        self.stage.wait(title, self._is_seen)
        for name in self.world.clients:
            self.stage.mark(name, number)
        marks = {Mark(name, number) for name in self.world.clients}

        def is_over() -> bool:
            return self._is_seen() and all(
                {mark for mark in marks if mark.sender in self._view(name)}
                <= {each for each in self._news(name) if isinstance(each, Mark)}
                for name in self.world.clients
            )

        self.stage.wait(f"marks, {title}", is_over)
        self._end_phase(is_settled=True)

    # -- what is there ----------------------------------------------------------------------------

    def _view(self, name: str) -> list[str]:
        side = self.world.side(self.world.clients[name])
        return sorted(other for other, node in self.world.clients.items() if node in side)

    def _news(self, name: str) -> list[Event]:
        return self.stage.events(name)[self._seen.get(name, 0) :]

    def _is_seen(self) -> bool:
        for name, node in self.world.clients.items():
            events = self.stage.events(name)
            view, ring = _last(View, events), _last(Ring, events)
            if view is None or list(view.members) != self._view(name):
                return False
            if ring is None or list(ring.members) != self.world.side(node):
                return False
        last = [_last(View, self.stage.events(name)) for name in self._leaving]
        return all(v and name not in v.members for name, v in zip(self._leaving, last, strict=True))

    def _end_phase(self, *, is_settled: bool) -> None:
        phase = self._phase
        phase.is_settled = is_settled
        phase.at_end = dict(self.world.clients)
        for name in {**phase.at_first, **phase.at_end}:
            news = self._news(name)
            self._seen[name] = self._seen.get(name, 0) + len(news)
            phase.events[name] = [each for each in news if not isinstance(each, Mark)]
        for name in self._leaving:
            self.observation.after_leave[name] = []
        self._leaving = []
        self.observation.phases.append(phase)
        self._phase = self._new_phase()

    def _collect_rest(self) -> None:
        for name, events in self.observation.after_leave.items():
            events += self._news(name)


def _sides(words: Iterable[str]) -> list[list[int]]:
    return [[int(node) for node in word.split(",")] for word in words if word != "|"]


def _last(kind: type, events: Iterable[Event]) -> "Event | None":
    return next((each for each in reversed(list(events)) if isinstance(each, kind)), None)
