"""A configuration that is read again: on all nodes or on none, at one place of the order."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.services.bus import NOW, Bus, Node, cluster
from unisono.base.clients import ClientConnected, ClientRequest, Credentials, Reply, Service
from unisono.base.errors import CsError, WireError
from unisono.base.group import Multicast
from unisono.base.ids import ClientId, NodeId, Pid
from unisono.base.limits import RELOAD_REPORT_BYTES_MAX, RELOAD_TRIES_MAX
from unisono.base.marks import Mark
from unisono.config.changes import Change, Changes, compare
from unisono.config.reload import ConfigurationRead, ReloadAsked
from unisono.config.settings import QuorumSettings, Settings
from unisono.wire import native as stream
from unisono.wire.ipc import cfg as cfg_ipc
from unisono.wire.ipc.qb import decode_status, encode_request
from unisono.wire.service.cfg import encode_reload_config
from unisono.wire.service.header import GROUP_NATIVE, GROUP_SERVICES
from unisono.wire.service.native import encode_reload
from unisono.wire.service.reload import (
    Order,
    Report,
    Step,
    decode_reload,
    encode_order,
    encode_report,
)

QUESTION = stream.encode_query(5, stream.What.RELOAD)


def of(bus: Bus, number: int) -> Node:
    return bus.nodes[NodeId(number)]


def voted(running: Settings, votes: int) -> Settings:
    return replace(running, quorum=replace(running.quorum, expected_votes=votes))


def good(node: Node, votes: int = 9) -> None:
    """The node reads a file with so many expected votes."""
    running = node.engine.settings
    changes = compare(running, voted(running, votes))
    node.submit(ConfigurationRead(node.readings.pop(0), changes))


def bad(node: Node) -> None:
    node.submit(ConfigurationRead(node.readings.pop(0), None, ("line 3: no",)))


def votes_of(bus: Bus) -> list[int]:
    return [node.engine.settings.quorum.expected_votes for node in bus.nodes.values()]


def answer_to(client: Any) -> tuple[int, dict[str, Any]]:
    answer = stream.decode_to_client(memoryview(client.replies[-1]))
    assert isinstance(answer, stream.Answer)
    assert answer.request == 5
    return answer.error, json.loads(bytes(answer.body))


# -- a ring of Unisono members ---------------------------------------------------------------------


def test_files_when_all_are_good_then_all_change_and_who_asked_hears_of_each() -> None:
    bus = cluster(3)
    client = bus.native(2)
    assert client.ask(QUESTION) is None
    bus.settle()
    for node in bus.nodes.values():
        assert len(node.readings) == 1
        assert node.changed == []
        good(node)
    bus.settle()
    assert votes_of(bus) == [9, 9, 9]
    assert all(len(node.changed) == 1 for node in bus.nodes.values())
    error, outcome = answer_to(client)
    assert error == CsError.OK
    assert outcome["is_applied"]
    change = ["quorum.expected_votes", "0", "9"]
    assert [outcome["nodes"][one]["applied"] for one in ("1", "2", "3")] == [[change]] * 3


def test_settings_when_they_change_then_between_the_same_two_messages_everywhere() -> None:
    bus = cluster(3)
    bus.native(1).ask(QUESTION)
    bus.settle()
    for node in bus.nodes.values():
        good(node)
    quorums: dict[int, list[int]] = {node.id: [] for node in bus.nodes.values()}
    while bus.step():
        for node in bus.nodes.values():
            assert node.engine._votequorum is not None
            quorums[node.id].append(node.engine._votequorum.quorum)
    assert quorums[1] == quorums[2] == quorums[3]
    assert quorums[1][0] == 2
    assert quorums[1][-1] == 5


def test_files_when_one_is_bad_then_nothing_changes_and_the_reason_is_told() -> None:
    bus = cluster(3)
    client = bus.native(1)
    client.ask(QUESTION)
    bus.settle()
    good(of(bus, 1))
    bad(of(bus, 2))
    good(of(bus, 3))
    bus.settle()
    assert votes_of(bus) == [0, 0, 0]
    assert all(node.changed == [] for node in bus.nodes.values())
    error, outcome = answer_to(client)
    assert error == CsError.INVALID_PARAM
    assert not outcome["is_applied"]
    assert outcome["nodes"]["2"]["problems"] == ["line 3: no"]
    assert [len(node.marked(Mark.RELOAD_DROPPED)) for node in bus.nodes.values()] == [1, 1, 1]
    assert of(bus, 2).marked(Mark.CONFIGURATION_REFUSED)[0].text == "line 3: no"


def test_change_of_the_ring_when_in_between_then_begun_anew_with_those_who_are_there() -> None:
    bus = cluster(3)
    client = bus.native(1)
    client.ask(QUESTION)
    bus.settle()
    good(of(bus, 1))
    late = of(bus, 2).readings[0]
    bus.form((1, 2), (3,))
    bus.settle()
    of(bus, 2).submit(ConfigurationRead(late, Changes(voted(of(bus, 2).engine.settings, 3))))
    of(bus, 2).readings.remove(late)
    bus.settle()
    assert votes_of(bus) == [0, 0, 0]
    good(of(bus, 1))
    good(of(bus, 2))
    bus.settle()
    assert votes_of(bus) == [9, 9, 0]
    error, outcome = answer_to(client)
    assert error == CsError.OK
    assert set(outcome["nodes"]) == {"1", "2"}


def test_change_of_the_ring_when_after_the_last_report_then_all_or_none_of_a_side() -> None:
    """The order to apply may be delivered before the change, or be of no use after it."""
    for steps in range(8):
        bus = cluster(3)
        bus.native(1).ask(QUESTION)
        bus.settle()
        for node in bus.nodes.values():
            good(node)
        bus.steps(steps)
        bus.form((1, 2), (3,))
        bus.settle()
        votes = votes_of(bus)
        assert votes[0] == votes[1]


def test_ring_when_it_changes_again_and_again_then_given_up_in_the_end() -> None:
    bus = cluster(2)
    client = bus.native(1)
    client.ask(QUESTION)
    for _ in range(RELOAD_TRIES_MAX):
        bus.settle()
        bus.form((1, 2))
    bus.settle()
    error, outcome = answer_to(client)
    assert error == CsError.TRY_AGAIN
    assert not outcome["is_applied"]


def test_question_when_another_runs_then_the_file_is_read_once_more_for_it() -> None:
    bus = cluster(2)
    first, second = bus.native(1), bus.native(1)
    first.ask(QUESTION)
    bus.settle()
    second.ask(QUESTION)
    for node in bus.nodes.values():
        good(node, 5)
    bus.settle()
    assert answer_to(first)[0] == CsError.OK
    assert len(second.replies) == 1  # to its greeting
    for node in bus.nodes.values():
        good(node, 7)
    bus.settle()
    assert answer_to(second)[0] == CsError.OK
    assert votes_of(bus) == [7, 7]


def test_reloads_when_two_nodes_lead_one_each_then_the_newer_files_hold_in_the_end() -> None:
    bus = cluster(2)
    first, second = bus.native(1), bus.native(2)
    first.ask(QUESTION)
    second.ask(QUESTION)
    bus.settle()
    for node in bus.nodes.values():
        good(node, 5)  # read for the first; the files change before they are read for the second
        good(node, 7)
    bus.settle()
    while any(node.readings for node in bus.nodes.values()):  # whoever came too late reads again
        for node in bus.nodes.values():
            good(node, 7)
        bus.settle()
    assert votes_of(bus) == [7, 7]
    assert answer_to(first)[0] == answer_to(second)[0] == CsError.OK


def test_reloads_when_one_reads_slowly_for_the_second_then_all_still_take_the_same() -> None:
    bus = cluster(2)
    bus.native(1).ask(QUESTION)
    bus.native(2).ask(QUESTION)
    bus.settle()
    one, two = of(bus, 1), of(bus, 2)
    good(one, 5)
    good(one, 7)
    good(two, 5)
    bus.settle()  # the first is through; node 2 has not read for the second yet
    assert votes_of(bus) == [5, 5]
    good(two, 6)
    bus.settle()
    assert votes_of(bus) == [5, 5]
    good(one, 8)
    good(two, 8)
    bus.settle()
    assert votes_of(bus) == [8, 8]


def test_signal_when_the_ring_is_not_agreed_yet_then_done_once_it_is() -> None:
    bus = cluster(2)
    bus.form((1, 2))
    of(bus, 1).submit(ReloadAsked())
    assert of(bus, 1).readings == []
    bus.settle()
    for node in bus.nodes.values():
        good(node)
    bus.settle()
    assert votes_of(bus) == [9, 9]
    (ended,) = of(bus, 1).marked(Mark.RELOAD_ENDED)
    assert ended.text == "done"


def test_orders_when_made_up_then_nothing_is_taken_that_was_not_read() -> None:
    bus = cluster(2)

    def say(origin: int, body: bytes) -> None:
        of(bus, origin).queue.append(Multicast(GROUP_NATIVE, encode_reload(body)))
        bus.settle()

    say(2, encode_order(Step.APPLY, 1))
    say(2, encode_order(Step.DROP, 1))
    say(2, encode_report(Report(NodeId(1), 1, True, {})))
    say(2, encode_order(Step.CHECK, 4))
    good(of(bus, 1))
    bus.settle()
    say(2, encode_order(Step.APPLY, 5))
    assert votes_of(bus) == [0, 0]
    say(2, b"\x09" + bytes(7))
    assert of(bus, 1).marked(Mark.SERVICE_MESSAGE_MALFORMED)


# -- beside Corosync -------------------------------------------------------------------------------


def test_order_of_a_corosync_member_then_each_node_changes_for_itself() -> None:
    bus = cluster(3, stock=[3])
    message = Multicast(GROUP_SERVICES, encode_reload_config(3))
    of(bus, 3).queue.append(message)
    bus.settle()
    good(of(bus, 1))
    bad(of(bus, 2))
    bus.settle()
    assert votes_of(bus)[:2] == [9, 0]


def test_orders_of_a_corosync_member_when_many_then_read_twice_at_most() -> None:
    bus = cluster(3, stock=[3])
    for _ in range(1000):
        of(bus, 3).queue.append(Multicast(GROUP_SERVICES, encode_reload_config(3)))
    bus.settle()
    assert len(of(bus, 1).readings) == 2
    good(of(bus, 1), 5)
    good(of(bus, 1), 7)
    assert votes_of(bus)[0] == 7
    of(bus, 3).queue.append(Multicast(GROUP_SERVICES, encode_reload_config(3)))
    bus.settle()
    assert len(of(bus, 1).readings) == 1


def test_question_when_beside_corosync_then_corosync_is_told_and_the_own_file_answers() -> None:
    bus = cluster(2, stock=[2])
    client = bus.native(1)
    client.ask(QUESTION)
    bus.settle()
    assert (GROUP_SERVICES, encode_reload_config(1)) in [
        (one.group, one.payload) for _, _, one in bus.sent
    ]
    good(of(bus, 1))
    error, outcome = answer_to(client)
    assert error == CsError.OK
    assert set(outcome["nodes"]) == {"1"}
    assert "logs" in outcome["text"]


# -- who may ---------------------------------------------------------------------------------------


def ask_cfg(bus: Bus, uid: int, request: cfg_ipc.Request) -> list[int]:
    """The status that a CFG client of node 1 has got so far."""
    node, client = of(bus, 1), ClientId(77)
    statuses: list[int] = []

    class Sink:
        def on_reply(self, message: bytes) -> None:
            statuses.append(decode_status(memoryview(message)))

    node.clients[client] = Sink()  # type: ignore[assignment]  # all that is asked of it
    node.submit(ClientConnected(client, Service.CFG, Credentials(Pid(1), uid, 0)))
    node.submit(ClientRequest(client, memoryview(encode_request(request))))
    return statuses


@pytest.mark.parametrize(("second", "expected"), [(good, CsError.OK), (bad, CsError.INVALID_PARAM)])
def test_cfgtool_when_it_asks_then_it_waits_for_all_nodes(second: Any, expected: CsError) -> None:
    bus = cluster(2)
    statuses = ask_cfg(bus, 0, cfg_ipc.Request.RELOAD_CONFIG)
    bus.settle()
    assert statuses == []
    good(of(bus, 1))
    second(of(bus, 2))
    bus.settle()
    assert statuses == [expected]


@pytest.mark.parametrize(
    "request_", [cfg_ipc.Request.RELOAD_CONFIG, cfg_ipc.Request.REOPEN_LOG_FILES]
)
def test_order_when_of_another_user_then_refused(request_: cfg_ipc.Request) -> None:
    bus = cluster(1)
    assert ask_cfg(bus, 1000, request_) == [CsError.ACCESS]
    bus.settle()
    assert of(bus, 1).readings == []
    assert of(bus, 1).reopened == 0


def test_log_files_when_an_administrator_has_moved_them_then_opened_again() -> None:
    bus = cluster(1)
    assert ask_cfg(bus, 0, cfg_ipc.Request.REOPEN_LOG_FILES) == [CsError.OK]
    assert of(bus, 1).reopened == 1


def test_native_question_when_of_another_user_then_refused() -> None:
    bus = cluster(1)
    node = of(bus, 1)
    client = ClientId(78)
    node.engine.submit(ClientConnected(client, Service.NATIVE, Credentials(Pid(1), 9, 9)), NOW)
    for request in (stream.encode_hello(), QUESTION):
        node.engine.submit(ClientRequest(client, memoryview(request)), NOW)
    replies = [one for one in node.engine.drain() if isinstance(one, Reply)]
    answer = stream.decode_to_client(memoryview(replies[-1].message))
    assert isinstance(answer, stream.Answer)
    assert answer.error == CsError.ACCESS


# -- votes -----------------------------------------------------------------------------------------


def test_votes_when_a_node_is_out_of_the_list_then_fewer_are_needed() -> None:
    bus = cluster(3, quorum=QuorumSettings(votequorum=True))
    bus.form((1, 2))
    bus.settle()
    bus.native(1).ask(QUESTION)
    bus.settle()
    for number in (1, 2):
        node = of(bus, number)
        running = node.engine.settings
        changes = compare(running, replace(running, nodes=running.nodes[:2]))
        node.submit(ConfigurationRead(node.readings.pop(0), changes))
    bus.settle()
    for number in (1, 2):
        votes: Any = of(bus, number).engine.status()["votes"]
        assert votes == {"expected": 2, "total": 2, "quorum": 2}


# -- on the wire -----------------------------------------------------------------------------------


BODY = {"applied": [["a", "b", "c"]], "refused": [], "problems": ["p"]}


def test_report_when_written_then_read_and_refused_when_cut() -> None:
    report = Report(NodeId(7), 9, True, BODY)
    data = encode_report(report)
    read = decode_reload(data)
    assert isinstance(read, Report)
    assert (read.leader, read.number, read.is_good) == (7, 9, True)
    assert read.body == {**BODY, "is_cut": False}
    for length in range(len(data)):
        if length != 8:  # as long as an order
            with pytest.raises(WireError):
                decode_reload(data[:length])


def test_order_when_written_then_read() -> None:
    for step in Step:
        assert decode_reload(encode_order(step, 3)) == Order(step, 3)


def test_report_when_too_long_then_cut_and_it_says_so() -> None:
    many = [list(Change("d" * 50, "b" * 50, "a" * 50)) for _ in range(1000)]
    data = encode_report(Report(NodeId(1), 1, True, {**BODY, "applied": many}))
    assert len(data) <= RELOAD_REPORT_BYTES_MAX + 12
    read = decode_reload(data)
    assert isinstance(read, Report)
    assert read.body["is_cut"]
    assert read.body["applied"]
    assert read.body["problems"] == ["p"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"applied": 1}',
        b'{"applied": [["a", "b"]]}',
        b'{"applied": [["a", "b", 3]]}',
        b'{"problems": [1]}',
        b"[" * 9000,
        b'{"problems": ["\xff"]}',
    ],
)
def test_report_when_it_is_none_then_refused(body: bytes) -> None:
    head = encode_report(Report(NodeId(1), 1, True, {}))[:12]
    with pytest.raises(WireError):
        decode_reload(head + body)
