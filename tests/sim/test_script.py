"""The verbs of scenarios: what each does to the cluster, and what it tells."""

import pytest

from unisono.base.ids import NO_RING
from unisono.sim.forgery import alter
from unisono.sim.script import VERBS, Script, ScriptError
from unisono.wire.ring import srp


@pytest.fixture
def script() -> Script:
    script = Script()
    script.run(["nodes 1 2 3 formed"])
    return script


def services(*more: str) -> Script:
    script = Script()
    script.run(["nodes 1 2 3 services formed", *more])
    return script


def test_verb_always_has_a_manual() -> None:
    assert all((handler.__doc__ or "").startswith("`") for handler in VERBS.values())


def test_nodes_when_said_again_then_what_was_before_is_forgotten(script: Script) -> None:
    script.run(["send 1 agreed old", "settle"])
    assert script.run(["nodes 1 2 formed", "order", "together"]) == (
        "1,2: 0 messages\n1,2: together"
    )


def test_until_when_the_state_comes_then_the_node_is_in_it(script: Script) -> None:
    script.run(["kill 3", "until 2 recovery"])
    assert script.run(["state"]).endswith("3: down")
    assert "2" in script.run(["state"]).split(": recovery")[0]


def test_until_when_the_state_never_comes_then_says_so(script: Script) -> None:
    with pytest.raises(ScriptError, match="node 1 never came to recovery"):
        script.run(["until 1 recovery"])


def test_kill_in_sync_when_the_services_agree_then_the_exchange_is_aborted() -> None:
    script = services("kill 3", "settle", "start 3", "until 3 operational")
    script.run(["until 1 sync", "kill 3", "settle"])
    assert script.run(["marked SYNC_ABORTED"]) != "SYNC_ABORTED=0"


def test_together_when_cut_then_tells_who_is_with_whom(script: Script) -> None:
    script.run(["cut 1,2 | 3", "settle"])
    assert script.run(["together"]) == "1,2: together\n3: alone"
    script.run(["kill 2"])
    assert script.run(["together"]) == ("1: in 1.d with 1,2, who are not\n2: down\n3: alone")


def test_order_when_one_was_away_then_its_count_is_another_line(script: Script) -> None:
    script.run(
        ["hide transitional view", "cut 1,2 | 3", "settle", "order", "flood 1,2 5", "settle"]
    )
    assert script.run(["order"]) == "1,2: 10 messages in one order\n3: 0 messages"


def test_order_when_clients_are_there_then_counts_theirs() -> None:
    script = services("join ann 1 red libcpg", "join bob 2 red", "settle", "hide group")
    script.run(["flood ann,bob 7 50", "settle"])
    assert (
        script.run(["order", "waits"]) == "ann,bob: 14 messages in one order\n1,2,3: nothing waits"
    )


def test_hide_when_shown_again_then_the_lines_come_back(script: Script) -> None:
    assert script.run(["hide deliver", "send 1 agreed a", "settle"]) == "ok"
    assert script.run(["show deliver", "send 1 agreed b", "settle"]) == "1,2,3: deliver from=1 b"


def test_within_when_it_took_longer_then_tells_how_long(script: Script) -> None:
    assert script.run(["send 1 agreed a", "settle", "within 5"]).startswith("within 5 ms")
    assert "\n" in script.run(["kill 3", "settle", "within 5"])
    assert script.run(["kill 2", "settle", "within 1"]).startswith("after 2")


def test_traffic_when_nobody_runs_then_there_is_silence(script: Script) -> None:
    assert script.run(["traffic 2000"]).startswith("token=")
    assert script.run(["kill 1,2,3", "tick 10", "traffic 1000"]).startswith("silence\n")


def test_quorum_when_nobody_votes_then_the_script_is_wrong() -> None:
    with pytest.raises(ScriptError, match="votequorum"):
        services().run(["quorum"])


def test_quorum_when_votes_differ_then_counts_them() -> None:
    script = Script()
    script.run(["nodes 1 2 services votequorum votes=1,4 formed", "kill 1", "settle"])
    assert script.run(["quorum"]) == "2: quorate, votes=4 of 5 quorum=3"


def test_drop_over_when_datagrams_are_small_then_they_pass(script: Script) -> None:
    script.run(["drop mcast 1 3 * over=500"])
    assert script.run(["send 1 agreed small", "tick 50"]) == "1,2,3: deliver from=1 small"
    assert script.run(["send 1 agreed large 600", "tick 1"]) == "1,2: deliver from=1 large[600]"
    assert script.run(["heal", "settle"]) == "3: deliver from=1 large[600]"


def test_replay_when_altered_then_the_node_reads_the_other_contents(script: Script) -> None:
    script.run(["keep tok token 1 2", "tick 1000", "marked DATAGRAM_MALFORMED"])
    lines = script.run(["replay tok 1 2 version=9", "marked DATAGRAM_MALFORMED TOKEN_DUPLICATE"])
    assert lines == "DATAGRAM_MALFORMED=1\nTOKEN_DUPLICATE=0"
    assert script.run(["replay tok 1 2", "marked TOKEN_DUPLICATE"]) == "TOKEN_DUPLICATE=1"


def test_alter_when_relative_then_adds_to_what_was_there() -> None:
    datagram = srp.encode_hold_cancel(srp.HoldCancel(NO_RING))
    message = srp.decode(alter(datagram, {"ring_seq": "+8", "sender": "0x10"}))
    assert isinstance(message, srp.HoldCancel)
    assert (message.ring.seq, message.sender) == (8, 16)
    assert len(alter(datagram, {"size": "20"})) == 20


def test_weather_of_one_link_when_healed_then_is_like_the_others(script: Script) -> None:
    script.run(["weather 1>3 latency=40"])
    assert script.run(["send 1 agreed far", "tick 20"]) == "1,2: deliver from=1 far"
    script.run(["tick 100", "heal"])
    assert script.run(["send 1 agreed near", "tick 20"]) == "1,2,3: deliver from=1 near"


def test_say_when_a_member_says_nonsense_then_all_count_it() -> None:
    script = services("say 1 ffffffff 00000000 10000000 00000000", "settle")
    assert script.run(["marked SERVICE_MESSAGE_UNKNOWN"]) == "SERVICE_MESSAGE_UNKNOWN=3"


def test_compat_when_services_stand_above_then_nobody_knows_that_all_are_unisono() -> None:
    script = Script()
    script.run(["nodes 1 2 services compat formed"])
    groups = [machine.group.status() for machine in script.scene.cluster.nodes.values()]  # type: ignore[attr-defined]  # the engine
    assert not any(status["native"] for status in groups)


def test_churn_when_over_then_nobody_is_left() -> None:
    script = services("join ann 1 red", "settle", "hide group", "churn 6 2 red", "settle")
    assert script.run(["listed red"]) == "1,2,3: red=ann"
