"""What packages install: the init script at work, and the unit against the daemon's promises."""

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from unisono.cli import main as umbrella
from unisono.cli.metrics import command as metrics_command
from unisono.executive import main
from unisono.linux.listening import read_loopback

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
SCRIPT = PACKAGING / "init" / "unisono"
SECONDS_MAX = 40


class Script:
    """The init script, for a daemon of the test's own."""

    def __init__(self, host):
        program = host.config.parent / "unisonod"
        program.write_text('#!/bin/sh\nexec "$@"\n')
        program.chmod(0o755)
        self.pid_file = host.instance / "unisonod.pid"
        self.environ = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "DAEMON": str(program),
            "OPTIONS": " ".join(host.command()),
            "PIDFILE": str(self.pid_file),
        }
        self.host = host

    def run(self, verb):
        ran = subprocess.run(
            ["sh", str(SCRIPT), verb],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )
        if verb in ("start", "restart") and self.pid_file.exists():
            self.host.started.append(self.pid)
        return ran.returncode, ran.stdout + ran.stderr

    @property
    def pid(self):
        return int(self.pid_file.read_text())


@pytest.fixture
def script(host):
    # The daemon is recognised by its name, which here stands in the path of its configuration.
    home = host.config.parent / "unisonod.d"
    home.mkdir()
    host.config = host.config.rename(home / "corosync.conf")
    return Script(host)


def test_script_when_used_through_a_life_then_each_step_tells_the_truth(script):
    assert script.run("status") == (3, "unisonod is not running\n")
    status, output = script.run("start")
    assert status == 0
    assert "Members[1]: 1" in output
    first = script.pid
    assert script.run("status") == (0, "unisonod is running\n")
    assert script.run("start") == (0, "unisonod is running\n")
    assert script.run("restart")[0] == 0
    assert script.pid != first
    assert script.run("reload") == (0, "")
    assert script.run("status")[0] == 0
    assert script.run("stop") == (0, "")
    assert script.run("status")[0] == 3
    assert script.run("stop") == (0, "unisonod is not running\n")


def test_script_when_the_pid_file_is_stale_then_nobody_else_is_ended(script):
    with subprocess.Popen(["sleep", "60"]) as bystander:
        script.pid_file.parent.mkdir()
        script.pid_file.write_text(f"{bystander.pid}\n")
        assert script.run("status") == (1, "unisonod is not running\n")
        assert script.run("stop")[0] == 0
        assert script.run("reload")[0] == 7
        assert bystander.poll() is None
        bystander.kill()


def test_script_when_the_daemon_does_not_start_then_says_why(script):
    script.host.config.write_text("totem {\n    version: 3\n}\n")
    status, output = script.run("start")
    assert status == 1
    assert "totem.version" in output


def test_script_when_asked_for_nonsense_then_usage():
    ran = subprocess.run(["sh", str(SCRIPT), "dance"], capture_output=True, text=True, timeout=10)
    assert ran.returncode == 2
    assert "usage" in ran.stderr


def read_unit(name):
    unit = ConfigParser(interpolation=None, strict=False)  # some keys are written twice on purpose
    unit.optionxform = str
    unit.read(PACKAGING / "systemd" / name)
    return unit


def test_unit_when_read_then_it_fits_the_daemon():
    service = read_unit("unisono.service")["Service"]
    assert service["Type"] == "notify"
    assert service["ExecStart"].endswith("unisonod -f")
    assert float(service["WatchdogSec"]) > 0
    prevented = {int(number) for number in service["RestartPreventExitStatus"].split()}
    assert prevented == {main.STATUS_BAD, main.STATUS_NO_STATE_DIR, main.STATUS_RUNNING}


def test_metrics_unit_when_read_then_it_fits_the_command_and_its_user():
    service = read_unit("unisono-metrics.service")["Service"]
    program, command, option, listen = service["ExecStart"].split()
    assert (program, command) == ("/usr/bin/unisono", "metrics")
    assert command in umbrella.COMMANDS
    name, _, address = service["Environment"].partition("=")
    assert listen == f"${{{name}}}"
    given = metrics_command.parser().parse_args([option, address])
    assert read_loopback(given.listen) == ("127.0.0.1", 9166)
    # The daemon's socket has an abstract name, which another network namespace does not see.
    assert "PrivateNetwork" not in service
    assert "AF_UNIX" in service["RestrictAddressFamilies"].split()
    users = (PACKAGING / "sysusers" / "unisono-metrics.conf").read_text().splitlines()
    assert [line.split()[:2] for line in users if line[:1] != "#"] == [["u", service["User"]]]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("name", ["unisono.service", "unisono-metrics.service"])
def test_unit_when_systemd_reads_it_then_it_has_nothing_to_say(name, tmp_path):
    # What it starts is not installed here, and that would be said.
    text = (PACKAGING / "systemd" / name).read_text()
    (tmp_path / name).write_text(re.sub("(?m)^(ExecStart=)[^ ]+", r"\1/bin/true", text))
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / name],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
