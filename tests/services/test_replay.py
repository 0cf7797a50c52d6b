"""Recorded rings of three real daemons, replayed into an engine in the place of one of them.

The engine hears everything in the recorded total order, the words of the daemon that it replaces
included. What it would say itself must be what that daemon really said.
"""

from collections.abc import Iterator

import pytest

from tests.services.bus import NOW, settings
from tests.services.recorded import RingLife, Said, rings
from unisono.base.clients import ShutDown
from unisono.base.group import (
    ConfigurationChanged,
    ConfigurationKind,
    Delivered,
    Multicast,
    SyncFinished,
)
from unisono.base.ids import NodeId, Seq
from unisono.config.settings import QuorumSettings
from unisono.services import Engine
from unisono.services.cluster import Effect
from unisono.wire.service.header import GROUP_NATIVE, GROUP_SERVICES
from unisono.wire.service.votequorum import NODEINFO, NodeFlag

RUNS = ["udpu3", "udp3", "services_cfg"]
Groups = dict[str, set[tuple[int, int]]]


def own_words(life: RingLife, node_id: int) -> list[Said]:
    """What the daemon said for the synchronisation of this ring, from its service list on."""
    words = [said for said in life.messages if said.origin == node_id]
    first = next(
        number
        for number, said in enumerate(words)
        if said.decoded.get("sync") == "service_build"
        and said.decoded["ring_id"] == {"rep": life.ring.rep, "seq": life.ring.seq}
    )
    last = max(number for number, said in enumerate(words) if said.decoded.get("sync") == "barrier")
    return words[first : last + 1]


def has_started(life: RingLife, node_id: int) -> bool:
    """Whether the daemon said its first words in this ring: its votes before its services."""
    words = [said for said in life.messages if said.origin == node_id]
    start = words.index(own_words(life, node_id)[0])
    return any(
        said.decoded.get("name") == "nodeinfo" and said.decoded["flags"] & NodeFlag.FIRST
        for said in words[:start]
    )


def daemon(life: RingLife, node_id: int) -> Engine:
    """An engine with the settings that the daemon had in this ring."""
    words = own_words(life, node_id)
    versions = [
        said.decoded["items"][0].get("value", 0)
        for said in words
        if said.decoded.get("service") == "CMAP"
    ]
    quorum = QuorumSettings(
        votequorum=5 in words[0].decoded["service_list"],
        expected_votes=3,
    )
    return Engine(settings(node_id, 3, version=versions[0], quorum=quorum))


def configurations(life: RingLife, node_id: NodeId) -> Iterator[ConfigurationChanged]:
    previous = life.previous[node_id]
    stayed = tuple(
        one
        for one in life.members
        if one == node_id or (previous is not None and life.previous[one] == previous)
    )
    yield ConfigurationChanged(ConfigurationKind.TRANSITIONAL, life.ring, stayed, (), ())
    yield ConfigurationChanged(ConfigurationKind.REGULAR, life.ring, life.members, (), ())


def masked(message: bytes) -> bytes:
    """Without the padding of the header, and without the quorate flag.

    A daemon that lost the majority still claims to be quorate until its phase is over; we do not.
    A downlist repeats what an earlier one said beyond its count.
    """
    spoken = bytearray(message)
    spoken[4:8] = spoken[12:16] = bytes(4)
    if spoken[:4] == NODEINFO.to_bytes(4, "little"):
        spoken[28] &= ~NodeFlag.QUORATE
    if len(spoken) == 1568:
        spoken[32 + 4 * spoken[24] :] = b""
    return bytes(spoken)


def of_kind(effects: list[Effect]) -> list[bytes]:
    return [
        masked(bytes(one.payload))
        for one in effects
        if isinstance(one, Multicast) and one.group != GROUP_NATIVE
    ]


def groups_of(engine: Engine) -> Groups:
    status = engine.status()["groups"]
    assert isinstance(status, dict)
    return {name: {(one["node"], one["pid"]) for one in found} for name, found in status.items()}


class Replay:
    """One run with one daemon replaced."""

    def __init__(self, run: str, node_id: int) -> None:
        self.run = run
        self.node_id = NodeId(node_id)
        self.engine: Engine | None = None
        self.lives = 0
        self.rings = 0
        self.compared = 0
        self.stopped: list[ShutDown] = []

    def play(self) -> None:
        for life in rings(self.run):
            if self.node_id in life.members:
                self.ring(life)
                self.rings += 1

    def ring(self, life: RingLife) -> None:
        starts = has_started(life, self.node_id)
        # A run may begin with daemons that were in rings before: their old members are not known.
        is_known = starts or self.engine is not None
        if self.engine is None or starts:
            self.engine = daemon(life, self.node_id)
            self.lives += 1
        engine = self.engine
        spoken: list[bytes] = []
        for change in configurations(life, self.node_id):
            engine.receive(change, NOW)
            spoken += self.take(engine)
        barriers = sum(said.decoded.get("sync") == "barrier" for said in life.messages)
        expected: Groups = {}
        for said in life.messages:
            event = Delivered(
                said.origin, said.group, memoryview(said.payload), life.ring, Seq(said.seq)
            )
            engine.receive(event, NOW)
            spoken += self.take(engine)
            barriers -= said.decoded.get("sync") == "barrier"
            assert engine.accepting == (barriers == 0)
            self.count(expected, said)
            if barriers == 0:
                assert groups_of(engine) == {name: who for name, who in expected.items() if who}
        if is_known:
            self.compare(life, spoken)
        assert engine.status()["native"] is False
        if engine._votequorum is not None:
            voters = {
                one.origin for one in life.messages if one.decoded.get("service") == "VOTEQUORUM"
            }
            assert engine._votequorum.total_votes == len(voters)

    def compare(self, life: RingLife, spoken: list[bytes]) -> None:
        recorded = [masked(said.payload) for said in own_words(life, self.node_id)]
        # The votes at the start are a word of their own, before the first service list.
        assert spoken[len(spoken) - len(recorded) :] == recorded
        self.compared += 1

    @staticmethod
    def count(expected: Groups, said: Said) -> None:
        """Groups by the recorded fields alone: the joinlists of this ring, joins and leaves."""
        match said.decoded.get("name"):
            case "joinlist":
                for entry in said.decoded["entries"]:
                    expected.setdefault(entry["group"], set()).add((said.origin, entry["pid"]))
            case "procjoin":
                group = expected.setdefault(said.decoded["group"], set())
                group.add((said.origin, said.decoded["pid"]))
            case "procleave":
                expected[said.decoded["group"]].discard((said.origin, said.decoded["pid"]))

    def take(self, engine: Engine) -> list[bytes]:
        effects = engine.drain()
        self.stopped += [one for one in effects if isinstance(one, ShutDown)]
        finished = [one for one in effects if isinstance(one, SyncFinished)]
        assert len(finished) <= 1
        return of_kind(effects)


@pytest.mark.parametrize("node_id", [1, 2, 3])
@pytest.mark.parametrize("run", RUNS)
def test_recorded_run_when_replayed_then_the_engine_says_what_the_daemon_said(
    run: str, node_id: int
) -> None:
    replay = Replay(run, node_id)
    replay.play()
    assert replay.rings >= 4
    assert replay.rings - replay.compared == (run == "services_cfg")
    # Killed, left or stopped nodes began anew.
    assert (replay.lives > 1) == (node_id != 1 and (run != "services_cfg" or node_id == 3))


def test_recorded_orders_when_replayed_then_each_node_ends_as_it_should() -> None:
    stopped = {}
    for node_id in (1, 2, 3):
        replay = Replay("services_cfg", node_id)
        replay.play()
        stopped[node_id] = [(one.clean, one.status) for one in replay.stopped]
    # Node 3 had version 6 against 7, then 9, which the running ones bear, and was killed at
    # last; node 2 was shut down.
    assert stopped[3] == [(True, 255), (False, 255)]
    assert stopped[2] == [(True, 0)]
    assert stopped[1] == []


def test_recorded_messages_when_replayed_then_a_member_would_get_each_of_them() -> None:
    """All messages of the burst pass the check of their sender's node."""
    first = next(rings("udpu3"))
    engine = daemon(first, 3)
    for change in configurations(first, NodeId(3)):
        engine.receive(change, NOW)
    burst = 0
    for said in first.messages:
        burst += said.group == GROUP_SERVICES and "msglen" in said.decoded
        view = memoryview(said.payload)
        engine.receive(Delivered(said.origin, said.group, view, first.ring, Seq(said.seq)), NOW)
    status = engine.status()
    assert status["messages"] == {"cpg": burst, "blocks": 0}
    assert burst == 103
    marks = status["marks"]
    assert isinstance(marks, dict)
    assert "SENDER_UNKNOWN" not in marks
    assert "SERVICE_MESSAGE_MALFORMED" not in marks
