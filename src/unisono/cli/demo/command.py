"""`unisono demo`: arguments, a directory that does not stay, and the result in words."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from unisono.base.errors import UnisonoError
from unisono.cli.demo.director import SECONDS_DEFAULT, Director, Outcome
from unisono.cli.demo.view import View, is_live

SECONDS_RANGE: Final = (4.0, 60.0)
TEMPORARY_BYTES_MAX: Final = 60
"""Length of a directory below which the daemons' socket names fit: 107 bytes are all there is."""


def _seconds(text: str) -> float:
    value = float(text)
    low, high = SECONDS_RANGE
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text}: from {low:g} to {high:g}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unisono demo",
        description="Three daemons on this machine and three replicas of a key-value store, fed by "
        "all three at once; one daemon is killed and comes back. Exit status 0 only if all "
        "replicas agree and nothing was lost.",
    )
    parser.add_argument(
        "--input",
        type=Path,
        metavar="PATH",
        help="a text file (line by line) or a directory (file by file); "
        "default: the source of Python's standard library",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=SECONDS_DEFAULT,
        help=f"how long to feed, at least one whole round (default {SECONDS_DEFAULT:g})",
    )
    parser.add_argument("--plain", action="store_true", help="plain lines on a terminal, too")
    return parser


def describe(outcome: Outcome) -> list[str]:
    """The result, line by line."""
    lines = ["", "how long each change took:"]
    lines += [f"{seconds:9.2f} s  {what}" for what, seconds in outcome.changes]
    lines += ["", "SHA-256 of each replica:"]
    lines += [f"  {digest}  replica {n}" for n, digest in enumerate(outcome.digests, 1)]
    lines.append(f"  {outcome.expected}  the input itself")
    lines += ["", "order in which the operations were applied:"]
    lines += [f"  {order[:16]}  replica {n}" for n, order in enumerate(outcome.orders, 1)]
    rate = f"{outcome.messages / outcome.seconds:,.0f} messages/s"
    volume = f"{outcome.bytes / outcome.seconds / 1e6:.1f} MB/s"
    spent = f"{outcome.messages:,} messages ordered in {outcome.seconds:.1f} s"
    lines += [
        "",
        f"{spent}: {rate}, {volume}, failure and recovery included",
        f"lost: {outcome.wanted - outcome.messages + outcome.gaps}",
    ]
    if outcome.agree and outcome.complete:
        lines.append("all replicas agree, nothing was lost")
    else:
        lines.append("FAILED: the replicas differ, or something was lost")
    return lines


def _temporary_parent() -> str:
    """Where to make the directory: the usual place, unless its name is too long for sockets."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= TEMPORARY_BYTES_MAX else "/tmp"  # noqa: S108  # mkdtemp makes a private one there


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(arguments: Sequence[str]) -> int:
    """Run the demonstration: 0 if it went well, 1 if not."""
    given = _parser().parse_args(arguments)
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    parent = _temporary_parent()
    view = View(live=not given.plain and is_live(sys.stdout))
    try:
        with tempfile.TemporaryDirectory(prefix="unisono-demo-", dir=parent) as directory:
            outcome = Director(Path(directory), given.input, given.seconds, view).run()
    except UnisonoError as reason:
        view.close()
        print(f"unisono demo: {reason}", file=sys.stderr)
        return 1
    finally:
        view.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    for line in describe(outcome):
        view.say(line)
    return 0 if outcome.agree and outcome.complete else 1
