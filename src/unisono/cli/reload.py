"""`unisono reload`: every node reads its configuration again, and all change at once or none does.

Counterpart: corosync-cfgtool -R, which hears of its own node only.
Keeps:       exit status 0 when the changes hold, 1 when nothing was changed anywhere.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from unisono.base.errors import ClusterError, ConnectionLost, CsError, UnisonoError
from unisono.client.core import cs_error
from unisono.client.discovery import find_instance
from unisono.client.questions import REQUEST, put
from unisono.wire import native

SECONDS_MAX: Final = 60.0
EXIT_REFUSED: Final = 1
Outcome = Mapping[str, Any]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unisono reload",
        description="Let every node of the ring read its configuration again. On a ring of Unisono "
        "nodes all files must be good, or nothing is changed on any node.",
    )
    parser.add_argument(
        "--instance",
        type=Path,
        metavar="DIR",
        help="directory of the instance (default: UNISONO_INSTANCE, else this machine's daemon)",
    )
    parser.add_argument("--json", action="store_true", help="print what each node reported as JSON")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Ask, wait, tell what each node did."""
    given = _parser().parse_args(arguments)
    try:
        error, outcome = ask(find_instance(given.instance))
    except UnisonoError as reason:
        print(f"unisono reload: {reason}", file=sys.stderr)
        return EXIT_REFUSED
    if given.json:
        print(json.dumps(outcome, indent=2))
    else:
        print("\n".join(describe(outcome)))
    if error is not CsError.OK:
        print(f"unisono reload: {outcome['text']}", file=sys.stderr)
        return EXIT_REFUSED
    return 0


def ask(directory: Path | None) -> tuple[CsError, Outcome]:
    """How it ended and what the nodes said. ConnectionLost; ClusterError ACCESS, TIMEOUT."""
    question = native.encode_query(REQUEST, native.What.RELOAD)
    for said in put(directory, question, seconds=SECONDS_MAX):
        if isinstance(said, native.Answer):
            error = cs_error(said.error)
            if error is CsError.ACCESS:
                raise ClusterError(error, "only root and the daemon's own user may reload")
            return error, json.loads(bytes(said.body))
    raise ConnectionLost("the daemon gave no answer")


def describe(outcome: Outcome) -> Iterator[str]:
    """A few lines for each node."""
    done = "changed" if outcome["is_applied"] else "would change"
    for node, report in outcome["nodes"].items():
        yield from (f"node {node}: cannot use its file: {text}" for text in report["problems"])
        yield from (f"node {node}: {done} {_words(change)}" for change in report["applied"])
        for change in report["refused"]:
            yield f"node {node}: kept until its next start: {_words(change)}"
        if not any(report[name] for name in ("problems", "applied", "refused")):
            yield f"node {node}: nothing to change"
        if report.get("is_cut"):
            yield f"node {node}: and more; its log has all"
    if outcome["is_applied"] and outcome["text"]:
        yield outcome["text"]


def _words(change: Sequence[str]) -> str:
    directive, before, after = change
    if not (before or after):
        return directive
    return f"{directive}: {before or 'nothing'} -> {after or 'nothing'}"
