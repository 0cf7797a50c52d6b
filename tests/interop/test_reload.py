"""Configurations that are read again: by Corosync's own tool, among our daemons and beside its."""

import json
from collections.abc import Callable

import pytest

from tests.interop.lab import CONF_PATH, Lab
from tests.interop.secure_lab import UNISONO

pytestmark = pytest.mark.timeout(90)
CFGTOOL = "/usr/sbin/corosync-cfgtool"
CS_ERR_INVALID_PARAM = 7
LOSS_SECONDS_MAX = 2.5
"""Time-out and consensus take 1.1 s now; before, the time-out alone took 3 s."""


def edit(lab: Lab, n: int, before: str, after: str) -> None:
    """Change the file of host `n`."""
    path = lab.network.host(n).path(CONF_PATH)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def token_of(lab: Lab, n: int) -> int:
    """The token time-out that holds at host `n`, in milliseconds, as its map says."""
    ran = lab.run(n, "/usr/sbin/corosync-cmapctl", "-g", "runtime.config.totem.token")
    return int(ran.stdout.split("=")[1])


@pytest.mark.parametrize(("kinds", "asked"), [("uu", 1), ("cu", 1), ("cu", 2), ("uc", 1)])
def test_cfgtool_when_it_reloads_then_every_node_of_either_kind_has_the_new_times(
    laboratory: Callable[..., Lab], kinds: str, asked: int
) -> None:
    lab = laboratory(kinds, totem={"token": 3000})
    lab.form()
    for n in lab.nodes:
        edit(lab, n, "token: 3000", "token: 500")
    ran = lab.run(asked, CFGTOOL, "-R")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lab.wait("times", lambda: all(token_of(lab, n) == 500 for n in lab.nodes))
    lab.kill(2)
    assert lab.wait_views([1]) < LOSS_SECONDS_MAX


def test_cfgtool_when_a_file_elsewhere_is_broken_then_it_fails_and_nothing_changes(
    laboratory: Callable[..., Lab],
) -> None:
    """With Corosync it says Done, and two configurations are in force."""
    lab = laboratory("uu", totem={"token": 3000})
    lab.form()
    edit(lab, 1, "token: 3000", "token: 500")
    edit(lab, 2, "token: 3000", "token: never")
    ran = lab.run(1, CFGTOOL, "-R")
    assert "Could not reload configuration" in ran.stdout + ran.stderr
    assert ran.returncode == CS_ERR_INVALID_PARAM
    assert [token_of(lab, n) for n in lab.nodes] == [3000, 3000]


def test_cfgtool_when_it_reopens_log_files_then_they_are_there_again(
    laboratory: Callable[..., Lab],
) -> None:
    lab = laboratory("u")
    edit(lab, 1, "to_logfile: no", "to_logfile: yes\n  logfile: /run/rotated.log")
    lab.form()
    log = lab.network.host(1).path("/run/rotated.log")
    log.rename(log.with_name("rotated.log.1"))
    ran = lab.run(1, CFGTOOL, "-L")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lab.wait("the file", log.exists)


def test_nodelist_when_a_node_is_added_beside_corosync_then_it_joins(
    laboratory: Callable[..., Lab],
) -> None:
    lab = laboratory("ucu")
    third = lab.network.host(3).path(CONF_PATH).read_text()
    node = third[third.index("  node {\n    name: host3") : third.index("logging {")]
    for n in (1, 2):
        edit(lab, n, node, "}\n")
    lab.start(1, 2)
    lab.wait_views([1, 2])
    for n in (1, 2):
        lab.network.host(n).path(CONF_PATH).write_text(third)
    ran = lab.run(2, CFGTOOL, "-R")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lab.start(3)
    lab.wait_views([1, 2, 3])
    status = json.loads(lab.run(1, UNISONO, "status", "--seconds", "0", "--json").stdout)
    assert status["votes"]["expected"] == 3
