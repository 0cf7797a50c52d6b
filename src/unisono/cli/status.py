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

RATE_SECONDS: Final = 1.0
RATES: Final = "counters"
"""Key of the daemon's ever-growing numbers, from which rates are made."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unisono status",
        description="Members, ring, state, groups and rates of a daemon. "
        "Exit status 1 when there is none.",
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
        type=float,
        default=RATE_SECONDS,
        help=f"time between the two samples for the rates; 0: no rates (default {RATE_SECONDS:g})",
    )
    return parser


def rates(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """Growth per second of each counter that both samples have and that grew."""
    old, new = before.get(RATES, {}), after.get(RATES, {})
    return {
        name: (new[name] - old[name]) / seconds
        for name in new
        if name in old and isinstance(new[name], int) and new[name] > old[name]
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


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(map(_text, value)) if value else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


def describe(status: Mapping[str, Any]) -> Iterator[str]:
    """The status for a person: a line for each thing, a block for each collection of things."""
    for name, value in status.items():
        label = name.replace("_", " ")
        if name == RATES:
            continue
        if name == "rates":
            yield "per second"
            yield from (f"  {key:<32} {_text(rate):>12}" for key, rate in value.items())
        elif isinstance(value, Mapping) and any(
            isinstance(part, (Mapping, list, tuple)) for part in value.values()
        ):
            yield label
            yield from (f"  {key:<18} {_text(part)}" for key, part in value.items())
        else:
            yield f"{label:<20} {_text(value)}"


def run(arguments: Sequence[str]) -> int:
    """Print the status: 0 if a daemon answers, 1 if not."""
    given = _parser().parse_args(arguments)
    try:
        status = sample(given.instance, given.seconds)
    except UnisonoError as reason:
        print(f"unisono status: {reason}", file=sys.stderr)
        return 1
    if given.json:
        print(json.dumps(status, indent=2))
    else:
        print("\n".join(describe(status)))
    return 0
