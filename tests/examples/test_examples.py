"""Each example as a user runs it: processes of their own, one daemon, typed lines."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.fake_daemon import FakeDaemon, daemon_in_thread
from tests.examples.program import EXAMPLES, Program


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[str]:
    with daemon_in_thread(tmp_path):
        yield str(tmp_path)


def test_kv_store_when_one_writes_then_the_other_reads(instance: str) -> None:
    with Program("kv_store.py", instance) as one:
        one.say("set colour blue", "get colour", "get shape")
        one.expect("colour = blue")
        one.expect("shape = (nothing)")
        with Program("kv_store.py", instance) as two:
            two.say("get colour", "set shape round thing", "delete colour", "all")
            two.expect("colour = blue")
            assert json.loads(two.expect("{")) == {"shape": "round thing"}
            one.say("all")
            assert json.loads(one.expect("{")) == {"shape": "round thing"}
            two.finish()
        one.expect("members:")
        one.finish()


def test_kv_store_when_newcomers_arrive_under_load_then_all_hold_the_same(instance: str) -> None:
    with (
        Program("kv_store.py", instance) as one,
        Program("kv_store.py", instance) as two,
    ):
        one.say(*(f"set a{number} {number}" for number in range(2_000)))
        two.say(*(f"set b{number} {number}" for number in range(2_000)))
        with Program("kv_store.py", instance) as three, Program("kv_store.py", instance) as four:
            three.say(*(f"set a{number} over{number}" for number in range(1_000)), "get a999")
            four.say("get b0")
            three.expect("a999")
            four.expect("b0")
            for program in (one, two):
                program.say("set end 1", "get end")
                program.expect("end = 1")
            everything = []
            for program in (one, two, three, four):
                program.say("all")
                everything.append(json.loads(program.expect("{")))
            assert all(each == everything[0] for each in everything)
            assert len(everything[0]) == 4_001


def test_kv_store_when_the_holder_dies_then_the_others_go_on(instance: str) -> None:
    with Program("kv_store.py", instance) as one:
        one.say("set colour blue", "get colour")
        one.expect("colour = blue")
        with Program("kv_store.py", instance) as two:
            two.expect("ready, 1 keys")
            one.kill()
            two.expect(f"members: 1:{two.pid}")
            with Program("kv_store.py", instance) as three:
                three.say("get colour")
                three.expect("colour = blue")


def test_kv_store_when_the_daemon_returns_then_work_goes_on(tmp_path: Path) -> None:
    with daemon_in_thread(tmp_path) as daemon, Program("kv_store.py", str(tmp_path)) as one:
        one.expect("ready, 0 keys")
        one.say("set colour blue", "get colour")
        one.expect("colour = blue")
        daemon.wait(FakeDaemon.die)
        daemon.wait(FakeDaemon.start)
        one.expect("ready, 0 keys")
        one.say("set colour red", "get colour")
        one.expect("colour = red")
        one.finish()


def test_chat_when_two_talk_then_both_see_the_same(instance: str) -> None:
    with Program("chat.py", "ann", instance) as ann:
        ann.expect("* 1 here")
        with Program("chat.py", "bob", instance) as bob:
            ann.expect(f"* 1:{bob.pid} came")
            bob.expect("* 2 here")
            ann.say("hello, bob")
            bob.expect("ann: hello, bob")
            bob.say("hello, ann")
            ann.expect("ann: hello, bob")
            ann.expect("bob: hello, ann")
            bob.finish()
        ann.expect(f"* 1:{bob.pid} went (leave)")
        ann.finish()


def test_leader_election_when_the_leader_dies_then_the_next_one_leads(instance: str) -> None:
    with Program("leader_election.py", instance) as first:
        first.expect(f"1:{first.pid} leads (that is me)")
        with Program("leader_election.py", instance) as second:
            second.expect("members:")
            with Program("leader_election.py", instance) as third:
                third.expect("members:")
                first.kill()
                second.expect(f"1:{second.pid} leads (that is me)")
                third.expect(f"1:{second.pid} leads")
                second.kill()
                third.expect(f"1:{third.pid} leads (that is me)")


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_example_when_there_is_no_daemon_then_the_last_line_says_so(
    name: str, tmp_path: Path
) -> None:
    arguments = ["ann", str(tmp_path)] if name == "chat.py" else [str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "no daemon at" in done.stderr.splitlines()[-1]
