"""Results: which checker caught which mutant at which seed, kept in results.json, shown on a page.

Keeps:       the page follows from results.json and the checkers' names alone.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.mutants.catalogue import MUTANTS, ROOM_OF
from tests.mutants.hunt import SEEDS_MAX, Catch
from unisono.sim.checkers import all_checkers

RESULTS: Final = Path(__file__).with_name("results.json")
PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "mutants.md"

HEAD: Final = """\
<!-- Written by `make mutants`; do not edit. -->
# Planted bugs

Each mutant is one small wrong change to the ring or to the services, planted for the time of a run
(`tests/mutants/`). The simulator runs seed after seed until a checker notices; one that survived
{seeds} seeds would fail `make mutants`. The checker and the first seed are those of the last such
run; `make test` runs each mutant at its seed.

"""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of results.json."""

    mutant: str
    room: str
    what: str
    checker: str
    seed: int

    @classmethod
    def of(cls, name: str, catch: Catch) -> "Result":
        """What to keep of a catch."""
        return cls(name, ROOM_OF[name], MUTANTS[name].what, catch.checker, catch.seed)


def load() -> list[Result]:
    """The kept results; none before the first hunt."""
    if not RESULTS.exists():
        return []
    return [Result(**entry) for entry in json.loads(RESULTS.read_text())]


def save(results: Iterable[Result]) -> None:
    """Keep these results and no others."""
    RESULTS.write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n")


def write(text: str) -> None:
    """Put the page into the documentation."""
    PAGE.write_text(text)


def page(results: Sequence[Result]) -> str:
    """The page: all mutants, then what each checker has caught."""
    lines = [f"{len(results)} mutants, by the room in which they are wrong.\n"]
    lines += ["| room | mutant | what is wrong | caught by | seed |", "|---|---|---|---|---|"]
    lines += [
        f"| {each.room} | `{each.mutant}` | {each.what} | {each.checker} | {each.seed} |"
        for each in results
    ]
    lines += ["", "## By checker", "", "| checker | mutants that it caught first |", "|---|---|"]
    lines += _by_checker(results)
    return HEAD.format(seeds=f"{SEEDS_MAX:,}") + "\n".join(lines) + "\n"


def _by_checker(results: Sequence[Result]) -> Iterator[str]:
    caught: dict[str, list[str]] = {checker.name: [] for checker in all_checkers()}
    for each in results:
        caught.setdefault(each.checker, []).append(f"`{each.mutant}`")
    for checker, mutants in caught.items():
        yield f"| {checker} | {', '.join(mutants) or 'none'} |"
