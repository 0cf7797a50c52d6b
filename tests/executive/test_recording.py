"""The flight recorder of a real daemon: what is left of it, and for whom."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import unisono.blocking
from tests.executive.conftest import Host
from tests.executive.somebody import NOBODY, as_nobody
from unisono.base.group import Marked
from unisono.base.marks import Mark
from unisono.cli.blackbox import run
from unisono.config.settings import LoggingSettings
from unisono.executive.recording import Recording

SECONDS_MAX = 20
UMBRELLA = [sys.executable, "-m", "unisono.cli.main", "blackbox"]
DEATHS = ["SIGKILL", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"]


@pytest.fixture
def start():
    """Starts the daemon of a host in the foreground, ready; gives its process."""
    with contextlib.ExitStack() as ends:
        keepers = []
        ends.callback(await_ends, keepers)  # last: a keeper still writes when its daemon is gone

        def begin(host):
            command = host.command("-f")
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            ends.enter_context(process)
            ends.callback(process.kill)
            for line in process.stderr:
                if "ready to provide service" in line:
                    keepers.extend(map(os.pidfd_open, _children(process.pid)))
                    return process
            pytest.fail("the daemon ended early")

        yield begin


def await_ends(watches):
    for watch in watches:
        assert select.select([watch], [], [], SECONDS_MAX)[0]
        os.close(watch)


@pytest.fixture
def shared_host():
    """A host whose directories others may enter, and who may connect."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o711)  # noqa: S103  others must get to the socket in it
        made = Host(Path(directory))
        text = made.config.read_text()
        made.config.write_text(text + f"uidgid {{\n    uid: {NOBODY}\n}}\n")
        yield made
        made.stop()


def dumps(host):
    return sorted(name for name in os.listdir(host.instance) if name.endswith(".dump"))


def wait_for_dump(host):
    deadline = time.monotonic() + SECONDS_MAX
    while not dumps(host):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def blackbox(host, *options, **how):
    command = [*UMBRELLA, "--instance", str(host.instance), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, **how)


@pytest.mark.parametrize("name", DEATHS)
def test_bb7_bb8_daemon_when_a_signal_kills_it_then_its_last_records_can_be_read(host, start, name):
    process = start(host)
    process.send_signal(getattr(signal, name))
    process.wait(SECONDS_MAX)
    wait_for_dump(host)
    ran = blackbox(host)
    assert ran.returncode == 0, ran.stderr
    assert "A new membership (1.5) was formed" in ran.stdout
    if name == "SIGKILL":
        assert "ended without a word" in ran.stderr
    else:
        assert f"it died of {name}" in ran.stderr
        assert "most recent call first" in ran.stdout


def test_bb8_daemon_when_it_dies_in_the_background_then_the_dump_ends_with_the_fatal_record(host):
    assert host.run().returncode == 0
    pid = int((host.instance / "unisonod.pid").read_text())
    host.started.append(pid)
    os.kill(pid, signal.SIGSEGV)
    wait_for_dump(host)
    ran = blackbox(host)
    assert ran.returncode == 0, ran.stderr
    assert "it died of SIGSEGV" in ran.stderr
    assert "fatal_signal(0):0:   File " in ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("crit ")


def test_daemon_when_it_ends_cleanly_then_nothing_is_left(host, start):
    process = start(host)
    children = _children(process.pid)
    assert len(children) == 1
    watch = os.pidfd_open(children[0])
    process.terminate()
    assert process.wait(SECONDS_MAX) == 0
    assert select.select([watch], [], [], SECONDS_MAX)[0]
    os.close(watch)
    assert os.listdir(host.instance) == ["ringid_1"]


def test_daemon_when_the_recorder_is_off_then_there_is_no_keeper(host, start):
    text = host.config.read_text()
    host.config.write_text(text + "logging {\n    to_stderr: yes\n    blackbox: off\n}\n")
    process = start(host)
    assert _children(process.pid) == []
    ran = blackbox(host, "--request")
    assert ran.returncode == 1
    assert "logging.blackbox" in ran.stderr
    process.terminate()
    assert process.wait(SECONDS_MAX) == 0


def test_dump_when_asked_for_then_made_and_the_daemon_goes_on(host, start):
    process = start(host)
    ran = blackbox(host, "--request")
    assert ran.returncode == 0, ran.stderr
    assert "it runs now" in ran.stderr
    assert "Members[1]: 1" in ran.stdout
    assert len(dumps(host)) == 1
    assert process.poll() is None
    process.terminate()
    assert process.wait(SECONDS_MAX) == 0


@pytest.mark.root
def test_bb12_dump_when_somebody_else_asks_then_refused_and_not_shown(shared_host, start, capsys):
    host = shared_host
    start(host)
    with as_nobody():
        assert run(["--instance", str(host.instance), "--request"]) == 1
    assert "only root and the daemon's own user may have dumps" in capsys.readouterr().err
    assert dumps(host) == []
    assert blackbox(host, "--request").returncode == 0
    with as_nobody():
        assert run(["--instance", str(host.instance)]) == 1
    assert "Permission denied" in capsys.readouterr().err


def test_bb20_messages_when_they_were_sent_then_no_byte_of_them_is_in_the_dump(host, start):
    process = start(host)
    secret = b"the-marker-that-must-not-be-seen"
    with unisono.blocking.connect(instance=host.instance) as node, node.group("g") as group:
        for _ in range(100):
            group.send(secret)
        taken = 0
        while taken < 100:
            taken += isinstance(group.next(timeout=SECONDS_MAX), unisono.Message)
    process.kill()
    process.wait(SECONDS_MAX)
    wait_for_dump(host)
    assert "The token was here: sequence" in blackbox(host).stdout
    data = (host.instance / dumps(host)[0]).read_bytes()
    assert secret not in data
    assert b"membership" in data


async def test_recorder_when_it_is_off_then_marks_are_counted_and_told_all_the_same(tmp_path):
    recording = Recording(
        LoggingSettings(blackbox=False),
        1,
        tmp_path,
        mark=lambda _marked: None,
        reply=lambda _client, _message: None,
        loop=asyncio.get_running_loop(),
    )
    counts, heard = dict.fromkeys(Mark, 0), []
    take = recording.shortcut(counts, {Mark.TOKEN_LOST}, heard.append)
    marks = [Marked(Mark.TOKEN_VISITED), Marked(Mark.TOKEN_LOST), Marked(Mark.STARTED, text="t")]
    for marked in marks:
        take(marked)
    assert heard == marks[1:]
    assert [counts[marked.mark] for marked in marks] == [1, 1, 1]
    recording.record(marks[0])
    assert recording.status()["missed"] == 0


def test_keeper_when_it_is_killed_then_the_log_says_so_and_the_daemon_goes_on(host, start):
    process = start(host)
    os.kill(_children(process.pid)[0], signal.SIGKILL)
    for line in process.stderr:
        if "Nothing will be left of the flight recorder" in line:
            break
    else:
        pytest.fail("not told")
    process.terminate()
    assert process.wait(SECONDS_MAX) == 0


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(number) for number in file.read().split()]
