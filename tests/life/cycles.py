"""Cycles: start, probe, stop, again and again; then nothing may be there that was not before.

By hand: python -m tests.life.cycles COUNT (as root; a second or less for five of them).
"""

import json
import sys
import time
from collections import Counter
from typing import Any

from tests.life import listing
from tests.life.daemons import Place, forked
from tests.life.island import NOBODY, inside, reap

WARM_UP = 3
SECONDS_A_CYCLE_MAX = 2.0


def cycle(place: Place) -> list[int]:
    """One life in the background, looked at in every way; all exit statuses."""
    daemon = place.start()
    where = ["--instance", str(place.instance)]
    statuses = [
        place.probe("-v", uid=NOBODY).status,
        place.probe("-t").status,
        forked(["status", *where, "--seconds", "0"], tool=True).status,
        place.probe().status,
        daemon.stop(),
    ]
    reap()
    return statuses


def lives(count: int) -> dict[str, Any]:
    """What `count` cycles answered, and what differs after them."""
    place = Place("/run/one")
    for _ in range(WARM_UP):
        cycle(place)
    place.log.unlink()
    before = listing.everything()
    began = time.monotonic()
    statuses = Counter(str(cycle(place)) for _ in range(count))
    seconds = time.monotonic() - began
    place.log.unlink()
    after = listing.everything()
    differences = {
        name: [before[name], after[name]] for name in before if before[name] != after[name]
    }
    sequence = int.from_bytes((place.instance / "ringid_1").read_bytes(), sys.byteorder)
    return {
        "statuses": dict(statuses),
        "differences": differences,
        "ring sequence": sequence,
        "seconds": round(seconds, 1),
    }


def run(count: int) -> dict[str, Any]:
    """The cycles on an island."""
    return inside(lives, count, seconds=30 + count * SECONDS_A_CYCLE_MAX)


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1])), indent=1))
