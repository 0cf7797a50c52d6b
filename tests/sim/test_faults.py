"""Faults: what each of them does to nodes and links, and what a plan of them looks like."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from unisono.base.group import SendAll
from unisono.base.ids import MS, SECOND, NodeId
from unisono.base.marks import Mark
from unisono.services import Engine
from unisono.sim import trace
from unisono.sim.armour import Armour
from unisono.sim.attrition import LIES
from unisono.sim.checkers import (
    BoundedQueues,
    Liveness,
    group_checkers,
    ring_checkers,
    secure_checkers,
)
from unisono.sim.clients import ClientDesk, engine_settings
from unisono.sim.cluster import Cluster, ring_settings
from unisono.sim.faults import _VERBS, HAZARDS, Fault, Storm, apply, is_byzantine, plan_faults
from unisono.sim.forgery import forge
from unisono.sim.hazard import Maker
from unisono.sim.network import Inlet, NetworkOptions
from unisono.sim.node import SYNC
from unisono.sim.secure_cluster import SecureCluster
from unisono.sim.siege import SIEGE
from unisono.sim.storms import load_storms
from unisono.sim.workload import CLIENT_VERBS, ClientAction, plan_clients, plan_messages

ONE, TWO, THREE, FOUR = (NodeId(number) for number in range(1, 5))
QUIET = NetworkOptions(delay_min_ns=100_000, delay_mean_ns=0)


def build(*nodes: NodeId, honest: bool = True) -> Cluster:
    cluster = Cluster(
        nodes or (ONE, TWO, THREE),
        seed="faults",
        settings=ring_settings(200),
        options=QUIET,
        checkers=ring_checkers() if honest else [Liveness(), BoundedQueues()],
    )
    for node in cluster.nodes:
        cluster.start(node)
    assert cluster.run_until_together(2 * SECOND)
    return cluster


def build_secure() -> Cluster:
    cluster = SecureCluster(
        (ONE, TWO, THREE, FOUR),
        seed="faults",
        settings=ring_settings(200),
        options=QUIET,
        checkers=ring_checkers() + secure_checkers(),
        armour=Armour(links=2),
    )
    for node in cluster.nodes:
        cluster.start(node)
    assert cluster.run_until_together(2 * SECOND)
    return cluster


def records(cluster: Cluster, kind: type) -> list[Any]:
    kept: list[Any] = []
    cluster.trace.listen(kind, kept.append)
    return kept


def be_well(cluster: Cluster, sends: bool = True) -> None:
    """The storm is over: everybody finds everybody, and is heard."""
    deadline = cluster.calm(QUIET)
    assert cluster.run_until_together(deadline)
    if cluster.is_byzantine:
        cluster.judge_delivery_from_now()
    for node in cluster.nodes if sends else ():
        cluster.send(node, 100, safe=True)
    assert cluster.run_until_settled(deadline + cluster.recovery_bound(QUIET))
    cluster.conclude()


# -- daemons that die -----------------------------------------------------------------------------


def ear(node: NodeId, heard: list[tuple[NodeId, bytes]]) -> Inlet:
    return lambda data, source: heard.append((node, data))


def test_kill_in_send_when_it_multicasts_then_only_the_first_copies_leave() -> None:
    prefixes: set[tuple[tuple[NodeId, bytes], ...]] = set()
    for choice in range(8):
        cluster = build()
        sent: list[tuple[NodeId, bytes]] = []
        for node in (ONE, THREE):
            cluster.network.attach(node, ear(node, sent))
        cluster.kill_in_send(TWO, 1, choice)
        cluster.nodes[TWO]._send_all(SendAll([b"whole"]))
        cluster.nodes[TWO]._send_all(SendAll([b"first", b"second"]))
        cluster.run_until(cluster.now + 10 * MS)
        assert not cluster.nodes[TWO].running
        assert [data for _, data in sent].count(b"whole") == 2
        prefixes.add(tuple(sorted(each for each in sent if each[1] in (b"first", b"second"))))
    first, second = b"first", b"second"
    assert prefixes == {
        (),
        ((ONE, first),),
        ((ONE, first), (ONE, second)),
        ((ONE, first), (THREE, first)),
        ((ONE, first), (ONE, second), (THREE, first)),
    }


def test_kill_in_send_when_the_multicast_is_real_then_the_others_agree_about_it() -> None:
    for choice in range(12):
        cluster = build(ONE, TWO, THREE, FOUR)
        cluster.kill_in_send(ONE, 0, choice)
        for _ in range(3):
            cluster.send(ONE, 5_000, safe=False)
        cluster.run_until(cluster.now + 300 * MS)
        assert not cluster.nodes[ONE].running
        be_well(cluster)


@pytest.mark.parametrize("state", ["gather", "commit", "recovery", SYNC])
def test_kill_in_state_when_the_ring_changes_then_dies_in_that_state(state: str) -> None:
    cluster = build()
    crashed = records(cluster, trace.Crashed)
    cluster.kill_in_state(TWO, state, 0, 5 * SECOND)
    cluster.run_until(cluster.now + 50 * MS)
    assert not crashed
    seen: list[str] = []
    node = cluster.nodes[TWO]
    look = node._look_at_trap

    def watch(trap: Any) -> None:
        assert node.totem is not None
        look(trap)
        if node.crash_after is not None:
            seen.append(node.totem.state.value)

    node._look_at_trap = watch  # type: ignore[method-assign]  # listens, and does the same
    cluster.kill(THREE)
    cluster.run_until(cluster.now + 3 * SECOND)
    assert [record.who.node for record in crashed] == [THREE, TWO]
    assert seen == ["operational" if state == SYNC else state]
    be_well(cluster)


def test_kill_in_state_when_the_time_is_over_then_lives_on() -> None:
    cluster = build()
    cluster.kill_in_state(TWO, "gather", 0, 100 * MS)
    cluster.run_until(cluster.now + 200 * MS)
    cluster.kill(THREE)
    cluster.run_until(cluster.now + SECOND)
    assert cluster.nodes[TWO].running


def test_start_when_it_runs_then_it_is_spared() -> None:
    cluster = build()
    for threaten in (
        lambda: cluster.kill_within(TWO, 0),
        lambda: cluster.kill_in_send(TWO, 0, 3),
        lambda: cluster.kill_in_state(TWO, "operational", 0, SECOND),
    ):
        threaten()
        cluster.start(TWO)
        cluster.send(TWO, 2_000, safe=False)
        cluster.run_until(cluster.now + SECOND)
        assert cluster.nodes[TWO].running


# -- stores ---------------------------------------------------------------------------------------


def churned() -> Cluster:
    """Node 1 made some rings, and nobody is on one of them any more."""
    cluster = build()
    for _ in range(3):
        cluster.kill(TWO)
        cluster.run_until(cluster.now + SECOND)
        cluster.start(TWO)
        cluster.run_until(cluster.now + SECOND)
    cluster.kill(ONE)
    cluster.run_until(cluster.now + 2 * SECOND)
    return cluster


def test_start_with_an_old_store_when_nobody_remembers_then_an_old_number_is_found() -> None:
    cluster = churned()
    booted = records(cluster, trace.Booted)
    last = cluster.nodes[ONE].stored_ring_seq
    assert last is not None
    cluster.start(ONE, stores_back=2)
    assert not booted[0].kept
    assert 1 < booted[0].ring_seq < last
    be_well(cluster)


def test_start_with_an_old_store_when_a_replay_is_to_come_then_the_store_is_kept() -> None:
    cluster = churned()
    booted = records(cluster, trace.Booted)
    cluster.weather(replay=1.0, replay_ns=60 * SECOND)
    cluster.run_until(cluster.now + 100 * MS)
    cluster.start(ONE, stores_back=2)
    assert booted[0].kept
    be_well(cluster)


def test_start_without_a_store_when_others_are_on_its_ring_then_only_at_any_price() -> None:
    cluster = build()
    booted = records(cluster, trace.Booted)
    cluster.kill(ONE)
    cluster.start(ONE, keep_store=False)
    cluster.kill(ONE)
    assert booted[-1].kept
    assert not cluster.is_byzantine
    cluster.start(ONE, keep_store=False, at_any_price=True)
    assert booted[-1].ring_seq == 1
    assert cluster.is_byzantine


# -- time -----------------------------------------------------------------------------------------


def token_lost(cluster: Cluster, node: NodeId, most: int) -> int:
    """Nanoseconds until `node` misses the token after all others died."""
    begin = cluster.now
    cluster.world.marks.clear()
    for other in cluster.nodes:
        if other != node:
            cluster.kill(other)
    while Mark.TOKEN_LOST not in cluster.world.marks and cluster.now < begin + most:
        cluster.run_until(cluster.now + MS)
    return cluster.now - begin


@pytest.mark.parametrize(("rate", "least", "most"), [(100_000, 130, 184), (-100_000, 180, 224)])
def test_drift_when_a_clock_is_wrong_then_time_outs_are(rate: int, least: int, most: int) -> None:
    cluster = build()
    cluster.drift(TWO, rate)
    assert least * MS < token_lost(cluster, TWO, SECOND) < most * MS


def test_leap_when_a_clock_jumps_then_what_was_far_off_is_due() -> None:
    cluster = build()
    cluster.leap(TWO, 150 * MS)
    assert token_lost(cluster, TWO, SECOND) < 60 * MS


def test_freeze_when_the_clock_stops_too_then_nobody_notices_at_home() -> None:
    cluster = build()
    marks = cluster.world.marks
    for stop, noticed in ((cluster.pause, True), (cluster.freeze, False)):
        marks.clear()
        stop(TWO)
        cluster.run_until(cluster.now + 150 * MS)
        cluster.nodes[TWO].arrive(forge("join", {"sender": THREE, "ring_seq": 1}), THREE)
        cluster.resume(TWO)
        assert (Mark.PAUSE_DETECTED in marks) is noticed
        be_well(cluster)


def test_slow_when_a_process_is_slow_then_each_datagram_waits_for_the_one_before() -> None:
    cluster = build()
    cluster.slow(TWO, 1_000)
    delivered = records(cluster, trace.Delivered)
    begin = cluster.now
    for _ in range(30):
        cluster.send(ONE, 1_300, safe=False)
    cluster.run_until(begin + 500 * MS)
    last = {node: max(r.time for r in delivered if r.who.node == node) for node in (TWO, THREE)}
    assert last[THREE] - begin < 20 * MS
    assert last[TWO] - begin > 30 * 5 * MS / 2
    cluster.slow(TWO, 1)
    be_well(cluster)


def test_slow_when_it_ends_then_what_waits_is_read_at_once() -> None:
    cluster = build()
    cluster.slow(TWO, 1_000)
    for _ in range(30):
        cluster.send(ONE, 1_300, safe=False)
    cluster.run_until(cluster.now + 10 * MS)
    delivered = records(cluster, trace.Delivered)
    cluster.slow(TWO, 1)
    assert {record.time for record in delivered if record.who.node == TWO} == {cluster.now}


# -- configuration --------------------------------------------------------------------------------


def test_configure_when_a_file_lacks_a_node_then_not_before_the_next_start() -> None:
    cluster = build()
    cluster.configure(THREE, 0, (ONE,))
    cluster.run_until(cluster.now + SECOND)
    assert cluster.liveness.settled
    cluster.kill(THREE)
    cluster.run_until(cluster.now + SECOND)
    cluster.start(THREE)
    cluster.run_until(cluster.now + 2 * SECOND)
    assert not cluster.liveness.settled
    assert Mark.NODE_UNKNOWN in cluster.world.marks
    be_well(cluster)


def test_configure_when_time_outs_differ_then_the_impatient_gives_up_first() -> None:
    cluster = build()
    cluster.kill(TWO)
    cluster.configure(TWO, 2_000, ())
    cluster.run_until(cluster.now + SECOND)
    cluster.start(TWO)
    assert cluster.run_until_together(cluster.now + 5 * SECOND)
    assert token_lost(cluster, TWO, 3 * SECOND) > SECOND


def test_calm_when_a_daemon_still_has_an_old_file_then_it_starts_again() -> None:
    cluster = build()
    cluster.kill(THREE)
    cluster.configure(THREE, 0, (ONE,))
    cluster.start(THREE)
    cluster.pause(THREE)
    cluster.leave(THREE)  # not heard: it sleeps
    cluster.configure(THREE, 0, ())
    be_well(cluster)


# -- lies -----------------------------------------------------------------------------------------


def test_twin_when_it_runs_then_two_processes_have_one_name_until_the_calm() -> None:
    cluster = build(honest=False)
    booted, crashed = records(cluster, trace.Booted), records(cluster, trace.Crashed)
    cluster.twin(TWO)
    cluster.run_until(cluster.now + 300 * MS)
    assert [record.who.node for record in booted] == [TWO]
    assert booted[0].who != cluster.nodes[TWO].who
    assert cluster.is_byzantine
    cluster.calm(QUIET)
    assert [record.who for record in crashed] == [booted[0].who]
    be_well(cluster)


def test_lies_when_told_then_they_arrive_and_never_raise() -> None:
    random = Random(1)
    cluster = Cluster(
        (ONE, TWO, THREE), seed="lies", settings=ring_settings(200), options=QUIET, checkers=[]
    )
    for node in cluster.nodes:
        cluster.start(node)
    storm = Storm((ONE, TWO, THREE), SECOND, 200 * MS, 240 * MS, QUIET)
    heard: set[str] = set()
    for name in ("forge", "tamper", "echo"):
        for fault in HAZARDS[name](random, storm, 0):
            cluster.run_until(cluster.now + MS)
            apply(fault, cluster)
            heard.add(fault.verb)
    assert heard == {"forge", "eavesdrop", "tamper", "echo"}
    assert cluster.is_byzantine


# -- clients --------------------------------------------------------------------------------------


def build_with_clients() -> Cluster:
    nodes = (ONE, TWO)
    cluster = Cluster(
        nodes,
        seed="clients",
        settings=ring_settings(200),
        options=QUIET,
        checkers=ring_checkers() + group_checkers(),
        make_group=lambda node: Engine(engine_settings(node, nodes, votequorum=False)),
    )
    cluster.desks = {node: ClientDesk(machine) for node, machine in cluster.nodes.items()}
    for node in nodes:
        cluster.start(node)
    assert cluster.run_until_together(2 * SECOND)
    for node in nodes:
        do(cluster, node, "open")
    cluster.run_until(cluster.now + 200 * MS)
    return cluster


def do(cluster: Cluster, node: NodeId, verb: str, *sizes: int, doze_ns: int = 0) -> None:
    action = ClientAction(cluster.now, node, verb, 0, b"red", True, sizes, False, doze_ns)
    cluster.desks[node].do(action, cluster.mint)


def test_doze_when_a_client_is_far_behind_then_its_daemon_is_paced_until_it_reads() -> None:
    cluster = build_with_clients()
    paces: list[bool] = []
    pace = cluster.nodes[TWO].pace

    def listen(slow: bool) -> None:
        paces.append(slow)
        pace(slow)

    cluster.nodes[TWO].pace = listen  # type: ignore[method-assign]  # listens, and does the same
    do(cluster, TWO, "doze", doze_ns=500 * MS)
    do(cluster, ONE, "send", 1_000)
    cluster.run_until(cluster.now + 100 * MS)
    assert paces == []
    do(cluster, ONE, "send", *[10_000] * 5)
    cluster.run_until(cluster.now + 300 * MS)
    assert paces == [True]
    cluster.run_until(cluster.now + 200 * MS)
    assert paces == [True, False]
    assert cluster.run_until_settled(cluster.now + SECOND)
    cluster.conclude()


def test_doze_when_the_client_dies_asleep_then_it_sends_nothing_later() -> None:
    cluster = build_with_clients()
    sent = records(cluster, trace.GroupSent)
    do(cluster, TWO, "doze", doze_ns=50 * MS)
    do(cluster, TWO, "send", 100)
    do(cluster, TWO, "die")
    cluster.run_until(cluster.now + 200 * MS)
    assert sent == []


def test_doze_when_all_is_calm_then_everybody_wakes() -> None:
    cluster = build_with_clients()
    sent = records(cluster, trace.GroupSent)
    do(cluster, TWO, "doze", doze_ns=3_000 * SECOND)
    do(cluster, TWO, "send", 100)
    assert sent == []
    deadline = cluster.calm(QUIET)
    assert [record.who.node for record in sent] == [TWO]
    assert cluster.run_until_settled(deadline)
    cluster.conclude()


def test_die_sending_when_the_daemon_sleeps_then_nothing_was_said() -> None:
    cluster = build_with_clients()
    sent, ended = records(cluster, trace.GroupSent), records(cluster, trace.ClientEnded)
    cluster.pause(TWO)
    do(cluster, TWO, "die_sending", 100, 100)
    cluster.resume(TWO)
    do(cluster, ONE, "die_sending", 100, 100)
    cluster.run_until(cluster.now + SECOND)
    assert [record.who.node for record in sent] == [ONE, ONE]
    assert [(record.who.node, record.died) for record in ended] == [(TWO, True), (ONE, True)]
    be_well(cluster, sends=False)


# -- plans ----------------------------------------------------------------------------------------

STORM = Storm((ONE, TWO, THREE, FOUR), 5 * SECOND, 200 * MS, 240 * MS, QUIET)


@pytest.mark.parametrize("maker", HAZARDS.values(), ids=HAZARDS)
def test_hazard_when_drawn_then_is_plain_data_that_can_be_done(maker: Maker) -> None:
    def is_plain(value: object) -> bool:
        if isinstance(value, tuple):
            return all(map(is_plain, value))
        return isinstance(value, int | float | str)

    for seed in range(20):
        faults = maker(Random(seed), STORM, 7)
        assert min(fault.time for fault in faults) == 7
        for fault in faults:
            assert fault.verb in _VERBS or callable(getattr(SecureCluster, fault.verb))
            assert is_plain(fault.arguments), fault


@pytest.mark.parametrize("name", HAZARDS)
def test_hazard_when_it_is_over_then_all_is_well_again(name: str) -> None:
    if name in SIEGE:
        cluster = build_secure()
    else:
        cluster = build(ONE, TWO, THREE, FOUR, honest=name not in LIES)
    begin = cluster.now
    for fault in HAZARDS[name](Random(3), STORM, 0):
        if fault.time < SECOND:
            cluster.scheduler.at(begin + fault.time, apply, fault, cluster)
    for step in range(10):
        cluster.run_until(begin + step * 100 * MS)
        for node in cluster.nodes.values():
            if node.running:
                cluster.send(node.node, 500, safe=step % 2 == 0)
    cluster.run_until(begin + SECOND)
    be_well(cluster)


def test_plan_faults_when_a_kind_is_given_then_draws_from_it_alone() -> None:
    (kind,) = (kind for kind in load_storms() if kind.name == "pauses")
    verbs: set[str] = set()
    for seed in range(60):
        faults = plan_faults(Random(seed), STORM, kind)
        assert faults == plan_faults(Random(seed), STORM, kind)
        assert [fault.time for fault in faults] == sorted(fault.time for fault in faults)
        verbs |= {fault.verb for fault in faults}
    assert verbs == {
        "pause", "resume", "freeze", "leap", "drift", "kill", "kill_within", "start",
    }  # fmt: skip


def test_plan_faults_when_faults_belong_together_then_they_share_a_pair() -> None:
    (kind,) = (kind for kind in load_storms() if kind.name == "everything")
    pairs: dict[tuple[int, int], list[Fault]] = {}
    for seed in range(40):
        for fault in plan_faults(Random(seed), STORM, kind):
            pairs.setdefault((seed, fault.pair), []).append(fault)
    together = [faults for (_, pair), faults in pairs.items() if pair]
    assert all(len(faults) > 1 for faults in together)
    weather = [faults for faults in together if faults[0].verb == "weather"]
    assert weather
    for begin, end in weather:
        assert [name for name, _ in begin.arguments] == [name for name, _ in end.arguments]


def test_is_byzantine_when_somebody_lies_then_says_so() -> None:
    assert not is_byzantine([Fault(0, "kill", (ONE,)), Fault(0, "weather", (("replay", 0.1),))])
    for verb in ("echo", "tamper", "forge", "corrupt", "twin", "start_anyway"):
        assert is_byzantine([Fault(0, "kill", (ONE,)), Fault(1, verb)])
    honest = [kind for kind in load_storms() if kind.name != "byzantine"]
    for kind in honest:
        for name, _ in kind.hazards:
            faults = HAZARDS[name](Random(1), STORM, 0)
            assert not is_byzantine(faults, is_secure=kind.stack == "secure"), (kind.name, name)


def test_is_byzantine_when_the_ring_is_secure_then_only_with_keys_or_a_lost_store() -> None:
    for verb in ("echo", "tamper", "forge", "corrupt", "replay", "redirect"):
        assert not is_byzantine([Fault(0, verb)], is_secure=True)
    for verb in ("twin", "start_anyway"):
        assert is_byzantine([Fault(0, verb)], is_secure=True)


def test_plan_messages_when_a_kind_is_given_then_keeps_to_its_bounds() -> None:
    (calm,) = (kind for kind in load_storms() if kind.name == "calm")
    work = replace(
        calm.workload, bursts=(2, 2), burst_messages=(3, 3), sizes=("word",), largest_share=0.0
    )
    kind = replace(calm, workload=replace(work, safe_shares=(1.0,)))
    messages = plan_messages(Random(1), STORM.nodes, SECOND, [], kind)
    assert len(messages) == 6
    assert all(message.safe and message.size <= 40 for message in messages)


def test_plan_clients_when_drawn_then_do_all_that_clients_can() -> None:
    actions = [a for seed in range(20) for a in plan_clients(Random(seed), STORM.nodes, SECOND, [])]
    assert {action.verb for action in actions} == set(CLIENT_VERBS)
    assert all((action.doze_ns > 0) == (action.verb == "doze") for action in actions)
    assert all(action.sizes for action in actions if action.verb == "die_sending")
