"""Benchmark: what a mark costs, and what logging and the flight recorder cost the ring.

Speaks:      `python -m bench.recorder`; nanoseconds a mark, throughput of two rings in pairs.
Keeps:       both rings stand at once and run by turns, which of them first changes with each pair;
             the ratio is the median of the pairs' ratios, so what disturbs both counts for nothing.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from typing import Final

from bench.ring import (
    AS_SHIPPED,
    GROUP,
    NATIVE,
    RESULTS,
    Client,
    Figures,
    Row,
    circumstances,
    measure,
    median,
)
from tests.interop.lab import Lab
from tests.interop.secure_lab import secure
from unisono.base.group import Marked
from unisono.base.ids import NodeId
from unisono.base.marks import Mark
from unisono.config.settings import (
    UDPU,
    LoggingSettings,
    NodeSettings,
    RingSettings,
    Settings,
    TransportSettings,
)
from unisono.executive.instance import Instance
from unisono.executive.node import Node
from unisono.observe.logs import Log
from unisono.observe.recorder import Recorder

MARKS: Final = 5_000
REPEATS: Final = 300
ADDRESS: Final = "127.0.0.1"
SHIPPED: Final = {"to_logfile": "yes", "logfile": "/var/log/corosync/corosync.log"}
QUIET: Final = {"to_stderr": "no", "blackbox": "off"}
SENDERS: Final = (1, 3)


def _best_ns(call: Callable[..., object], *arguments: object) -> float:
    """Nanoseconds of one call, the loop around it included; the best of many short rounds."""
    rounds = []
    for _ in range(REPEATS):
        start = time.perf_counter_ns()
        for _ in repeat(None, MARKS):
            call(*arguments)
        rounds.append((time.perf_counter_ns() - start) / MARKS)
    return round(min(rounds), 1)


async def _costs(directory: Path) -> dict[str, float]:
    logging = LoggingSettings(
        to_stderr=False, to_syslog=False, to_logfile=True, logfile=str(directory / "log")
    )
    node_id = NodeId(1)
    settings = Settings(
        node_id=node_id,
        nodes=(NodeSettings(node_id, "bench", (ADDRESS,)),),
        transport=TransportSettings(UDPU, ADDRESS, port=0),
        ring=RingSettings(),
        logging=logging,
    )
    log = Log(logging)
    node = Node(settings, Instance(directory), log)
    recorder = Recorder(1)
    try:
        node.recording.open()
        recorder.open()
        marked = Marked(Mark.TOKEN_VISITED, 1_000_000, 3)
        return {
            "daemon_ns": _best_ns(node.mark, marked),
            "recorder_ns": _best_ns(recorder.mark, Mark.TOKEN_VISITED, 1_000_000, 3),
            "event_ns": _best_ns(Marked, Mark.TOKEN_VISITED, 1_000_000, 3),
            "loop_ns": _best_ns(float),
        }
    finally:
        recorder.close()
        node.close()
        log.close()


def costs() -> dict[str, float]:
    """Nanoseconds: a mark on the daemon's whole way, in the recorder alone, its making."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_costs(Path(directory)))


def _form(logging: dict[str, str]) -> Lab:
    system = {"sched_rr": None}
    lab = secure("uuu", totem=AS_SHIPPED, system=system, logging=logging, group=GROUP)
    lab.form()
    for client in lab.clients.values():
        client.close()
    lab.clients.clear()
    return lab


def _compare(row: Row, rings: dict[str, Client], pairs: int) -> Figures:
    """Both rings by turns: messages/s, and the processor time that is used for one message.

    The latter is the calmer figure on a machine that does other things, too: who waits for a
    processor sends less, and uses none.
    """
    runs: dict[str, list[Figures]] = {name: [] for name in rings}
    for number in range(pairs):
        order = list(rings) if number % 2 == 0 else list(reversed(rings))
        for name in order:
            runs[name].append(measure(rings[name], row))
    found: Figures = {
        "throughput": _ratio(runs["shipped"], runs["quiet"], "messages_s"),
        "processor": _ratio(runs["quiet"], runs["shipped"], "cpu_us_per_message"),
        **{name: median(figures) for name, figures in runs.items()},
    }
    print(
        f"{row.name:24} throughput {found['throughput']}, processor {found['processor']}",
        flush=True,
    )
    return found


def _ratio(above: list[Figures], below: list[Figures], figure: str) -> dict[str, float]:
    """Of pairs; below 1 means that log and recorder cost something."""
    ratios = [a[figure] / b[figure] for a, b in zip(above, below, strict=True)]
    first, second, third = statistics.quantiles(ratios, n=4)
    return {"median": round(second, 3), "from": round(first, 3), "to": round(third, 3)}


def recorder(pairs: int, seconds: float) -> Figures:
    """All figures; `pairs` measurements of each ring, `seconds` long, at least two."""
    marks = costs()
    print(json.dumps(marks), flush=True)
    with ExitStack() as stack:
        rings = {
            name: Client(name, stack.enter_context(_form(logging)), (*NATIVE, "batches"))
            for name, logging in (("shipped", SHIPPED), ("quiet", QUIET))
        }
        rows = [Row(64, senders, seconds) for senders in SENDERS]
        return {"marks": marks, **{row.name: _compare(row, rings, pairs) for row in rows}}


def main() -> int:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=15, help="measurements of each ring, from 2")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each")
    parser.add_argument("--marks", action="store_true", help="only what a mark costs, not saved")
    parser.add_argument("--note", default="", help="kept with the results")
    parser.add_argument("--no-save", action="store_true", help="do not append to results.jsonl")
    options = parser.parse_args()
    if options.marks:
        print(json.dumps(costs()))
        return 0
    record = circumstances() | {"note": options.note, "pairs": options.pairs}
    record |= {"recorder": recorder(options.pairs, options.seconds)}
    if not options.no_save:
        with RESULTS.open("a") as file:
            file.write(json.dumps(record) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
