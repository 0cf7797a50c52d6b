"""`unisono status`: what a daemon says of itself, for people or as JSON."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from unisono import blocking
from unisono.base.errors import UnisonoError
from unisono.cli.peers import describe_peers, describe_transport, faults

RATE_SECONDS: Final = 1.0
SECONDS_MAX: Final = 3600.0
COUNTERS: Final = (
    ("messages",),
    ("daemon", "ring_counters"),
    ("daemon", "transport"),
    ("daemon", "transport", "dropped"),
)
"""Where the status has numbers that only grow."""
STATUS_NO_DAEMON: Final = 1
STATUS_FAULTS: Final = 2
LABEL_WIDTH: Final = 12

Status = Mapping[str, Any]


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text}: from 0 to {SECONDS_MAX:g}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unisono status",
        description="Members, ring, state, links, groups and rates of a daemon. Exit status "
        f"{STATUS_NO_DAEMON} when there is none, {STATUS_FAULTS} when packets come that it cannot "
        "read (Invalid digest), or a peer has another key.",
    )
    parser.add_argument(
        "--instance",
        type=Path,
        metavar="DIR",
        help="directory of the instance (default: UNISONO_INSTANCE, else this machine's daemon)",
    )
    parser.add_argument("--json", action="store_true", help="everything the daemon says, as JSON")
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=RATE_SECONDS,
        help=f"time between the two samples for the rates; 0: no rates (default {RATE_SECONDS:g})",
    )
    return parser


def counters(status: Status) -> dict[str, int]:
    """Every growing number of the status, by the last part of its place and its name."""
    found = {}
    for path in COUNTERS:
        part: Any = status
        for name in path:
            part = part.get(name, {})
        for name, value in part.items():
            if isinstance(value, int):
                found[f"{path[-1].removesuffix('_counters')} {name.replace('_', ' ')}"] = value
    return found


def rates(before: Status, after: Status, seconds: float) -> dict[str, float]:
    """Growth per second of each counter that grew."""
    old, new = counters(before), counters(after)
    return {
        name: round((value - old[name]) / seconds, 1)
        for name, value in new.items()
        if value > old.get(name, value)
    }


def sample(instance: Path | None, seconds: float) -> dict[str, Any]:
    """The daemon's status, with `rates` over `seconds` if that is above 0. UnisonoError."""
    with blocking.connect(instance, protocol="native") as node:
        first = node.status()
        if seconds <= 0:
            return first
        start = time.monotonic()
        time.sleep(seconds)
        second = node.status()
    return {**second, "rates": rates(first, second, time.monotonic() - start)}


def describe(status: Status) -> Iterator[str]:
    """The status for a person, line by line."""
    daemon: Status = status.get("daemon", {})

    def line(label: str, text: object) -> str:
        return f"{label:<{LABEL_WIDTH}}{text}"

    cluster = daemon.get("cluster_name") or "(unnamed)"
    yield line("node", f"{status.get('node_id')} of cluster {cluster}")
    yield line("daemon", f"pid {daemon.get('pid')}, up {daemon.get('uptime_seconds', 0):.0f} s")
    yield line("state", daemon.get("state"))
    yield line("ring", daemon.get("ring"))
    kind = "all Unisono" if status.get("native") else "with Corosync members"
    yield line("members", f"{_listed(status.get('members', ()))} ({kind})")
    yield line("quorum", "yes" if status.get("quorate") else "NO")
    if votes := status.get("votes"):
        yield line("votes", f"{votes['total']} of {votes['expected']}, quorum {votes['quorum']}")
    yield line("sync", status.get("sync", {}).get("state"))
    if daemon.get("ring_slowed"):
        yield line("slowed", "yes: a local client does not read")
    clients = {name: count for name, count in daemon.get("clients", {}).items() if count}
    yield line("clients", ", ".join(f"{count} {name}" for name, count in clients.items()) or "none")
    transport = daemon.get("transport", {})
    yield line("transport", describe_transport(transport))
    yield from describe_peers(transport)
    yield from _blocks(status)


def _blocks(status: Status) -> Iterator[str]:
    yield "groups"
    for name, members in status.get("groups", {}).items():
        shown = _listed(f"{member['node']}:{member['pid']}" for member in members)
        yield f"  {name:<24} {len(members):>3}  {shown}"
    if not status.get("groups"):
        yield "  none"
    if "rates" in status:
        yield "per second"
        yield from (f"  {name:<24} {rate:>12,.1f}" for name, rate in status["rates"].items())


def _listed(values: Any) -> str:
    return " ".join(map(str, values)) or "none"


def run(arguments: Sequence[str]) -> int:
    """Print the status: 0 if all is well, 1 if no daemon answers, 2 if keys are wrong."""
    given = _parser().parse_args(arguments)
    try:
        status = sample(given.instance, given.seconds)
    except UnisonoError as reason:
        print(f"unisono status: {reason}", file=sys.stderr)
        return STATUS_NO_DAEMON
    print(json.dumps(status, indent=2) if given.json else "\n".join(describe(status)))
    return STATUS_FAULTS if faults(status.get("daemon", {}).get("transport", {})) else 0
