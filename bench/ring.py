"""Benchmark: three Corosync and three Unisono daemons, measured by turns in one run.

Speaks:      a table on stdout; one JSON line per run appended to bench/results.jsonl.
Counterpart: Corosync 3.1.7 as Debian ships it, with libcpg clients (bench/cpg_load.c).
Keeps:       both rings stand at once, rows alternate between them, so that a busy machine hurts
             both alike; each daemon has its default scheduling; every wait is bounded; equal
             order is checked by a rolling CRC at all three clients of every row.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.failover import failover
from tests.interop.cpg_client import build
from tests.interop.lab import Lab
from tests.interop.secure_lab import encrypted_corosync, secure

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent

NODES: Final = 3
GROUP: Final = "load"
RESULTS: Final = HERE / "results.jsonl"
START_DELAY_NS: Final = 50_000_000
ROW_SECONDS_MAX: Final = 100
AS_SHIPPED: Final = {"token": None, "token_coefficient": None}
NATIVE: Final = [sys.executable, str(HERE / "native_load.py")]
Figures = dict[str, Any]


@dataclass(frozen=True)
class Client:
    """One way to use one ring: the column of the table."""

    name: str
    lab: Lab
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """What is measured: a throughput (`gap_us` None) or single messages with a pause between."""

    size: int
    senders: int
    seconds: float = 1.5
    count: int = 0
    gap_us: int | None = None

    @property
    def name(self) -> str:
        size = f"{self.size} B" if self.size < 1000 else f"{self.size // 1000} kB"
        if self.gap_us is not None:
            return f"{size} alone, " + (
                f"every {self.gap_us // 1000} ms" if self.gap_us else "back to back"
            )
        return f"{size}, {'one sends' if self.senders == 1 else 'all send'}"

    def arguments(self, node: int) -> list[str]:
        mode, pace = ("tput", self.seconds) if self.gap_us is None else ("ping", self.gap_us)
        is_sender = int(node <= self.senders)
        numbers = (NODES, self.senders, is_sender, self.size, pace, self.count)
        return [mode, *map(str, numbers)]


def processor_seconds(pid: int) -> float:
    """User and system time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """Processor time that anything at all on this machine has used so far."""
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB (10**6 bytes)."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


def measure(client: Client, row: Row) -> Figures:
    """Run one row once. Figures are those of the slowest client; `same` is equal order at all."""
    lab = client.lab
    for n in lab.nodes:
        lab.join(n, [*client.argv, *row.arguments(n)])
    members = list(lab.clients.values())
    lab.wait("ready", lambda: all(c.last("ready") for c in members), 60)
    daemons, clients = [d.pid for d in lab.daemons.values()], [c.pid for c in members]
    start = time.monotonic_ns() + START_DELAY_NS
    all_before, before = busy_seconds(), [processor_seconds(pid) for pid in daemons + clients]
    for member in members:
        member.say(f"go {start}")
    lab.wait(row.name, lambda: all(c.last("result") for c in members), ROW_SECONDS_MAX)
    wall = (time.monotonic_ns() - start + START_DELAY_NS) / 1e9
    after = [processor_seconds(pid) for pid in daemons + clients]
    used = [b - a for a, b in zip(before, after, strict=True)]
    others = (busy_seconds() - all_before - sum(used)) / wall
    results = [result for c in members if (result := c.last("result"))]
    pings = [event for c in members if (event := c.last("ping"))]
    for member in members:
        member.close()
    lab.clients.clear()
    delivered, span = results[0]["delivered"], max(r["span_s"] for r in results)
    figures: Figures = {
        "same": len({(r["delivered"], r["crc"]) for r in results}) == 1,
        "delivered": delivered,
        "daemon_us_per_message": round(sum(used[:NODES]) / NODES / delivered * 1e6, 4),
        "cpu_us_per_message": round(sum(used) / delivered * 1e6, 3),
        "other_cores": round(max(0.0, others), 2),
    }
    if row.gap_us is None:
        figures["messages_s"] = round(delivered / span, 1)
        figures["mb_s"] = round(results[0]["bytes"] / span / 1e6, 2)
    else:
        figures |= {"p50_us": pings[0]["p50_us"], "p99_us": pings[0]["p99_us"]}
    return figures


def median(runs: list[Figures]) -> Figures:
    """The medians of equal figures of several runs; `same` only when it was so in each."""
    whole: Figures = {"same": all(run["same"] for run in runs)}
    for key in runs[0].keys() - {"same"}:
        whole[key] = statistics.median(run[key] for run in runs)
    return whole


def rows(quick: bool) -> Iterator[Row]:
    """The rows of the table."""
    seconds = 0.5 if quick else 1.5
    for size in (64, 1000, 64_000):
        for senders in (1, NODES):
            yield Row(size, senders, seconds)
    yield Row(64, 1, count=50 if quick else 300, gap_us=10_000)
    yield Row(64, 1, count=300 if quick else 3000, gap_us=0)


def compare(clients: list[Client], table: list[Row], repeats: int) -> dict[str, dict[str, Figures]]:
    """Every row with every client, alternating; row name to client name to medians."""
    found: dict[str, dict[str, Figures]] = {}
    for row in table:
        runs: dict[str, list[Figures]] = {client.name: [] for client in clients}
        for _ in range(repeats):
            for client in clients:
                runs[client.name].append(measure(client, row))
        found[row.name] = {name: median(results) for name, results in runs.items()}
        print(line(row, found[row.name]), flush=True)
    return found


def line(row: Row, cells: dict[str, Figures]) -> str:
    """One row as text: figure and, in brackets, its ratio to the first column's."""
    keys = (
        ("p50_us", "p99_us")
        if row.gap_us is not None
        else ("mb_s" if row.size > 64 else "messages_s",)
    )
    base = next(iter(cells.values()))
    parts = [f"{row.name:26}"]
    for cell in cells.values():
        text = " / ".join(f"{cell[k]:,.0f} ({cell[k] / base[k]:.2f}x)" for k in keys)
        text += f" cpu {cell['cpu_us_per_message']:,.0f}"
        parts.append(f"{text + ('' if cell['same'] else ' ORDER DIFFERS'):>38}")
    return " ".join(parts) + f"  {max(c['other_cores'] for c in cells.values()):.2f}"


def memory(client: Client, messages: int) -> Figures:
    """Resident memory of the daemons before, after `messages`, and after as many again."""

    def sizes() -> list[float]:
        return [round(resident_mb(d.pid), 1) for d in client.lab.daemons.values()]

    figures: Figures = {"messages": messages, "before_mb": sizes()}
    for key in ("after_mb", "after_twice_mb"):
        measure(client, Row(64, 1, count=messages))
        figures[key] = sizes()
    return figures


def output(*argv: str) -> str:
    """First line that a command prints, or nothing."""
    try:
        text = subprocess.run(
            argv, check=False, capture_output=True, text=True, timeout=10, cwd=ROOT
        ).stdout
    except OSError:
        return ""
    return text.splitlines()[0].strip() if text.strip() else ""


def circumstances() -> Figures:
    """Versions and machine."""
    model = re.search(r"model name\s+: (.+)", Path("/proc/cpuinfo").read_text())
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": output("git", "rev-parse", "--short", "HEAD"),
        "changed": bool(output("git", "status", "--porcelain", "src")),
        "python": platform.python_version(),
        "corosync": output("corosync", "-v"),
        "kernel": platform.release(),
        "processor": model[1] if model else platform.machine(),
        "processors": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }


def form(kinds: str, *, clear: bool, mtu: int) -> Lab:
    """Three daemons as they ship: default timers, default scheduling."""
    system = {"sched_rr": None}
    if clear:
        lab = Lab(kinds, "udpu", 4, totem=AS_SHIPPED, system=system, group=GROUP, mtu=mtu)
    else:
        make = encrypted_corosync if kinds.startswith("c") else secure
        lab = make(kinds, totem=AS_SHIPPED, system=system, group=GROUP, mtu=mtu)
    lab.form()
    for client in lab.clients.values():
        client.close()
    lab.clients.clear()
    return lab


def ratios(found: dict[str, dict[str, Figures]]) -> dict[str, dict[str, Figures]]:
    """Each figure over the first column's."""
    keys = ("messages_s", "mb_s", "p50_us", "p99_us")
    return {
        row: {
            name: {k: round(cell[k] / next(iter(cells.values()))[k], 3) for k in keys if k in cell}
            for name, cell in list(cells.items())[1:]
        }
        for row, cells in found.items()
    }


def main() -> int:
    """Run everything; exit status 1 when the order differed anywhere."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="short rows, one run each")
    parser.add_argument("--only", default="", help="rows whose name contains this, not saved")
    parser.add_argument("--failover", type=int, default=0, metavar="TRIALS", help="kill daemons")
    parser.add_argument("--clear", action="store_true", help="udpu without encryption for both")
    parser.add_argument("--mtu", type=int, default=1500, help="of the network, in bytes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--note", default="", help="kept with the results")
    parser.add_argument("--no-save", action="store_true", help="do not append to results.jsonl")
    options = parser.parse_args()
    repeats = 1 if options.quick else options.repeats
    facts = circumstances()
    if options.failover:
        record = facts | {"note": options.note, "failover": failover(options.failover)}
        if not options.no_save:
            with RESULTS.open("a") as file:
                file.write(json.dumps(record) + "\n")
        return 0
    load = (str(build(HERE / "cpg_load.c")),)
    how: Figures = {"clear": options.clear, "mtu": options.mtu}
    with form("ccc", **how) as theirs, form("uuu", **how) as ours:
        clients = [
            Client("corosync libcpg", theirs, load),
            Client("unisono libcpg", ours, load),
            Client("unisono batches", ours, (*NATIVE, "batches")),
            Client("unisono async for", ours, (*NATIVE, "events")),
        ]
        heads = " ".join(f"{client.name:>38}" for client in clients)
        print(f"{'':26} {heads}  cores used by others")
        used: Callable[[Client], Figures] = lambda c: memory(
            c, 100_000 if options.quick else 1_000_000
        )
        resident = {} if options.only else {clients[2].name: used(clients[2])}
        table = [row for row in rows(options.quick) if options.only in row.name]
        found = compare(clients, table, repeats)
        resident["end of run"] = {
            client.name: [round(resident_mb(d.pid), 1) for d in client.lab.daemons.values()]
            for client in (clients[0], clients[2])
        }
    print(json.dumps(resident, indent=1))
    record = facts | how | {"note": options.note, "repeats": repeats, "figures": found}
    record |= {"ratios": ratios(found), "memory": resident}
    if not (options.no_save or options.only):
        with RESULTS.open("a") as file:
            file.write(json.dumps(record) + "\n")
    return int(not all(cell["same"] for cells in found.values() for cell in cells.values()))
