"""`unisonod` as a process: options, exit statuses, signals, becoming a daemon."""

import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.executive.places import LOOP

SECONDS_MAX = 20
TERMINATIONS = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]


def start(host, *options):
    """A daemon in the foreground, from its first line to "ready to provide service"."""
    process = subprocess.Popen(host.command("-f", *options), stderr=subprocess.PIPE, text=True)
    host.started.append(process.pid)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "ready to provide service" in line:
            return process, lines
    pytest.fail(f"ended early: {lines}")


def finish(process):
    output = process.communicate(timeout=SECONDS_MAX)[1]
    return process.returncode, output


def test_transport_without_authentication_is_warned_of_once(host):
    process, lines = start(host)
    process.terminate()
    status, rest = finish(process)
    assert status == 0
    assert "".join([*lines, rest]).count("does not authenticate") == 1


def test_version_prints_and_touches_nothing(host):
    ran = host.run("-v")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("unisonod ")
    assert not host.instance.exists()


def test_test_when_the_configuration_is_good_exits_0_and_creates_nothing(host):
    ran = host.run("-t")
    assert ran.returncode == 0
    assert ran.stdout == f"{host.config}: good\n"
    assert not host.instance.exists()


def test_test_when_it_is_bad_prints_each_error_on_its_own_line(host):
    text = host.config.read_text().replace("token: 1000", "token: soon\n    join: 1")
    host.config.write_text(text)
    ran = host.run("-t")
    assert ran.returncode == 1
    errors = [line for line in ran.stderr.splitlines() if "found" in line]
    assert [line.split(": ")[1] for line in errors] == ["totem.token", "totem.join"]
    assert all(line.startswith(f"{host.config}:") for line in errors)
    assert "Traceback" not in ran.stderr


def test_option_when_unknown_exits_1(host):
    ran = host.run("--no-such-option")
    assert ran.returncode == 1
    assert "--no-such-option" in ran.stderr


def test_configuration_when_missing_exits_1_with_one_line(host):
    host.config.unlink()
    ran = host.run("-f")
    assert ran.returncode == 1
    assert ran.stderr == f"unisonod: cannot read {host.config}: No such file or directory\n"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("nodeid: 2", "nodeid: 1", "nodeid"),
        (f"{LOOP}.1.1", "203.0.113.5", "203.0.113.5 is not local"),
    ],
    ids=["node id twice", "no local address"],
)
def test_configuration_when_impossible_exits_1_with_one_line(host, before, after, expected):
    host.config.write_text(host.config.read_text().replace(before, after))
    ran = host.run("-f")
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert expected in ran.stderr


def test_address_in_use_exits_1_and_says_so(host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((f"{LOOP}.1.1", 26415))
        ran = host.run("-f")
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert last.startswith(f"unisonod: cannot bind to {LOOP}.1.1:26415: Address already in use")
    assert not (host.instance / "unisonod.pid").exists()


def test_daemon_when_started_logs_what_administrators_know(host):
    process, lines = start(host)
    process.terminate()
    finish(process)
    stamp = r"[A-Z][a-z]{2} [0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3} "
    text = "".join(lines)
    for line in (
        r"notice  \[TOTEM \] Initializing transport \(UDP/IP Unicast\)\.",
        r"notice  \[TOTEM \] A new membership \(1\.5\) was formed\. Members joined: 1",
        r"notice  \[QUORUM\] Members\[1\]: 1",
        r"notice  \[MAIN  \] Completed service synchronization, ready to provide service",
    ):
        assert re.search(f"^{stamp}{line}$", text, re.MULTILINE), line


@pytest.mark.parametrize("number", TERMINATIONS, ids=lambda number: number.name)
def test_signal_leaves_the_ring_and_cleans_up(host, number):
    process, _ = start(host)
    assert (host.instance / "unisonod.pid").read_text() == f"{process.pid}\n"
    process.send_signal(number)
    status, output = finish(process)
    assert status == 0
    assert "Node was shut down by a signal" in output
    assert sorted(os.listdir(host.instance)) == ["ringid_1"]
    assert struct.unpack("=Q", (host.instance / "ringid_1").read_bytes()) == (5,)


def test_signal_that_means_nothing_yet_does_not_kill(host):
    process, _ = start(host)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        process.send_signal(number)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0


def test_second_daemon_of_an_instance_exits_18(host):
    process, _ = start(host)
    ran = host.run("-f")
    assert ran.returncode == 18
    assert f"another instance is running (pid {process.pid})" in ran.stderr
    process.terminate()
    assert finish(process)[0] == 0


def test_pid_file_when_stale_does_not_block(host):
    process, _ = start(host)
    process.kill()
    finish(process)
    assert (host.instance / "unisonod.pid").exists()
    process, lines = start(host)
    assert "Members joined: 1" in "".join(lines)
    process.terminate()
    assert finish(process)[0] == 0


def test_state_directory_when_missing_exits_16(host):
    host.config.write_text(
        host.config.read_text() + f"system {{\n    state_dir: {host.config.parent}/none\n}}\n"
    )
    command = [
        word for word in host.command("-f") if word not in ("--instance", str(host.instance))
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX)
    assert ran.returncode == 16
    assert "none is missing" in ran.stderr


def test_ring_sequence_when_it_cannot_be_kept_exits_21(host):
    host.instance.mkdir(mode=0o755)
    (host.instance / "ringid_1").mkdir()
    ran = host.run("-f")
    assert ran.returncode == 21
    assert "ringid_1" in ran.stderr.splitlines()[-1]


def test_daemon_when_it_comes_up_detaches_and_the_starter_exits_0(host):
    ran = host.run()
    assert ran.returncode == 0
    pid = int((host.instance / "unisonod.pid").read_text())
    host.started.append(pid)
    status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert int(status[1]) != os.getpid()
    assert int(status[3]) not in (pid, os.getsid(0))  # session: left ours, does not lead its own
    assert status[4] == "0"  # no terminal
    assert os.readlink(f"/proc/{pid}/cwd") == str(host.instance)
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)} == {os.devnull}
    watch = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        assert select.select([watch], [], [], SECONDS_MAX)[0]
    finally:
        os.close(watch)
    assert not (host.instance / "unisonod.pid").exists()


def test_daemon_when_it_cannot_come_up_tells_the_starter_why(host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((f"{LOOP}.1.1", 26415))
        ran = host.run()
    assert ran.returncode == 1
    assert f"cannot bind to {LOOP}.1.1:26415" in ran.stderr


def test_module_and_command_are_one(host):
    command = Path(sys.executable).with_name("unisonod")
    ran = subprocess.run([command, "-v"], capture_output=True, text=True, timeout=SECONDS_MAX)
    assert ran.stdout == host.run("-v").stdout


@pytest.mark.parametrize("delay_ms", [0, 5, 20, 60, 150])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_signal_while_starting_ends_the_daemon_cleanly(host, number, delay_ms):
    process = subprocess.Popen(host.command("-f"), stderr=subprocess.PIPE, text=True)
    host.started.append(process.pid)
    output = process.stderr.readline()
    time.sleep(delay_ms / 1000)
    process.send_signal(number)
    began = time.monotonic()
    status, rest = finish(process)
    assert time.monotonic() - began < 5
    assert status in (0, 1)
    assert "Traceback" not in output + rest
    assert "unisonod.pid" not in os.listdir(host.instance)


def test_starter_waits_until_the_daemon_is_in_a_configuration(host):
    log = host.config.parent / "unisonod.log"
    text = host.config.read_text()
    host.config.write_text(f"{text}\nlogging {{\n    to_logfile: yes\n    logfile: {log}\n}}\n")
    ran = host.run()
    told = log.read_text()
    host.started.append(int((host.instance / "unisonod.pid").read_text()))
    assert ran.returncode == 0
    assert "Members[1]: 1" in told


def test_starter_when_the_daemon_ends_before_it_was_a_member_exits_1(host):
    host.config.write_text(host.config.read_text().replace("token: 1000", "token: 20000"))
    starter = subprocess.Popen(host.command(), stderr=subprocess.PIPE, text=True)
    pid_file = host.instance / "unisonod.pid"
    for _ in range(SECONDS_MAX * 20):
        if pid_file.exists() and (pid := pid_file.read_text().strip()):
            break
        time.sleep(0.05)
    host.started.append(int(pid))
    os.kill(int(pid), signal.SIGTERM)
    status, output = finish(starter)
    assert status == 1
    assert output.splitlines()[-1] in (
        "unisonod: stopped before it was a member of a ring",
        "unisonod: interrupted while starting",
    )


def test_service_manager_hears_when_the_daemon_is_ready_lives_and_stops(host):
    name = str(host.config.parent / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(SECONDS_MAX)
        environ = {**os.environ, "NOTIFY_SOCKET": name, "WATCHDOG_USEC": "200000"}
        process = subprocess.Popen(host.command("-f"), stderr=subprocess.DEVNULL, env=environ)
        host.started.append(process.pid)
        heard = []
        while "READY=1\nSTATUS=Members[1]: 1" not in heard:
            heard.append(manager.recv(4096).decode())
        alive = [manager.recv(4096).decode() for _ in range(5)]
        assert alive == ["WATCHDOG=1"] * 5
        process.terminate()
        while heard[-1] != "STOPPING=1":
            heard.append(manager.recv(4096).decode())
        assert process.wait(SECONDS_MAX) == 0
