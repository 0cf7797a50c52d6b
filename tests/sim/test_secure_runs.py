"""What the secure stack of the simulator is made of, and how its runs are drawn."""

from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from unisono.base.ids import MS, SECOND, NodeId
from unisono.crypto.sender_keys import CIPHERS
from unisono.sim import trace
from unisono.sim.armour import Armour, Vault
from unisono.sim.fabric import Fabric, packet_type
from unisono.sim.hazard import Fault, Storm
from unisono.sim.network import NetworkOptions
from unisono.sim.notary import Notary
from unisono.sim.picture import Recorder
from unisono.sim.plan import SECURE, Plan, Request, draw_plan
from unisono.sim.run import run_plan, run_seed
from unisono.sim.scheduler import Scheduler
from unisono.sim.siege import SIEGE, is_harmless
from unisono.sim.storms import StormError
from unisono.wire.ust.header import Header, PacketType

ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)
CALM = NetworkOptions(delay_min_ns=50_000, delay_mean_ns=10_000)


# -- the fabric -----------------------------------------------------------------------------------


def fabric(links: int = 2) -> tuple[Fabric, Scheduler, list[tuple[NodeId, int, bytes]]]:
    scheduler = Scheduler()
    made = Fabric(scheduler, "test", CALM, links)
    came: list[tuple[NodeId, int, bytes]] = []
    for node in (ONE, TWO):
        made.attach(node, lambda packet, source, link: came.append((source, link, packet)))
    return made, scheduler, came


def test_fabric_when_one_link_is_cut_then_the_others_carry() -> None:
    made, scheduler, came = fabric()
    made.planes[0].cut([(ONE, TWO)])
    made.send(ONE, TWO, 0, b"lost")
    made.send(ONE, TWO, 1, b"heard")
    made.send(TWO, ONE, 0, b"the other way")
    scheduler.run_until(SECOND)
    assert sorted(came) == [(ONE, 1, b"heard"), (TWO, 0, b"the other way")]
    assert (made.is_open(ONE, TWO, 0), made.is_open(ONE, TWO, 1)) == (False, True)


def test_fabric_when_partitioned_then_on_every_link_until_joined() -> None:
    made, scheduler, came = fabric()
    made.partition([[ONE], [TWO]])
    for link in (0, 1):
        made.send(ONE, TWO, link, b"lost")
    made.join(made.links_between([[ONE], [TWO]]))
    made.send(ONE, TWO, 1, b"heard")
    scheduler.run_until(SECOND)
    assert came == [(ONE, 1, b"heard")]


def test_fabric_when_a_packet_is_larger_than_the_path_then_it_is_lost_in_silence() -> None:
    made, scheduler, came = fabric()
    heard: list[int] = []
    made.listeners.append(lambda _source, _target, _link, packet: heard.append(len(packet)))
    made.room[1] = 1_200
    for size in (1_200, 1_201):
        made.send(ONE, TWO, 1, bytes(size))
    scheduler.run_until(SECOND)
    assert [len(packet) for _, _, packet in came] == [1_200]
    assert heard == [1_200, 1_201]
    assert made.too_large == 1


def test_packet_type_when_there_is_no_header_then_none() -> None:
    header = Header(PacketType.PAIR, 0, 1, ONE, 0, 0).encode()
    assert packet_type(header) is PacketType.PAIR
    assert packet_type(header[:-1]) is None
    assert packet_type(b"\0" + header) is None


# -- keys and entropy -----------------------------------------------------------------------------


def test_vault_when_made_again_then_has_the_same_keys_and_others_for_another_seed() -> None:
    nodes = (ONE, TWO)
    first, again, other = Vault("1", nodes), Vault("1", nodes), Vault("2", nodes)
    assert first.keys(1) == again.keys(1)
    assert len({first.keys(1).kid, first.keys(2).kid, other.keys(1).kid}) == 3
    assert first.static_keys(ONE)[TWO] == again.static_keys(ONE)[TWO]
    assert first.address(TWO, 1) == "10.1.0.2:5406"


def notary() -> tuple[Notary, list[Any]]:
    book = trace.Trace()
    facts: list[Any] = []
    for kind in (trace.Secret, trace.Sealed):
        book.listen(kind, facts.append)
    who = trace.Process(ONE, 1)
    return Notary(who, book, lambda: 7, Random(1), CIPHERS["aes256"]), facts


def test_notary_when_it_seals_then_tells_key_and_nonce() -> None:
    made, facts = notary()
    key = made.entropy(32)
    assert made.entropy(12) != key[:12]
    made.cipher(key).encrypt(bytes(12), b"text", b"")
    assert [type(fact).__name__ for fact in facts] == ["Secret", "Secret", "Sealed"]
    assert facts[-1] == (7, trace.Process(ONE, 1), key, bytes(12))


def test_notary_when_two_seals_have_equal_contents_then_each_is_named_once() -> None:
    made, _ = notary()
    aead = made.cipher(bytes(32))
    nonces = [bytes(11) + bytes((number,)) for number in range(2)]
    for nonce in nonces:
        aead.decrypt(nonce, aead.encrypt(nonce, b"join", b""), b"")
    named = [made.seal_of(b"join") for _ in range(3)]
    assert named[:2] == [bytes(32) + nonce for nonce in nonces]
    assert named[2] == named[0], "the third must be one that was named before"
    made.forget()
    assert made.seal_of(b"join") == named[0]
    assert made.seal_of(b"other") == b""


def test_notary_when_a_machine_is_copied_then_entropy_goes_on() -> None:
    made, _ = notary()
    copied = deepcopy([made.entropy])
    assert copied[0](8) != made.entropy(8)


# -- how runs are drawn ---------------------------------------------------------------------------


def test_draw_plan_when_nothing_is_asked_for_then_every_fourth_seed_is_secure() -> None:
    stacks = [draw_plan(Request(seed)).stack for seed in range(40)]
    assert [seed for seed, stack in enumerate(stacks) if stack == SECURE] == list(range(3, 40, 4))
    clear = {draw_plan(Request(seed, stack="clear")).stack for seed in range(40)}
    assert clear == {"ring", "services"}


def test_draw_plan_when_a_storm_is_of_the_secure_stack_then_no_other_is_drawn() -> None:
    assert draw_plan(Request(1, storm="siege")).stack == SECURE
    with pytest.raises(StormError, match="siege: only with the stack secure, not ring"):
        draw_plan(Request(1, stack="ring", storm="siege"))
    drawn = {draw_plan(Request(seed, stack="clear")).storm for seed in range(300)}
    assert not drawn & {"siege", "links", "keys", "assault"}
    assert {"siege", "links", "keys", "assault", "everything"} <= {
        draw_plan(Request(seed, stack=SECURE)).storm for seed in range(100)
    }


def test_draw_plan_when_secure_then_links_modes_ciphers_and_frames_vary() -> None:
    plans = [draw_plan(Request(seed, stack=SECURE)) for seed in range(60)]
    assert {plan.armour.links for plan in plans} == {1, 2, 3}
    assert {plan.armour.link_mode for plan in plans} == {"passive", "active", "rr"}
    assert {plan.armour.cipher for plan in plans} == set(CIPHERS)
    assert {plan.armour.has_node_keys for plan in plans} == {True, False}
    frames = [plan.settings.net_mtu_bytes for plan in plans]
    assert min(frames) < 1_500 < max(frames)
    assert draw_plan(Request(7, stack="services")).armour == Armour()


def test_siege_when_drawn_then_faults_are_plain_and_some_are_harmless() -> None:
    storm = Storm((ONE, TWO, THREE), 10 * SECOND, 300 * MS, 360 * MS, CALM)
    harmless = {
        name
        for name, maker in SIEGE.items()
        if all(is_harmless(each) for seed in range(20) for each in maker(Random(seed), storm, 0))
    }
    assert harmless == {
        "handshake_sieve", "drought", "rotation", "replay", "late_replay", "forgery", "redirect",
        "spoil", "flood", "hints",
    }  # fmt: skip
    assert is_harmless(Fault(0, "sieve", ("hello", 0, 0, 1.0)))
    assert not is_harmless(Fault(0, "sieve", ("group", 0, 0, 1.0)))


def test_run_when_only_an_intruder_is_at_work_then_views_are_those_of_the_run_without() -> None:
    plan = draw_plan(Request(7, stack=SECURE, storm="siege"))
    assert plan.faults
    assert all(map(is_harmless, plan.faults))
    start = 2 * SECOND + max(time for time, _ in plan.starts)
    later = tuple(replace(fault, time=fault.time + start) for fault in plan.faults)
    length = start + plan.length_ns
    with_faults = replace(plan, faults=later, length_ns=length)
    assert views_of(with_faults) == views_of(replace(with_faults, faults=()))


def views_of(plan: Plan) -> dict[trace.Process, list[tuple[NodeId, ...]]]:
    """Members of each regular view, for each node."""
    told: dict[trace.Process, list[tuple[NodeId, ...]]] = {}

    def watch(record: trace.Record) -> None:
        if isinstance(record, trace.Installed) and record.regular:
            told.setdefault(record.who, []).append(record.members)

    outcome = run_plan(plan, watch)
    assert outcome.ok, outcome.text
    return told


def test_run_when_secure_then_the_picture_shows_the_rings_own_datagrams() -> None:
    recorder = Recorder()
    outcome = run_seed(Request(1, 2, SECURE, "calm"), recorder)
    document = recorder.document(outcome)
    assert len(document["tokens"]) > 10
    assert len(document["datagrams"]) > 10
