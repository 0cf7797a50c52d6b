"""The flight recorder's requirements, by number; tests carry the numbers in their names.

Speaks:      `test_bb7_bb8_...` shows BB7 and BB8.
Keeps:       tests/tidy fails when a number has no test, or a test has a number that is not here;
             a run that has any of these tests ends with a table of what was shown.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

TESTS: Final = Path(__file__).parent
REQUIREMENTS: Final = {
    1: "At no time does a file exist whose name is made of a pid.",
    2: "Processes with recurring pids, among them further starts and probes, cannot disturb a "
    "running daemon, its recorder or its clients.",
    3: "The version, the help, the test of the configuration and every command make, change and "
    "remove nothing; importing makes nothing.",
    4: "Files, links, directories and pipes that other users put under any name that a recorder "
    "could want do not matter, and stay untouched.",
    5: "The daemon starts and serves with /dev/shm full, read-only, absent or not executable.",
    6: "Nobody, root included, can cut or grow the recorder's memory under the daemon.",
    7: "After SIGKILL the last thousand records and more can be read.",
    8: "After SEGV, ABRT, BUS, FPE and ILL there is a dump that ends with the last record.",
    9: "A child that the daemon forks writes nothing into the recorder and has no keeper.",
    10: "The dumps that are kept are bounded by number and by bytes; the oldest go first.",
    11: "A dump that is asked for does not hold up the ring.",
    12: "Users without rights can neither read dumps nor have them made.",
    13: "A dump of an earlier boot or of another process is recognised.",
    14: "Whatever is damaged in a dump, the rest is shown, the exit status is 2, and nothing "
    "escapes.",
    15: "Dumps of libqb, with and without its marker, are shown as its own tool shows them, and it "
    "shows ours.",
    16: "The pid in the log is the daemon's own, in the foreground and in the background.",
    17: "SIGHUP, SIGUSR1 and SIGUSR2 never end a daemon, nor cost it its place in the ring.",
    18: "The pid file is written by whoever holds its lock and removed at every end that can be "
    "handled; the lock decides who lives, not the number in it.",
    19: "A recorder or keeper that fails is told of in the log and counted, and comes back.",
    20: "No key and no payload gets into the recorder.",
}
_NUMBER: Final = re.compile(r"(?<=_)bb(\d+)(?=_)")
_WORST_FIRST: Final = ("error", "failed", "passed", "skipped")
_WORDS: Final = {"passed": "passed", "skipped": "not run"}


def numbers(name: str) -> list[int]:
    """The requirements that a test's name says it shows."""
    return [int(n) for n in _NUMBER.findall(name)] if name.startswith("test_bb") else []


@cache
def shown_by() -> dict[int, list[str]]:
    """`file: name` of every test, by the number of the requirement."""
    found: dict[int, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for name in _functions(path):
            for number in numbers(name):
                found.setdefault(number, []).append(f"{path.relative_to(TESTS)}: {name}")
    return found


def _functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and numbers(node.name):
            yield node.name


def results(stats: dict[str, list[Any]]) -> dict[tuple[int, str], str]:
    """How each test of a requirement went, by number and name; the worst of its variants counts."""
    found: dict[tuple[int, str], str] = {}
    for outcome in reversed(_WORST_FIRST):
        for report in stats.get(outcome, []):
            name = getattr(report, "nodeid", "").rpartition("::")[2].partition("[")[0]
            for number in numbers(name):
                found[number, name] = _WORDS.get(outcome, "failed")
    return found


def table(stats: dict[str, list[Any]]) -> Iterable[str]:
    """The lines that end a run in which any of the tests took part."""
    found = results(stats)
    if not set(found.values()) - {"not run"}:
        return
    yield "requirements of the flight recorder"
    for number in REQUIREMENTS:
        mine = sorted((name, word) for (which, name), word in found.items() if which == number)
        for name, word in mine or [("", "not run")]:
            yield f"BB{number:<3} {word:<8} {name}".rstrip()
