"""100,000 forged packets a second at one member: its view stays, and half of its speed."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.interop.flooder import write_recording
from tests.interop.intruder import Recorder
from tests.interop.lab import Lab
from tests.interop.rings import assert_load_ordered
from tests.interop.secure_lab import refusals, ring_changes, secure, wait_doing_nothing

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).resolve().parents[2]
STREAM = str(Path(__file__).with_name("native_stream.py"))
VICTIM, STRANGER = 2, 4
RATE = 100_000
RATE_MIN = 80_000
"""Below that the machine was too busy to make the flood, and the test says nothing."""
FLOOD_SECONDS = 5
QUIET_SECONDS = 3
HELLO_RATE = 20_000
JOIN_SECONDS = 12
MESSAGE_BYTES = 1_000
SOURCE = re.compile(r"Invalid digest from ([0-9.]+):\d+ .* reason=([a-z-]+)")
LINES_MAX = 64


@contextmanager
def streams(lab: Lab) -> Iterator[dict[int, Path]]:
    """A native client on each host, of which the first sends without pause; what each tells."""
    told = {n: lab.network.host(n).path("/run/stream") for n in lab.nodes}
    with ExitStack() as stack:
        for n, file in told.items():
            size = MESSAGE_BYTES if n == 1 else 0
            argv = [sys.executable, STREAM, "flood", str(len(lab.nodes)), str(size)]
            output = stack.enter_context(file.open("wb"))
            process = subprocess.Popen(lab.network.host(n).command(*argv), stdout=output)
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
        yield told


def rate(file: Path, start: int, end: int) -> float:
    """Bytes a second delivered between two times of the monotonic clock."""
    lines = [tuple(map(int, line.split())) for line in file.read_text().splitlines()[:-1]]
    inside = [(at, count) for at, count in lines if start <= at <= end]
    assert len(inside) > 2, f"a client was silent for {(end - start) / 1e9:.1f} s: {lines[-3:]}"
    (first, low), (last, high) = inside[0], inside[-1]
    return (high - low) / max(last - first, end - start) * 1e9


@contextmanager
def flooder(
    lab: Lab, genuine: list[bytes], rate: int, seconds: int, sorts: str = ""
) -> Iterator["subprocess.Popen[str]"]:
    """The attacker's process, ready to begin."""
    file = lab.network.host(STRANGER).path("/run/recording")
    write_recording(file, genuine)
    host, target = str(lab.network.host(STRANGER).pid), lab.network.addresses(VICTIM)[0]
    argv = [sys.executable, "-m", "tests.interop.flooder", host, target, str(rate)]
    process = subprocess.Popen(
        [*argv, str(seconds), str(file), sorts],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdin.close()
        process.stdout.close()


def begin(attacker: "subprocess.Popen[str]") -> None:
    """Let it flood."""
    assert attacker.stdin is not None
    attacker.stdin.write("go\n")
    attacker.stdin.flush()


def result(attacker: "subprocess.Popen[str]") -> tuple[float, float]:
    """Packets sent, and the seconds taken."""
    assert attacker.stdout is not None
    sent, took = attacker.stdout.readline().split()
    return float(sent), float(took)


def to_victim(lab: Lab, recorder: Recorder) -> list[bytes]:
    """The genuine packets that it has received so far."""
    victim = lab.network.addresses(VICTIM)[0]
    return [each.data for each in recorder.take() if each.target[0] == victim]


def log_lines(lab: Lab, n: int) -> list[str]:
    return lab.log(n).read_text().splitlines()


def test_ring_when_flooded_with_forgeries_then_view_and_half_the_throughput_remain(
    laboratory: Callable[..., Lab],
) -> None:
    with secure("uuu", strangers=1) as lab, Recorder(lab.network) as recorder:
        lab.form()
        assert_load_ordered(lab, messages=100)
        lab.send(3, 60_000)
        lab.finish()
        genuine = to_victim(lab, recorder)
        with flooder(lab, genuine, RATE, FLOOD_SECONDS) as attacker, streams(lab) as told:
            lab.wait(
                "the stream flows",
                lambda: all(f.read_text().count("\n") > 5 for f in told.values()),
            )
            wait_doing_nothing(lab, 1)
            start = time.monotonic_ns()
            wait_doing_nothing(lab, QUIET_SECONDS)
            before, lines = refusals(lab, VICTIM), {n: len(log_lines(lab, n)) for n in lab.nodes}
            rings = ring_changes(lab)
            begun = time.monotonic_ns()
            begin(attacker)
            wait_doing_nothing(lab, FLOOD_SECONDS)
            ended = time.monotonic_ns()
            sent, took = result(attacker)
            wait_doing_nothing(lab, 1)
            again = time.monotonic_ns()
            wait_doing_nothing(lab, QUIET_SECONDS)
            end = time.monotonic_ns()
            # Other work on the machine comes and goes: quiet is the slower of before and after.
            quiet = {
                n: min(rate(file, start, begun), rate(file, again, end)) for n, file in told.items()
            }
            flooded = {n: rate(file, begun, ended) for n, file in told.items()}
        drops = refusals(lab, VICTIM) - before
        report = f"{sent / took:.0f}/s\nquiet {quiet}\nflooded {flooded}\nrefused {dict(drops)}"
        print(report)
        assert ring_changes(lab) == rings, report + lab.describe()
        said = {n: log_lines(lab, n)[lines[n] :] for n in lab.nodes}
        assert all(len(new) <= LINES_MAX for new in said.values()), said
        per_source = Counter(SOURCE.findall("\n".join(said[VICTIM])))
        assert all(count == 1 for count in per_source.values()), per_source
        assert drops.total() > 0
        if sent / took < RATE_MIN:
            pytest.skip(f"this machine made {sent / took:.0f} packets/s, wanted {RATE}")
        assert all(flooded[n] > quiet[n] / 2 for n in lab.nodes), report


def test_node_when_the_others_are_flooded_with_recorded_hellos_then_it_joins_nevertheless(
    laboratory: Callable[..., Lab],
) -> None:
    with secure("uuu", strangers=1) as lab, Recorder(lab.network) as recorder:
        lab.form()
        genuine = to_victim(lab, recorder)
        lab.stop(3)
        lab.wait_views([1, 2])
        rings = len(lab.clients[VICTIM].all("ring"))
        with flooder(lab, genuine, HELLO_RATE, JOIN_SECONDS, "hellos") as attacker:
            begin(attacker)
            wait_doing_nothing(lab, 1)
            assert len(lab.clients[VICTIM].all("ring")) == rings
            lab.start(3)
            lab.wait_views(timeout=JOIN_SECONDS - 1)
            assert attacker.poll() is None, "the flood has ended before"
        assert_load_ordered(lab, messages=100)
