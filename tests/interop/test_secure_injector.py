"""An injector that sees all traffic spoils the pieces of every frame: the ring must go on."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.lab import Lab
from tests.interop.netns import run
from tests.interop.rings import assert_load_ordered, assert_same
from tests.interop.secure_lab import refusals, ring_changes, secure, status

pytestmark = pytest.mark.timeout(90)

ROOT = Path(__file__).resolve().parents[2]
RATE_MBIT = 50
"""The receivers' ports: frames queue there, and the injector has time to react."""
SECONDS = 60.0


def slow_ports(lab: Lab) -> None:
    """Give every port of the switch the speed of a cable."""
    enter = ["nsenter", "-t", str(lab.network.switch.pid), "--net", "--"]
    for n in lab.nodes:
        shape = f"rate {RATE_MBIT}mbit burst 20k limit 4mb"
        run([*enter, *f"tc qdisc add dev port{n} root tbf {shape}".split()])


@contextmanager
def injector(lab: Lab, told: dict[str, Any]) -> Iterator[None]:
    """The attack, as long as the block lasts; what it did is in `told` afterwards."""
    argv = [sys.executable, "-m", "tests.interop.injector", str(lab.network.switch.pid)]
    process = subprocess.Popen(
        [*argv, str(SECONDS)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()
        told.update(json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait(10)
        process.stdin.close()
        process.stdout.close()


def test_ring_when_pieces_of_every_frame_are_forged_then_it_seals_each_piece_and_goes_on(
    laboratory: Callable[..., Lab],
) -> None:
    told: dict[str, Any] = {}
    with secure("uuu") as lab:
        slow_ports(lab)
        lab.form()
        assert not any(status(lab, n)["daemon"]["transport"]["seals_each_piece"] for n in lab.nodes)
        rings = ring_changes(lab)
        lab.marked("start")
        with injector(lab, told):
            lab.send(12, 60_000)
            lab.finish()
            assert_same(lab.marked("end"), 12 * len(lab.nodes))
            assert_load_ordered(lab, messages=500)
        assert ring_changes(lab) == rings, lab.describe()
        # The attack was real: frames were spoiled, and the senders have drawn the consequence.
        assert told["forged"] > 0
        assert sum(refusals(lab, n)["spoiled"] for n in lab.nodes) > 0, told
        assert any(status(lab, n)["daemon"]["transport"]["seals_each_piece"] for n in lab.nodes)
