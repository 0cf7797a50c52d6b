"""unisono-sim: run seeds, print one line per seed; a failure prints the command that repeats it.

Speaks:      `unisono-sim --seed N --nodes K [--seeds COUNT] [--jobs J] [--verbose] [--trace]`.
Keeps:       exit status 1 when any seed fails. No wall clock.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from multiprocessing import get_context

from unisono.base.ids import SECOND
from unisono.sim.plan import STACKS
from unisono.sim.run import Outcome, Request, run_seed
from unisono.sim.trace import Record, format_record

LAST_LINES_SHOWN = 40


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="unisono-sim",
        description="Run the ring under virtual time, a hostile network and checkers.",
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds (default 1)")
    parser.add_argument("--nodes", type=int, default=0, help="nodes; default: drawn, 1 to 8")
    parser.add_argument(
        "--stack", choices=sorted(set(STACKS)), default="", help="what stands above the ring"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes to use (default 1)")
    parser.add_argument("--verbose", action="store_true", help="print counters of every seed")
    parser.add_argument("--trace", action="store_true", help="print every event (one process)")
    parser.add_argument(
        "--commit",
        default=os.environ.get("UNISONO_COMMIT", ""),
        help="commit to name in a failure report (default: $UNISONO_COMMIT)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    options = build_parser().parse_args(arguments)
    requests = [
        Request(seed, options.nodes, options.stack)
        for seed in range(options.seed, options.seed + options.seeds)
    ]
    failed = 0
    if options.jobs > 1 and not options.trace:
        with get_context("spawn").Pool(options.jobs) as pool:
            failed = _report(pool.imap(run_seed, requests, chunksize=4), options)
    else:
        watcher = _print_record if options.trace else None
        failed = _report((run_seed(request, watcher) for request in requests), options)
    if len(requests) > 1:
        print(f"{len(requests)} seeds, {failed} failed")
    return 1 if failed else 0


def _print_record(record: Record) -> None:
    print(format_record(record))


def _report(outcomes: Iterable[Outcome], options: argparse.Namespace) -> int:
    failed = 0
    for outcome in outcomes:
        print(describe(outcome))
        if options.verbose:
            print(f"  counts {_counters(outcome.counts)}\n  marks {_counters(outcome.marks)}")
        if not outcome.ok:
            failed += 1
            print(explain(outcome, options))
        sys.stdout.flush()
    return failed


def describe(outcome: Outcome) -> str:
    """One line for one seed."""
    counts = outcome.counts
    return (
        f"seed {outcome.seed} nodes {outcome.nodes}: "
        f"{'ok' if outcome.ok else 'FAILED ' + outcome.name},"
        f" {counts.get('Installed', 0)} views, {counts.get('Sent', 0)} sent,"
        f" {counts.get('Delivered', 0)} delivered, {outcome.datagrams} datagrams,"
        f" {outcome.calls} events, {outcome.simulated_ns / SECOND:.1f} s, {outcome.digest[:16]}"
    )


def explain(outcome: Outcome, options: argparse.Namespace) -> str:
    """What failed, what led to it, and how to see it again."""
    lines = [f"  {line}" for line in outcome.last[-LAST_LINES_SHOWN:]]
    lines.append(f"  {outcome.text}")
    again = f"unisono-sim --seed {outcome.seed}"
    again += f" --nodes {options.nodes}" if options.nodes else ""
    again += f" --stack {options.stack}" if options.stack else ""
    commit = f"   (commit {options.commit})" if options.commit else ""
    lines.append(f"  again: {again} --trace{commit}")
    return "\n".join(lines)


def _counters(counters: dict[str, int]) -> str:
    return " ".join(f"{name}={count}" for name, count in sorted(counters.items()))


if __name__ == "__main__":
    sys.exit(main())
