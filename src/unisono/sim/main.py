"""unisono-sim: run seeds, print one line per seed; a failure prints the command that repeats it.

Speaks:      `unisono-sim --seed N --nodes K [--seeds COUNT] [--jobs J] [--verbose] [--trace]`.
Keeps:       exit status 1 when any seed fails. The wall clock only measures the speed at the end.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence
from multiprocessing import get_context

from unisono.sim.plan import STACKS
from unisono.sim.report import Tally, counters, describe, explain
from unisono.sim.run import Outcome, Request, run_seed
from unisono.sim.trace import Record, format_record


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
    parser.add_argument("--jobs", type=int, default=0, help="processes to use (default: all cores)")
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
    jobs = min(options.jobs or os.cpu_count() or 1, len(requests))
    begin = time.perf_counter()
    if jobs > 1 and not options.trace:
        with get_context("spawn").Pool(jobs) as pool:
            tally = _report(pool.imap(run_seed, requests, chunksize=4), options)
    else:
        watcher = _print_record if options.trace else None
        jobs = 1
        tally = _report((run_seed(request, watcher) for request in requests), options)
    if len(requests) > 1:
        print(tally.speed(time.perf_counter() - begin, jobs))
        print(f"{tally.seeds} seeds, {tally.failed} failed")
    return 1 if tally.failed else 0


def _print_record(record: Record) -> None:
    print(format_record(record))


def _report(outcomes: Iterable[Outcome], options: argparse.Namespace) -> Tally:
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
        print(describe(outcome))
        if options.verbose:
            print(f"  counts {counters(outcome.counts)}\n  marks {counters(outcome.marks)}")
        if not outcome.ok:
            print(explain(outcome, _again(outcome, options)))
        sys.stdout.flush()
    return tally


def _again(outcome: Outcome, options: argparse.Namespace) -> str:
    again = f"unisono-sim --seed {outcome.seed}"
    again += f" --nodes {options.nodes}" if options.nodes else ""
    again += f" --stack {options.stack}" if options.stack else ""
    commit = f"   (commit {options.commit})" if options.commit else ""
    return f"{again} --trace{commit}"


if __name__ == "__main__":
    sys.exit(main())
