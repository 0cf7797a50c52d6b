"""BB3: the version, the help, the test and every command make, change and remove nothing."""

import json
import os
import subprocess
import sys

import pytest

from tests.life import listing
from tests.life.daemons import Daemon, Place
from tests.life.island import ROOT, inside
from unisono.cli.main import COMMANDS

pytestmark = pytest.mark.root
WATCHED = """
import json, os, sys
from importlib import import_module
found = []
CHANGES = {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.truncate",
           "os.chmod", "os.chown", "os.utime", "socket.bind", "os.fork", "os.forkpty",
           "os.posix_spawn", "subprocess.Popen", "os.setxattr", "shutil.rmtree"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
def note(event, given):
    if event == "open":
        if (given[2] or 0) & WRITING or set(given[1] or "") & set("wax+"):
            found.append(f"open {given[0]}")
    elif event in CHANGES or event == "mmap.__new__" and given[0] != -1:
        found.append(f"{event} {given}")
def refuse(*given):
    found.append(f"memfd_create {given}")
    raise OSError(12, "none here")
sys.addaudithook(note)
os.memfd_create = refuse
sys.argv = sys.argv[2:]
module, name = sys.argv[0].split(":")
try:
    status = getattr(import_module(module), name)(sys.argv[1:])
except SystemExit as end:
    status = end.code
sys.stdout.flush()
print(json.dumps([status or 0, found]), file=sys.stderr)
"""
DAEMON = "unisono.executive.main:main"
COMMAND = "unisono.cli.main:main"
SIMULATOR = "unisono.sim.main:main"


def _watch(program: str, *arguments: str) -> list[object]:
    """Exit status of a command, and everything it made, changed or removed."""
    ran = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED, "-", program, *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, cwd=ROOT,
    )  # fmt: skip
    assert ran.stderr.endswith("]]\n") or ran.stderr.endswith("[]]\n"), ran.stderr
    return json.loads(ran.stderr.splitlines()[-1])


def commands() -> dict[str, object]:
    """Every command that only looks, without a daemon, beside one, and after it."""
    place = Place("/run/one")
    where = ["--instance", str(place.instance)]
    found: dict[str, object] = {}

    def look(when: str) -> None:
        before = listing.files()
        for option in ("-v", "-h", "-t"):
            found[f"{when}: unisonod {option}"] = _watch(DAEMON, *place.options(option))
        for name in ("status", "blackbox"):
            found[f"{when}: {name}"] = _watch(COMMAND, name, *where)
        found[f"{when}: files"] = [0, sorted(before.items() ^ listing.files().items())]

    look("before")
    for name, command in COMMANDS.items():
        if not command.program:
            found[f"{name} --help"] = _watch(COMMAND, name, "--help")
    found["sim --help"] = _watch(SIMULATOR, "--help")
    found["version"] = _watch(COMMAND, "version")
    daemon = place.start()
    look("beside")
    found["beside: second"] = [place.probe("-f").status, []]
    assert daemon.is_alive
    keeper = Daemon(daemon.children[0])
    daemon.send(9)
    daemon.wait()
    keeper.wait()  # it has written its dump then
    look("after")
    return found


def test_bb3_command_when_it_only_looks_then_it_touches_nothing() -> None:
    found = inside(commands)
    assert {name: changes for name, (_, changes) in found.items() if changes} == {}
    statuses = {name: status for name, (status, _) in found.items()}
    failed = {name: status for name, status in statuses.items() if status}
    assert failed.pop("beside: second") == 18
    assert all(name.split(": ")[1] in {"status", "blackbox"} for name in failed), failed
    assert statuses["beside: status"] == 0


def test_bb3_watch_when_something_is_made_then_it_is_noticed(tmp_path) -> None:
    """The watch itself: a key is a file, and is seen."""
    key = tmp_path / "key"
    status, found = _watch(COMMAND, "keygen", "-k", str(key))
    assert status == 0
    assert any(str(key.parent) in each for each in found)
    assert os.path.exists(key)
