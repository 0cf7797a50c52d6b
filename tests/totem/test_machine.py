"""The ring forms, orders, survives loss and death, and merges; each test names what it shows."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.totem.ring import SETTINGS, Ring
from unisono.base.group import (
    ConfigurationChanged,
    ConfigurationKind,
    Delivered,
    Leave,
    Left,
    Multicast,
    Pace,
    SendAll,
    SendTo,
    Silent,
    StoreRingSeq,
    Submitted,
    SyncFinished,
)
from unisono.base.ids import MS, NodeId, RingId, RingSeq
from unisono.base.limits import MULTICAST_BYTES_MAX, RING_SEQ_STEP_MAX, RING_SEQ_TRUSTED_MAX
from unisono.base.marks import Mark
from unisono.totem import TABLE, Input, Start, State, Totem
from unisono.wire.ring import srp
from unisono.wire.ring.srp import HoldCancel, Join, Mcast, RingMessage, Token, decode


def is_token(message: RingMessage) -> bool:
    """Whether it is a regular token."""
    return isinstance(message, Token)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("native", [False, True])
def test_ring_when_all_start_then_one_configuration(count: int, native: bool) -> None:
    ring = Ring(count, native=native)
    ring.form()
    assert ring.now < 400 * MS
    assert {m.state for m in ring.machines.values()} == {State.OPERATIONAL}
    assert ring.machines[1].members == tuple(range(1, count + 1))


@pytest.mark.parametrize("native", [False, True])
def test_order_when_all_send_then_the_same_everywhere(native: bool) -> None:
    ring = Ring(3, native=native)
    ring.form()
    for number in range(60):
        ring.send(number % 3 + 1, b"%d" % number + b"." * (number * 97 % 5000))
    ring.run(ring.all_have(60))
    assert ring.deliveries[1] == ring.deliveries[2] == ring.deliveries[3]
    for sender in (1, 2, 3):
        own = [int(t.split(b".")[0]) for origin, t in ring.deliveries[1] if origin == sender]
        assert own == sorted(own)


@pytest.mark.parametrize("every", [3, 7])
def test_order_when_messages_are_lost_then_nothing_is_missing(every: int) -> None:
    ring = Ring(3)
    ring.form()
    seen = 0

    def lose(_source: int, _target: int, message: RingMessage) -> bool:
        nonlocal seen
        if isinstance(message, Mcast):
            seen += 1
            return seen % every == 0
        return False

    ring.lose = lose
    for number in range(40):
        ring.send(number % 3 + 1, b"%d" % number + bytes(3000))
    ring.run(ring.all_have(40))
    assert ring.deliveries[1] == ring.deliveries[2] == ring.deliveries[3]
    assert sum(m.counters["retransmitted"] for m in ring.machines.values()) > 0


def test_token_when_lost_once_then_repeated_without_a_new_configuration() -> None:
    ring = Ring(3)
    ring.form()
    views = {n: len(ring.views[n]) for n in ring.machines}
    lost = 0

    def lose(_source: int, _target: int, message: RingMessage) -> bool:
        nonlocal lost
        if is_token(message) and lost == 0:
            lost += 1
            return True
        return False

    ring.lose = lose
    ring.run(lambda: lost == 1)
    ring.send(2, b"after the loss")
    ring.run(ring.all_have(1))
    assert {n: len(ring.views[n]) for n in ring.machines} == views
    assert sum(ring.marked(n, Mark.TOKEN_RETRANSMITTED) for n in ring.machines) >= 1


@pytest.mark.parametrize("victim", [1, 2, 3])
def test_node_when_killed_then_the_others_form_a_ring_with_transitional_first(victim: int) -> None:
    ring = Ring(3)
    ring.form()
    ring.kill(victim)
    ring.form()
    rest = tuple(sorted(ring.machines))
    for number in rest:
        transitional, regular = ring.views[number][-2:]
        assert transitional.kind is ConfigurationKind.TRANSITIONAL
        assert transitional.members == rest
        assert transitional.left == (victim,)
        assert regular.members == rest
        assert transitional.ring == regular.ring


@pytest.mark.parametrize("victim", [1, 2, 3])
@pytest.mark.parametrize("native", [False, True])
def test_silent_when_the_transport_tells_then_the_next_ring_forms_at_once(
    victim: int, native: bool
) -> None:
    ring = Ring(3, native=native)
    ring.form()
    ring.kill(victim)
    died = ring.now
    teller = min(ring.machines)
    ring.machines[teller].submit(Silent(NodeId(victim)), ring.now)
    ring.carry_out(teller)
    ring.form()
    assert ring.now - died < 20 * MS
    rest = tuple(sorted(ring.machines))
    assert {ring.views[number][-1].members for number in rest} == {rest}


def test_silent_when_a_live_member_is_called_so_then_it_comes_back() -> None:
    ring = Ring(3)
    ring.form()
    ring.machines[1].submit(Silent(NodeId(3)), ring.now)
    ring.carry_out(1)
    ring.run(lambda: ring.machines[1].members == (1, 2))
    ring.run(lambda: all(m.members == (1, 2, 3) for m in ring.machines.values()))


def test_silent_when_no_member_is_meant_then_nothing_happens() -> None:
    ring = Ring(2)
    ring.form()
    views = len(ring.views[1])
    for stranger in (1, 3):
        ring.machines[1].submit(Silent(NodeId(stranger)), ring.now)
    ring.carry_out(1)
    ring.idle(3_000)
    assert len(ring.views[1]) == views


def test_recovery_when_a_sender_dies_then_survivors_deliver_the_same() -> None:
    """Node 2 heard messages of node 1 that node 3 did not; after 1's death both have all."""
    ring = Ring(3)
    ring.form()
    ring.lose = lambda _s, target, message: target == 3 and isinstance(message, Mcast)
    for number in range(5):
        ring.send(1, b"last words %d" % number)
    ring.run(lambda: len(ring.deliveries[2]) == 5)
    assert ring.deliveries[3] == []
    ring.kill(1)
    ring.lose = lambda *_: False
    ring.form()
    assert ring.deliveries[2] == ring.deliveries[3]
    assert len(ring.deliveries[3]) == 5
    kinds = [type(e).__name__ for e in ring.events[3][-7:]]
    assert kinds == ["tuple"] * 5 + ["ConfigurationChanged"] * 2


def test_recovery_when_messages_lie_beyond_a_gap_then_only_survivors_ones_are_delivered() -> None:
    """Nobody but the dead node has the first message: what it caused must not be delivered."""
    ring = Ring(3)
    ring.form()
    gap: list[int] = []

    def lose(source: int, _target: int, message: RingMessage) -> bool:
        if isinstance(message, Mcast) and source == 1 and not message.encapsulated:
            if not gap:
                gap.append(message.seq)
            return message.seq == gap[0]
        return False

    ring.lose = lose
    ring.send(1, b"in the gap")
    ring.send(1, bytes(1300))
    ring.send(1, b"beyond the gap" + bytes(1300))
    ring.run(lambda: (bool(gap) and not ring.wire) or ring.marked(2, Mark.RETRANSMIT_REQUESTED) > 0)
    ring.kill(1)
    ring.send(2, b"survivor")
    ring.form()
    ring.run(lambda: all((2, b"survivor") in ring.deliveries[n] for n in (2, 3)))
    assert ring.deliveries[2] == ring.deliveries[3]
    assert all(origin != 1 for origin, _ in ring.deliveries[2])


def test_partition_when_healed_then_merge_is_detected_while_idle() -> None:
    ring = Ring(4)
    ring.form()
    side = {1: 0, 2: 0, 3: 1, 4: 1}
    ring.lose = lambda source, target, _m: side[source] != side[target]
    ring.run(lambda: all(ring.machines[n].members == (1, 2) for n in (1, 2)))
    ring.run(lambda: all(ring.machines[n].members == (3, 4) for n in (3, 4)))
    ring.lose = lambda *_: False
    ring.form()
    for number in (3, 4):
        assert ring.views[number][-2].members == (3, 4)


@pytest.mark.parametrize("native", [False, True])
def test_late_join_when_a_large_message_is_under_way_then_joiner_gets_whole_ones_only(
    native: bool,
) -> None:
    ring = Ring(2, native=native)
    ring.form()
    for number in range(4):
        ring.send(1, b"%d" % number + bytes(200_000))
    ring.run(lambda: len(ring.deliveries[2]) >= 1)
    ring.start(3)
    ring.form()
    ring.run(lambda: len(ring.deliveries[1]) == 4 and len(ring.deliveries[2]) == 4)
    assert ring.deliveries[1] == ring.deliveries[2]
    joined = ring.deliveries[3]
    assert joined == ring.deliveries[1][len(ring.deliveries[1]) - len(joined) :]
    if native:
        regular = ring.views[1][-1]
        after = ring.events[1][ring.events[1].index(regular) + 1 :]
        assert joined == [event for event in after if isinstance(event, tuple)]


def test_ring_seq_when_formed_then_stored_before_anything_is_sent_with_it() -> None:
    ring = Ring(3)
    ring.form()
    ring.kill(3)
    ring.form()
    for number in ring.machines:
        stored = 0
        for effect in ring.effects[number]:
            if isinstance(effect, StoreRingSeq):
                stored = effect.seq
            datagrams = (
                [effect.datagram] if isinstance(effect, SendTo)
                else effect.datagrams if isinstance(effect, SendAll) else []
            )  # fmt: skip
            for datagram in datagrams:
                message = decode(datagram)
                if isinstance(message, srp.CommitToken | Token | Mcast):
                    assert message.ring.seq <= stored


def test_restart_when_lowest_returns_before_others_notice_then_ring_ids_differ() -> None:
    """The restarted node must not speak with the ring id of its former life."""
    ring = Ring(3)
    ring.form()
    before = ring.machines[2].ring
    ring.kill(1)
    ring.start(1)
    ring.form()
    seqs = [view.ring.seq for view in ring.views[1]]
    assert min(seqs) > before.seq
    assert ring.views[2][-1].ring.seq > before.seq


def test_safe_when_a_member_has_not_received_then_nobody_delivers() -> None:
    ring = Ring(3)
    ring.form()
    ring.lose = lambda _s, target, message: target == 3 and isinstance(message, Mcast)
    ring.send(1, b"ledger", safe=True)
    ring.idle(900)
    assert all(not texts for texts in ring.deliveries.values())
    ring.lose = lambda *_: False
    ring.run(ring.all_have(1))


@pytest.mark.parametrize("native", [False, True])
def test_safe_when_all_receive_then_delivered_everywhere_soon(native: bool) -> None:
    ring = Ring(3, native=native)
    ring.form()
    ring.idle(5000)
    start = ring.now
    ring.send(2, b"ledger", safe=True)
    ring.run(ring.all_have(1))
    assert ring.now - start < 300 * MS


def test_safe_when_receipt_cannot_be_confirmed_then_delivered_after_the_transitional() -> None:
    ring = Ring(3)
    ring.form()
    ring.lose = lambda _s, target, message: target == 3 and isinstance(message, Mcast)
    ring.send(1, b"ledger", safe=True)
    ring.idle(300)
    ring.kill(3)
    ring.form()
    for number in (1, 2):
        events = ring.events[number]
        at = events.index((1, b"ledger"))
        before = [e for e in events[:at] if isinstance(e, ConfigurationChanged)]
        assert before[-1].kind is ConfigurationKind.TRANSITIONAL
        assert before[-1].members == (1, 2)


def test_leave_when_messages_wait_then_they_are_delivered_first_and_others_notice_at_once() -> None:
    ring = Ring(3)
    ring.form()
    for number in range(30):
        ring.send(2, b"%d" % number + bytes(1000))
    ring.machines[2].submit(Leave(), ring.now)
    ring.carry_out(2)
    ring.run(lambda: any(isinstance(e, Left) for e in ring.events[2]))
    start = ring.now
    del ring.machines[2]
    ring.form()
    assert ring.now - start < 100 * MS
    assert len(ring.deliveries[1]) == len(ring.deliveries[3]) == 30


def test_leave_when_one_datagram_is_lost_then_the_copy_suffices() -> None:
    ring = Ring(3)
    ring.form()
    lost: set[int] = set()

    def lose(_source: int, target: int, message: RingMessage) -> bool:
        if isinstance(message, Join) and message.leave and target not in lost:
            lost.add(target)
            return True
        return False

    ring.lose = lose
    ring.machines[3].submit(Leave(), ring.now)
    ring.carry_out(3)
    ring.run(lambda: any(isinstance(e, Left) for e in ring.events[3]))
    start = ring.now
    del ring.machines[3]
    ring.form()
    assert ring.now - start < 100 * MS


def test_failed_to_receive_when_one_hears_no_message_then_it_is_excluded_and_others_go_on() -> None:
    ring = Ring(3, settings=replace(SETTINGS, fail_recv_const=50))
    ring.form()
    deaf = True
    ring.lose = lambda _s, t, m: deaf and t == 3 and isinstance(m, Mcast) and not m.encapsulated
    ring.send(1, b"to those who hear")
    ring.run(lambda: ring.machines[1].members == (1, 2) and ring.machines[2].members == (1, 2))
    assert ring.marked(3, Mark.FAILED_TO_RECEIVE) >= 1
    deaf = False
    ring.form()


def test_stale_join_when_ring_is_operational_then_ignored() -> None:
    ring = Ring(3)
    ring.form()
    stale = srp.encode_join(Join(NodeId(2), [NodeId(2)], [], RingSeq(1)))
    accuses = srp.encode_join(
        Join(NodeId(2), [NodeId(1), NodeId(2)], [NodeId(1)], RingSeq(ring.machines[1].ring.seq))
    )
    ring.hand(1, stale)
    ring.hand(1, accuses)
    assert ring.machines[1].state is State.OPERATIONAL
    assert ring.marked(1, Mark.JOIN_IGNORED) == 2


def test_duplicate_token_when_received_then_it_has_no_effect_at_all() -> None:
    ring = Ring(3)
    ring.form()
    tokens = [e for e in ring.effects[1] if isinstance(e, SendTo) and is_token(decode(e.datagram))]
    ring.idle(10)
    machine = ring.machines[2]
    visits = dict(machine.counters)
    deadline = machine.deadline()
    ring.hand(2, bytes(tokens[-1].datagram))
    assert machine.counters == visits
    assert machine.deadline() == deadline
    assert ring.marked(2, Mark.TOKEN_DUPLICATE) == 1


def test_duplicate_commit_token_when_received_then_one_initial_token_only() -> None:
    ring = Ring(2)
    commits: list[bytes] = []
    keep = ring._apply

    def spy(number: int, machine: Totem, effect: object) -> None:
        keep(number, machine, effect)
        if number == 2 and isinstance(effect, SendTo):
            if isinstance(decode(effect.datagram), srp.CommitToken):
                commits.append(bytes(effect.datagram))
                ring.wire.append((2, effect.target, bytes(effect.datagram)))

    ring._apply = spy  # type: ignore[method-assign]  # every commit token of node 2 is doubled
    ring.form()
    assert commits
    initial = [
        message
        for effect in ring.effects[1]
        if isinstance(effect, SendTo) and isinstance(message := decode(effect.datagram), Token)
        and message.token_seq == 0 and message.ring == ring.machines[1].ring
    ]  # fmt: skip
    assert len({srp.encode_token(token) for token in initial}) == 1


def test_pause_when_a_process_stood_still_then_old_joins_are_discarded() -> None:
    ring = Ring(2)
    ring.form()
    join = srp.encode_join(Join(NodeId(2), [NodeId(1), NodeId(2)], [], RingSeq(99)))
    ring.now += 800 * MS
    ring.machines[1].receive(join, None, ring.now)
    effects = ring.machines[1].drain(ring.now)
    assert "Discard" in {type(effect).__name__ for effect in effects}
    assert ring.machines[1].state is State.OPERATIONAL


def test_hold_when_idle_then_one_rotation_per_hold_period_and_a_waiting_node_wakes_it() -> None:
    ring = Ring(3)
    ring.form()
    ring.idle(1000)
    before = ring.machines[2].counters["token_visits"]
    ring.idle(1800)
    assert ring.machines[2].counters["token_visits"] - before == pytest.approx(10, abs=1)
    start = ring.now
    ring.send(2, b"wake up")
    ring.run(ring.all_have(1))
    assert ring.now - start < 5 * MS


def test_rest_when_native_then_the_last_sender_sends_at_once_and_others_can_ask() -> None:
    ring = Ring(3, native=True)
    ring.form()
    ring.send(2, b"first")
    ring.run(ring.all_have(1))
    ring.idle(20)
    visits = ring.machines[2].counters["token_visits"]
    ring.send(2, b"second")
    assert (2, b"second") in ring.deliveries[2]
    assert ring.machines[2].counters["token_visits"] == visits
    used = [(made.a, made.b) for made in ring.marks[2] if made.mark is Mark.TOKEN_USED]
    assert used == [(2, 1)]
    ring.run(ring.all_have(2))
    ring.idle(20)
    start = ring.now
    ring.send(3, b"third")
    ring.run(ring.all_have(3))
    assert ring.now - start < 2 * MS


def test_rest_when_asked_for_while_the_token_was_on_its_way_then_it_goes_on_once() -> None:
    ring = Ring(3, native=True)
    ring.form()
    ring.send(2, b"first")
    ring.run(ring.all_have(1))
    two = ring.machines[2]
    ring.run(lambda: two._rest is not None)
    ring.run(lambda: two._rest is None)  # it has rested for long enough, and goes round
    ring.hand(2, srp.encode_hold_cancel(HoldCancel(two.ring, NodeId(3))))
    visits = two.counters["token_visits"]
    ring.run(lambda: two.counters["token_visits"] == visits + 1)
    assert two._rest is None
    ring.run(lambda: two.counters["token_visits"] == visits + 2)
    assert two._rest is not None


def test_rest_when_who_asked_was_heard_meanwhile_then_the_token_rests() -> None:
    ring = Ring(3, native=True)
    ring.form()
    ring.send(2, b"first")
    ring.run(ring.all_have(1))
    two = ring.machines[2]
    ring.run(lambda: two._rest is not None)
    ring.run(lambda: two._rest is None)
    ring.hand(2, srp.encode_hold_cancel(HoldCancel(two.ring, NodeId(3))))
    ring.send(3, b"second")
    ring.run(ring.all_have(2))
    three = ring.machines[3]
    ring.run(lambda: three._rest is not None)
    ring.send(2, b"third")
    ring.run(ring.all_have(3))
    visits = two.counters["token_visits"]
    ring.idle(1)
    assert two._rest is not None
    assert two.counters["token_visits"] - visits <= 1


def test_rest_when_idle_for_long_then_the_ring_still_turns_and_detects_merges() -> None:
    ring = Ring(2, native=True)
    ring.form()
    ring.idle(3000)
    before = ring.machines[1].counters["token_visits"]
    ring.idle(2000)
    turns = ring.machines[1].counters["token_visits"] - before
    assert 10 <= turns <= 25
    assert not ring.marked(1, Mark.TOKEN_LOST)
    merge = [
        effect
        for effect in ring.effects[1]
        if isinstance(effect, SendAll) and isinstance(decode(effect.datagrams[0]), srp.MergeDetect)
    ]
    assert merge


def test_pace_when_a_reader_is_slow_then_the_ring_waits_and_loses_nothing() -> None:
    ring = Ring(2, native=True)
    ring.form()
    ring.machines[2].submit(Pace(slow=True), ring.now)
    for number in range(100):
        ring.send(1, b"%d" % number + bytes(1300))
    start = ring.now
    ring.run(ring.all_have(100))
    slow = ring.now - start
    ring.machines[2].submit(Pace(slow=False), ring.now)
    ring.carry_out(2)
    for number in range(100):
        ring.send(1, b"%d" % number + bytes(1300))
    start = ring.now
    ring.run(ring.all_have(200))
    assert slow > 2 * (ring.now - start)


def test_submit_when_the_queue_is_full_then_refused_and_the_accepted_is_delivered() -> None:
    ring = Ring(2)
    ring.form()
    machine = ring.machines[1]
    accepted = 0
    while machine.submit(Multicast(b"g", bytes(200_000)), ring.now) is Submitted.ACCEPTED:
        accepted += 1
    assert machine.queue_level > 0.9
    assert not machine.has_room(200_000)
    ring.run(ring.all_have(accepted))
    too_long = Multicast(b"g", bytes(MULTICAST_BYTES_MAX + 1))
    assert machine.submit(too_long, ring.now) is Submitted.FULL


def test_sync_when_unfinished_then_application_messages_wait_and_sync_messages_flow() -> None:
    ring = Ring(2)
    ring.auto_sync = False
    ring.form()
    for number in (1, 2):
        ring.send(number, b"sync of %d" % number)
    ring.run(ring.all_have(2))
    for number in (1, 2):
        ring.machines[number].submit(SyncFinished(False, ring.machines[number].ring), ring.now)
    ring.send(1, b"queued before the change" + bytes(5000))
    ring.start(3)
    ring.form()
    for number in (1, 2, 3):
        ring.send(number, b"sync again")
    ring.run(lambda: all(len(ring.deliveries[n]) >= 3 for n in (1, 2, 3)))
    ring.idle(200)
    texts = [text for _origin, text in ring.deliveries[1]]
    if not any(text.startswith(b"queued") for text in texts):
        for number in (1, 2, 3):
            ring.machines[number].submit(SyncFinished(False, ring.machines[1].ring), ring.now)
    ring.run(lambda: any(t.startswith(b"queued") for _o, t in ring.deliveries[2]))


def test_sync_finished_when_for_an_older_ring_then_ignored() -> None:
    ring = Ring(2)
    ring.auto_sync = False
    ring.form()
    ring.machines[1].submit(SyncFinished(True, RingId(NodeId(1), RingSeq(1))), ring.now)
    assert not ring.machines[1].native


def test_known_when_a_stranger_is_not_listed_then_it_cannot_join() -> None:
    ring = Ring(2)
    ring.machines[1] = Totem(SETTINGS, NodeId(1), 1, known=[NodeId(1), NodeId(2)])
    ring.machines[1].submit(Start(), 0)
    ring.form()
    ring.hand(1, srp.encode_join(Join(NodeId(9), [NodeId(9)], [], RingSeq(50))))
    assert ring.machines[1].state is State.OPERATIONAL
    assert ring.marked(1, Mark.NODE_UNKNOWN) == 1


def test_ring_seq_when_a_join_claims_an_absurd_one_then_followed_in_steps_only() -> None:
    ring = Ring(2)
    ring.form()
    ring.hand(1, srp.encode_join(Join(NodeId(3), [NodeId(3)], [], RingSeq((1 << 64) - 1))))
    assert ring.marked(1, Mark.RING_SEQ_CLAMPED) == 1
    assert ring.machines[1]._token_ring_seq == RING_SEQ_TRUSTED_MAX
    ring.hand(1, srp.encode_join(Join(NodeId(3), [NodeId(3)], [], RingSeq((1 << 64) - 1))))
    assert ring.machines[1]._token_ring_seq == RING_SEQ_TRUSTED_MAX + RING_SEQ_STEP_MAX


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("what", list(Input))
def test_table_when_a_pair_is_absent_then_nothing_happens(state: State, what: Input) -> None:
    machine = Totem(SETTINGS, NodeId(1), 1)
    machine._state = state
    if (state, what) in TABLE:
        following, action = TABLE[state, what]
        assert callable(getattr(machine, action))
        assert following is not State.STARTING
    else:
        machine._step(what, 0)
        assert machine.state is state
        assert machine.drain() == []


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=120), max_size=30), st.integers(0, 3))
def test_receive_when_bytes_are_random_then_counted_and_never_raised(
    datagrams: list[bytes], kind: int
) -> None:
    ring = Ring(1)
    ring.form()
    for datagram in datagrams:
        ring.hand(1, datagram)
        ring.hand(1, srp.HEADER_LAYOUT.pack(srp.MAGIC, 3, kind, 2, 1, 0) + datagram)
    ring.send(1, b"still alive")
    ring.run(lambda: (1, b"still alive") in ring.deliveries[1])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=20))
def test_receive_when_a_live_rings_datagrams_are_bent_then_never_raised(
    bends: list[tuple[int, int]],
) -> None:
    """Well-formed but wrong: every field of real traffic may lie."""
    ring = Ring(2)
    recorded: list[bytes] = []
    ring.lose = lambda _s, _t, m: bool(recorded.append(b"") or False)
    ring.form()
    traffic = [
        bytes(d)
        for effect in ring.effects[2]
        for d in (
            [effect.datagram] if isinstance(effect, SendTo)
            else effect.datagrams if isinstance(effect, SendAll) else []
        )
    ]  # fmt: skip
    for place, value in bends:
        datagram = bytearray(traffic[place % len(traffic)])
        datagram[place % len(datagram)] = value
        ring.hand(1, bytes(datagram))
    assert ring.machines[1].state is not State.LEFT


def test_delivered_when_received_then_says_ring_and_sequence() -> None:
    ring = Ring(2)
    ring.form()
    ring.send(1, b"numbered")
    ring.run(ring.all_have(1))
    found = {
        (effect.ring, effect.seq, effect.group)
        for number in (1, 2)
        for effect in ring.effects[number]
        if isinstance(effect, Delivered)
    }
    assert len(found) == 1
    (where, seq, group) = found.pop()
    assert where == ring.machines[1].ring
    assert seq > 0
    assert group == b"g"


def test_join_when_strangers_blame_each_others_friends_then_the_answers_end() -> None:
    """Each sees the other's failed list as news, and neither may believe it."""
    ring = Ring(2)
    ring.lose = lambda *_: True
    ring.idle(110)
    assert {m.members for m in ring.machines.values()} == {(1,), (2,)}
    seq = RingSeq(ring.machines[1].ring.seq)
    machines = [NodeId(1), NodeId(2), NodeId(3), NodeId(4)]
    for number, blamed in ((1, 3), (2, 4)):
        ring.hand(number, srp.encode_join(Join(NodeId(blamed), machines, [], seq)))
        ring.hand(number, srp.encode_join(Join(NodeId(blamed), machines, [NodeId(number)], seq)))
        assert ring.machines[number]._failed == [blamed]
    before = {n: len(ring.effects[n]) for n in ring.machines}
    for _ in range(1000):
        if not ring.wire:
            break
        source, target, datagram = ring.wire.popleft()
        ring.machines[target].receive(datagram, NodeId(source), ring.now)
        ring.carry_out(target)
    assert not ring.wire
    assert all(len(ring.effects[n]) - before[n] < 50 for n in ring.machines)


def test_leave_when_synchronisation_is_not_over_then_it_ends_first_and_nothing_spins() -> None:
    ring = Ring(1)
    ring.auto_sync = False
    ring.form()
    ring.machines[1]._queue.push(b"g", b"accepted before the change", safe=False)
    ring.machines[1].submit(Leave(), ring.now)
    ring.carry_out(1)
    assert ring.machines[1].deadline() > ring.now
    assert ring.send(1, b"part of the synchronisation") is Submitted.ACCEPTED
    ring.machines[1].submit(SyncFinished(True, ring.machines[1].ring), ring.now)
    ring.carry_out(1)
    assert ring.send(1, b"too late") is Submitted.FULL
    ring.run(lambda: any(isinstance(e, Left) for e in ring.events[1]), limit_ms=400)
    texts = [text for _origin, text in ring.deliveries[1]]
    assert texts == [b"part of the synchronisation", b"accepted before the change"]
