"""Shelf: every state of a node and every datagram is kept once and has a number.

Speaks:      `node(number)`, `datagram(number)`, `act(number, action) -> Consequence`.
Counterpart: state collapsing and memoised local steps in explicit-state model checkers.
Keeps:       a machine is run once for each pair of its state and what happens to it; all later
             occurrences of the pair are looked up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from unisono.base.group import Guarantee
from unisono.base.ids import SEQ_BEFORE_FIRST, NodeId, RingId
from unisono.config.settings import RingSettings
from unisono.sim import search_daemon as daemons
from unisono.sim import trace
from unisono.sim.network import DatagramKind, kind_of
from unisono.sim.search_daemon import Broken, Daemon, Emptied, Sending, Storing, Unit
from unisono.sim.search_state import CONSTANT, NOW, fingerprint, freeze, shift, thaw
from unisono.totem import Totem
from unisono.totem.transitions import State
from unisono.wire.ring.srp import Token, decode, encode_token

Place: TypeAlias = tuple[RingId, int]
"""A ring and a token sequence; -1 stands for one before the first."""
Numbered: TypeAlias = Storing | Emptied | trace.Record | tuple[NodeId, int]
"""A unit; a datagram is its target and the number of its letter."""
Action: TypeAlias = tuple[str | int | tuple[Place, ...], ...]


class Standing(NamedTuple):
    """Where a node stands that has nothing to do."""

    ring: RingId
    members: tuple[NodeId, ...]
    delivered: int


@dataclass(frozen=True, slots=True)
class NodeState:
    """One state of one node. `deadline` is relative; `blob` is None while no daemon runs."""

    who: trace.Process
    stored: int | None
    blob: bytes | None = None
    deadline: int | None = None
    patience: int | None = None
    accepting: bool = False
    places: tuple[Place, ...] = ()
    """The token sequences that the machine remembers."""
    standing: Standing | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """One datagram; `place` is where its token stands."""

    datagram: bytes
    kind: DatagramKind | None
    place: Place | None


class Consequence(NamedTuple):
    """What came of an action: the node's next state, its units, the rule that it broke."""

    node: int
    units: tuple[Numbered, ...]
    broken: str


class Shelf:
    """All states of nodes and all datagrams of one search."""

    def __init__(
        self,
        nodes: Sequence[NodeId],
        settings: RingSettings,
        guarantees: Sequence[Guarantee],
        *,
        native: bool,
    ) -> None:
        self.nodes: list[NodeState] = []
        self.letters: list[Letter] = []
        self.runs = 0
        """How often a machine was really run."""
        self._node_ids = tuple(nodes)
        self._settings = settings
        self._guarantees = tuple(guarantees)
        self._native = native
        self._node_numbers: dict[object, int] = {}
        self._blobs: dict[bytes, int] = {}
        """Equal blobs are equal states, and quicker to compare; unequal ones may be equal, too."""
        self._letter_numbers: dict[bytes, int] = {}
        self._consequences: dict[tuple[int, Action], Consequence] = {}
        self._moved: dict[tuple[int, tuple[tuple[Place, int], ...]], int] = {}

    # -- numbers ----------------------------------------------------------------------------------

    def off(self, who: trace.Process, stored: int | None) -> int:
        """The number of a node without a daemon; `who` is its last life."""
        number = self._node_numbers.setdefault((who, stored), len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(NodeState(who, stored))
        return number

    def letter(self, datagram: bytes) -> int:
        """The number of a datagram."""
        number = self._letter_numbers.setdefault(datagram, len(self.letters))
        if number == len(self.letters):
            kind = kind_of(datagram)
            place = None
            if kind is DatagramKind.TOKEN:
                token = decode(datagram)
                assert isinstance(token, Token)
                place = _place(token)
            self.letters.append(Letter(datagram, kind, place))
        return number

    def _keep(self, daemon: Daemon) -> int:
        totem = daemon.totem
        lent = {name: getattr(totem, name) for name in CONSTANT}
        for name in CONSTANT:
            setattr(totem, name, None)
        shift(totem, -NOW)
        blob = freeze(daemon)
        number = self._blobs.get(blob)
        if number is not None:
            return number
        number = self._node_numbers.setdefault(fingerprint(daemon), len(self.nodes))
        self._blobs[blob] = number
        if number == len(self.nodes):
            shift(totem, NOW)
            for name, value in lent.items():
                setattr(totem, name, value)
            self.nodes.append(_describe(daemon, blob))
        return number

    def _take(self, number: int) -> Daemon:
        blob = self.nodes[number].blob
        assert blob is not None, "no daemon runs"
        daemon: Daemon = thaw(blob)
        shift(daemon.totem, NOW)
        daemon.totem._settings = self._settings
        daemon.totem._known = frozenset(self._node_ids)
        return daemon

    # -- actions ----------------------------------------------------------------------------------

    def act(self, number: int, action: Action) -> Consequence:
        """What comes of `action` in the node's state `number`."""
        key = (number, action)
        known = self._consequences.get(key)
        if known is None:
            known = self._consequences[key] = self._run(number, action)
        return known

    def _run(self, number: int, action: Action) -> Consequence:
        self.runs += 1
        if action[0] == "start":
            before = self.nodes[number]
            who = trace.Process(before.who.node, before.who.life + 1)
            daemon = Daemon(who, before.stored, self._node_ids, self._settings, native=self._native)
            booted = (trace.Booted(0, who, (before.stored or 0) + 1, True),)
            return self._finish(daemon, daemons.start, 0, booted)
        daemon = self._take(number)
        match action:
            case ("receive", int(source), int(letter)):
                datagram = self.letters[letter].datagram
                return self._finish(daemon, daemons.receive(datagram, NodeId(source)), 0)
            case ("expire", int(elapsed)):
                return self._finish(daemon, daemons.expire, elapsed)
            case ("wait", int(elapsed)):
                return self._finish(daemon, daemons.wait, elapsed)
            case ("sleep", int(elapsed)):
                return self._finish(daemon, daemons.sleep, elapsed)
            case ("send", int(count)):
                guarantee = self._guarantees[count % len(self._guarantees)]
                return self._finish(daemon, daemons.send(payload_of(count), guarantee), 0)
        raise AssertionError(f"unknown action {action}")

    def _finish(
        self,
        daemon: Daemon,
        act: daemons.Act,
        elapsed: int,
        before: tuple[trace.Record, ...] = (),
    ) -> Consequence:
        try:
            units: tuple[Unit, ...] = (*before, *daemon.run(act, elapsed))
        except Broken as broken:
            return Consequence(-1, before, str(broken))
        except Exception as error:  # noqa: BLE001  # whatever a machine raises is the finding
            text = f"no exception: {daemon.who}: {type(error).__name__}: {error}"
            return Consequence(-1, before, text)
        numbered = tuple(
            (unit.target, self.letter(unit.datagram)) if isinstance(unit, Sending) else unit
            for unit in units
        )
        return Consequence(self._keep(daemon), numbered, "")

    # -- token sequences --------------------------------------------------------------------------

    def move_node(self, number: int, moves: tuple[tuple[Place, int], ...]) -> int:
        """The node's state with its token sequences renamed."""
        key = (number, moves)
        moved = self._moved.get(key)
        if moved is None:
            daemon = self._take(number)
            _rename(daemon.totem, dict(moves))
            moved = self._moved[key] = self._keep(daemon)
        return moved

    def move_letter(self, number: int, place: int) -> int:
        """The token's datagram with another token sequence."""
        return self.letter(_renumber(self.letters[number].datagram, place))


def payload_of(count: int) -> bytes:
    """The content of the application's message number `count`, from 0."""
    return b"message %d" % (count + 1)


def _seq(token_seq: int) -> int:
    return -1 if token_seq == SEQ_BEFORE_FIRST else token_seq


def _place(token: Token) -> Place:
    return (token.ring, _seq(token.token_seq))


def _renumber(datagram: bytes, place: int) -> bytes:
    token = decode(datagram)
    assert isinstance(token, Token)
    token.token_seq = SEQ_BEFORE_FIRST if place < 0 else place
    return encode_token(token)


def _describe(daemon: Daemon, blob: bytes) -> NodeState:
    totem = daemon.totem
    store = totem._regular
    standing = None
    if (
        totem._state is State.OPERATIONAL
        and daemon.accepting
        and daemon.idle
        and store.delivered == store.high == store.aru
    ):
        standing = Standing(totem._ring, totem._members, store.delivered)
    return NodeState(
        daemon.who,
        daemon.stored,
        blob,
        daemons.deadline(daemon),
        daemons.patience(daemon),
        daemon.accepting,
        tuple(sorted(_places(totem))),
        standing,
        totem._state,
    )


def _places(totem: Totem) -> set[Place]:
    places: set[Place] = set()
    if totem._state in (State.OPERATIONAL, State.RECOVERY):
        places.add((totem._ring, _seq(totem._token_seq)))
    if totem._saved_token is not None and kind_of(totem._saved_token[1]) is DatagramKind.TOKEN:
        token = decode(totem._saved_token[1])
        assert isinstance(token, Token)
        places.add(_place(token))
    for message in (*totem._to_self, totem._rest):
        if isinstance(message, Token):
            places.add(_place(message))
    return places


def _rename(totem: Totem, moves: dict[Place, int]) -> None:
    def renamed(place: Place) -> int:
        seq = moves.get(place, place[1])
        return SEQ_BEFORE_FIRST if seq < 0 else seq

    if totem._state in (State.OPERATIONAL, State.RECOVERY):
        totem._token_seq = renamed((totem._ring, _seq(totem._token_seq)))
    saved = totem._saved_token
    if saved is not None and kind_of(saved[1]) is DatagramKind.TOKEN:
        token = decode(saved[1])
        assert isinstance(token, Token)
        totem._saved_token = (saved[0], _renumber(saved[1], renamed(_place(token))))
    for message in (*totem._to_self, totem._rest):
        if isinstance(message, Token):
            message.token_seq = renamed(_place(message))


__all__: Final = ["Consequence", "Letter", "NodeState", "Shelf", "Standing", "payload_of"]
