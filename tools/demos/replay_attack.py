"""The replay attack: a host without the key sends back what it recorded, and the ring must stand.

    python -m tools.demos.replay_attack --engine corosync|unisono      (as root, 40 seconds)

Encrypted daemons in network namespaces, and one host more that holds no key. It records what passes
while one daemon leaves and returns, then sends it again with the addresses that it had. Corosync is
Debian's, over knet with aes256 and sha256; Unisono runs over its secure transport.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.interop.intruder import Datagram, Impostor, Recorder
from tests.interop.lab import Lab
from tests.interop.secure_lab import (
    encrypted_corosync,
    refusals,
    ring_changes,
    secure,
    wait_doing_nothing,
)

DATAGRAMS_MAX = 600
ROUNDS = 5
SECONDS = 30.0
PAUSE = 3.0


def build(engine: str, members: int) -> Lab:
    """The laboratory: members, and one stranger."""
    if engine == "corosync":
        return encrypted_corosync("c" * members, strangers=1)
    return secure("u" * members, strangers=1)


def history(lab: Lab) -> Iterator[str]:
    """Each client's rings since the start, one line a host."""
    for n, client in lab.clients.items():
        rings = [f"{ring['rep']}.{ring['seq']}={ring['members']}" for ring in client.all("ring")]
        yield f"  host{n}: {len(rings)} rings, the last {' '.join(rings[-4:])}"


def record(lab: Lab, recorder: Recorder) -> list[Datagram]:
    """Datagrams of some messages, and of the last member's leave and return."""
    last = max(lab.nodes)
    lab.send(100, 200)
    lab.finish()
    lab.stop(last)
    lab.wait_views([n for n in lab.nodes if n != last])
    lab.start(last)
    lab.wait_views()
    return recorder.take()[-DATAGRAMS_MAX:]


def replay(lab: Lab, impostor: Impostor, recorded: list[Datagram], rounds: int) -> float | None:
    """Send all of it, again and again; seconds until the first view changed, if one did."""
    before = ring_changes(lab)
    start = time.monotonic()
    first: float | None = None
    for number in range(1, rounds + 1):
        impostor.send(recorded)
        while time.monotonic() - start < SECONDS * number / rounds:
            wait_doing_nothing(lab, 0.1)
            if first is None and ring_changes(lab) != before:
                first = time.monotonic() - start
    return first


def refused(lab: Lab) -> Counter[str]:
    """What all daemons have dropped, by reason."""
    return sum((refusals(lab, n) for n in lab.nodes), Counter())


def attack(lab: Lab, engine: str, rounds: int) -> int:
    """Record, wait, replay; returns how many rings the clients were told of because of it."""
    lab.form()
    stranger = lab.network.host(max(lab.nodes) + 1)
    with Recorder(lab.network) as recorder, Impostor(stranger) as impostor:
        recorded = record(lab, recorder)
        wait_doing_nothing(lab, PAUSE)
        before = ring_changes(lab)
        dropped = refused(lab) if engine == "unisono" else Counter[str]()
        print("views before", *history(lab), sep="\n")
        print(f"{len(recorded)} datagrams, {rounds} times in {SECONDS:.0f} s", flush=True)
        first = replay(lab, impostor, recorded, rounds)
    print("views after", *history(lab), sep="\n")
    changes = {n: count - before[n] for n, count in ring_changes(lab).items()}
    when = "" if first is None else f", the first after {first:.1f} s"
    print(f"ring changes by host: {changes}{when}")
    if engine == "unisono":
        print("refused:", *(f"  {name}: {n}" for name, n in (refused(lab) - dropped).items()),
              sep="\n")  # fmt: skip
    return sum(changes.values())


def main() -> int:
    """Exit status 0 if no view changed, 3 if the attack worked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", choices=("corosync", "unisono"), default="unisono")
    parser.add_argument("--members", type=int, default=3, choices=range(2, 6))
    parser.add_argument("--rounds", type=int, default=ROUNDS, choices=range(1, 31))
    given = parser.parse_args()
    if os.geteuid():
        sys.exit("network namespaces need root")
    with build(given.engine, given.members) as lab:
        return 3 if attack(lab, given.engine, given.rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
