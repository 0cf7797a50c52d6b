"""unisono-sim: run seeds, print one line per seed; a failure prints the command that repeats it.

Speaks:      `unisono-sim --seed N [--seeds COUNT] [--nodes K] [--storm NAME] [--trace]`; one seed
             as a page (`--html`) or cut down (`--shrink`); small worlds exhaustively (`--search`).
Keeps:       exit status 1 when anything fails. The wall clock measures, and ends searches.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence
from multiprocessing import get_context
from pathlib import Path

from unisono.sim.picture import Recorder, render
from unisono.sim.plan import STACKS, draw_plan
from unisono.sim.plan_words import write_scenario
from unisono.sim.report import Tally, counters, describe, explain
from unisono.sim.run import Outcome, Request, run_plan, run_seed
from unisono.sim.search import SearchRequest, search
from unisono.sim.search import describe as describe_search
from unisono.sim.shrink import SECONDS, shrink
from unisono.sim.storms import load_storms
from unisono.sim.trace import Record, format_record


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="unisono-sim",
        description="Run the ring under virtual time, a hostile network and checkers.",
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds (default 1)")
    parser.add_argument("--nodes", type=int, default=0, help="nodes; default: drawn by the storm")
    parser.add_argument(
        "--stack", choices=STACKS, default="", help="what stands above and below the ring"
    )
    parser.add_argument(
        "--storm",
        choices=[kind.name for kind in load_storms()],
        default="",
        help="the kind of storm (default: drawn)",
    )
    parser.add_argument("--jobs", type=int, default=0, help="processes to use (default: all cores)")
    parser.add_argument("--verbose", action="store_true", help="print counters of every seed")
    parser.add_argument("--trace", action="store_true", help="print every event (one process)")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="draw the run of --seed as a page"
    )
    parser.add_argument(
        "--shrink", type=Path, metavar="FILE", help="cut a failing --seed down to a scenario file"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="for --shrink and --search (default 60)"
    )
    parser.add_argument(
        "--search",
        action="store_true",
        help="try everything within small budgets instead of seeds (--nodes 2 or 3)",
    )
    parser.add_argument("--messages", type=int, default=1, help="budget of --search (default 1)")
    parser.add_argument("--faults", type=int, default=1, help="budget of --search (default 1)")
    parser.add_argument(
        "--commit",
        default=os.environ.get("UNISONO_COMMIT", ""),
        help="commit to name in a failure report (default: $UNISONO_COMMIT)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    options = build_parser().parse_args(arguments)
    if options.search:
        return _search(options)
    if options.html is not None or options.shrink is not None:
        return _look_into(options)
    requests = [
        Request(seed, options.nodes, options.stack, options.storm)
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


def _search(options: argparse.Namespace) -> int:
    request = SearchRequest(
        nodes=options.nodes or 2,
        messages=options.messages,
        faults=options.faults,
        seconds_max=options.seconds,
    )
    outcome = search(request, stopwatch=time.monotonic)
    print(describe_search(outcome))
    return 1 if outcome.violation else 0


def _look_into(options: argparse.Namespace) -> int:
    """One seed: its picture, or what is left of it when all that does not matter is gone."""
    plan = draw_plan(Request(options.seed, options.nodes, options.stack, options.storm))
    recorder = Recorder()
    outcome = run_plan(plan, recorder)
    print(describe(outcome))
    if not outcome.ok:
        print(explain(outcome, _again(outcome, options)))
    if options.html is not None:
        options.html.write_text(render(recorder, outcome), encoding="utf-8")
        print(f"the picture is in {options.html}")
    if options.shrink is not None and not outcome.ok:
        small = shrink(plan, outcome.name, seconds=options.seconds, progress=print)
        scenario = write_scenario(small, run_plan(small), origin=f"--seed {options.seed}")
        options.shrink.write_text(scenario, encoding="utf-8")
        print(f"the scenario is in {options.shrink}")
    return 0 if outcome.ok else 1


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
    again += f" --storm {options.storm}" if options.storm else ""
    commit = f"   (commit {options.commit})" if options.commit else ""
    return f"{again} --trace{commit}"


if __name__ == "__main__":
    sys.exit(main())
