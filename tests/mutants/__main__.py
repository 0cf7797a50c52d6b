"""Hunt every mutant, print one line for each, write the results and their page.

Usage: python -m tests.mutants [--jobs J] [--seeds N] [--dry] [MUTANT ...]
"""

import argparse
import sys
from collections.abc import Sequence
from multiprocessing import get_context

from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import SEEDS_MAX, Report, report
from tests.mutants.results import Result, load, page, save, write


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("mutants", nargs="*", metavar="MUTANT", help="default: all")
    parser.add_argument("--jobs", type=int, default=1, help="processes to use (default 1)")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="seeds to try for each")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    if unknown := set(options.mutants) - MUTANTS.keys():
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    tasks = [(name, options.seeds) for name in options.mutants or MUTANTS]
    with get_context("spawn").Pool(options.jobs) as pool:
        reports = [_show(each) for each in pool.imap_unordered(report, tasks)]
    survivors = sorted(each.mutant for each in reports if each.catch is None)
    if not options.dry:
        _write(reports)
    print(f"{len(reports)} mutants, {len(survivors)} survived", *survivors)
    return 1 if survivors else 0


def _show(result: Report) -> Report:
    catch = result.catch
    fate = (
        f"caught by {catch.checker} at seed {catch.seed}" if catch else result.problem or "SURVIVED"
    )
    print(f"{result.mutant}: {fate}, {result.seconds:.1f} s", flush=True)
    return result


def _write(reports: Sequence[Report]) -> None:
    known = {result.mutant: result for result in load()}
    for each in reports:
        known.pop(each.mutant, None)
        if each.catch is not None:
            known[each.mutant] = Result.of(each.mutant, each.catch)
    results = [known[name] for name in MUTANTS if name in known]
    save(results)
    write(page(results))


if __name__ == "__main__":
    sys.exit(main())
