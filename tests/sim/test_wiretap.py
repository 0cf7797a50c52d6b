"""The wiretap and the rest: facts for those who listen, and nothing for the others."""

from collections.abc import Callable, Sequence

import pytest

from unisono.base.ids import SECOND, NodeId
from unisono.services import Engine
from unisono.sim import trace
from unisono.sim.checkers import Checker, Violation, ring_checkers
from unisono.sim.checkers.sequence_uniqueness import SequenceUniqueness
from unisono.sim.clients import engine_settings
from unisono.sim.cluster import Cluster, ring_settings
from unisono.sim.network import NetworkOptions
from unisono.sim.node import GroupMachine
from unisono.sim.plain import PlainGroup
from unisono.sim.rest import rest, weight
from unisono.totem import Totem

NODES = [NodeId(node) for node in (1, 2, 3)]
OPTIONS = NetworkOptions(delay_min_ns=50_000, delay_mean_ns=10_000)


def engine(node: NodeId) -> GroupMachine:
    return Engine(engine_settings(node, NODES, votequorum=True))


def build(
    make_group: Callable[[NodeId], GroupMachine] = PlainGroup, checkers: Sequence[Checker] = ()
) -> Cluster:
    return Cluster(
        NODES,
        seed="tap",
        settings=ring_settings(300),
        options=OPTIONS,
        checkers=checkers,
        make_group=make_group,
    )


def settle(cluster: Cluster) -> None:
    for node in NODES:
        cluster.start(node)
    cluster.run_until(SECOND)


def collect(cluster: Cluster, kind: type) -> list[trace.Fact]:
    facts: list[trace.Fact] = []
    cluster.trace.listen(kind, facts.append)
    return facts


def test_wiretap_when_a_ring_turns_then_tells_every_token_in_order() -> None:
    cluster = build()
    tokens = collect(cluster, trace.TokenPassed)
    settle(cluster)
    last = [fact for fact in tokens if isinstance(fact, trace.TokenPassed)][-9:]
    first = last[0].token_seq
    assert [fact.token_seq for fact in last] == list(range(first, first + 9))
    assert {fact.who.node for fact in last} == set(NODES)
    assert {fact.aru == fact.seq > 0 for fact in last} == {True}


def test_wiretap_when_a_message_is_sent_then_all_others_hear_it() -> None:
    cluster = build()
    heard, numbered = collect(cluster, trace.Heard), collect(cluster, trace.Numbered)
    collect(cluster, trace.TokenPassed)
    settle(cluster)
    heard.clear()
    numbered.clear()
    cluster.send(NODES[0], 100, safe=False)
    cluster.run_until(2 * SECOND)
    (sent,) = [fact for fact in numbered if isinstance(fact, trace.Numbered)]
    listeners = [
        fact.who.node for fact in heard if isinstance(fact, trace.Heard) and sent.seq in fact.seqs
    ]
    assert sent.who.node == NODES[0]
    assert sorted(listeners) == NODES[1:]


@pytest.mark.parametrize("make_group", [PlainGroup, engine])
def test_wiretap_when_services_agree_then_rounds_are_heard_from_all(
    make_group: Callable[[NodeId], GroupMachine],
) -> None:
    cluster = build(make_group)
    sent, heard = collect(cluster, trace.RoundSent), collect(cluster, trace.RoundHeard)
    settle(cluster)
    ring = [fact for fact in sent if isinstance(fact, trace.RoundSent)][-1].ring
    rounds = [fact.who for fact in sent if isinstance(fact, trace.RoundSent) and fact.ring == ring]
    pairs = [f for f in heard if isinstance(f, trace.RoundHeard) and f.ring == ring]
    assert len(rounds) % len(NODES) == 0
    assert len(pairs) == len(rounds) * len(NODES)


def test_wiretap_when_votes_are_counted_then_tells_them_and_the_verdict() -> None:
    cluster = build(engine)
    votes, verdicts = collect(cluster, trace.Voted), collect(cluster, trace.Verdict)
    settle(cluster)
    assert {fact.origin for fact in votes if isinstance(fact, trace.Voted)} == set(NODES)
    last = verdicts[-1]
    assert isinstance(last, trace.Verdict)
    assert (last.quorate, last.total, last.expected, last.quorum) == (True, 3, 3, 2)


def test_facts_when_somebody_listens_then_the_hash_is_the_same() -> None:
    deaf, keen = build(), build(checkers=ring_checkers())
    settle(deaf)
    settle(keen)
    assert deaf.trace.hexdigest() == keen.trace.hexdigest()
    assert deaf.trace.counts == keen.trace.counts


def test_rest_when_a_cluster_is_idle_then_tells_how_idle() -> None:
    cluster = build()
    idled, weighed = collect(cluster, trace.Idled), collect(cluster, trace.Weighed)
    settle(cluster)
    rest(cluster)
    (fact,) = idled
    assert isinstance(fact, trace.Idled)
    assert 0 < fact.datagrams < 100
    assert fact.time > fact.since > SECOND
    parts = {(each.who.node, each.part) for each in weighed if isinstance(each, trace.Weighed)}
    assert len(parts) == 3 * len(NODES)


def test_rest_when_nobody_listens_then_takes_no_time() -> None:
    cluster = build()
    settle(cluster)
    rest(cluster)
    assert cluster.now == SECOND


def test_weight_when_something_is_held_then_counts_it_once() -> None:
    text = b"x" * 100
    assert weight([]) == (1, 0)
    assert weight([text, [text], (text,)]) == (4, 100)


def test_sequence_uniqueness_when_a_repeated_message_is_altered_then_fires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = Totem._resend_requested

    def wrong(self: Totem, *rest: object) -> int:
        before = len(self._effects)
        number = right(self, *rest)  # type: ignore[arg-type]  # passed on as they came
        for effect in self._effects[before:]:
            for place, datagram in enumerate(getattr(effect, "datagrams", ())):
                effect.datagrams[place] = datagram + b"!"  # type: ignore[attr-defined]  # SendAll
        return number

    monkeypatch.setattr(Totem, "_resend_requested", wrong)
    cluster = build(checkers=[SequenceUniqueness()])
    settle(cluster)
    cluster.weather(loss=0.2)

    def say(node: NodeId) -> None:
        cluster.send(node, 500, safe=False)

    for turn in range(200):
        cluster.scheduler.after(turn * SECOND // 20, say, NODES[turn % 3])
    with pytest.raises(Violation, match="sequence uniqueness"):
        cluster.run_until(cluster.now + 10 * SECOND)
