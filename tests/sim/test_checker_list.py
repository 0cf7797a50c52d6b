"""The list of checkers: each is tried on legal and broken traces and says what it judges."""

from pathlib import Path

from tests.sim import (
    test_checkers,
    test_group_checkers,
    test_secure_checkers,
    test_wire_checkers,
)
from unisono.sim import checkers
from unisono.sim.checkers import all_checkers, robustness_checkers

TABLES = (test_checkers, test_group_checkers, test_wire_checkers, test_secure_checkers)
NOT_CHECKERS = {"__init__", "checker", "company", "history"}


def test_checkers_when_listed_then_each_has_a_legal_and_a_broken_trace() -> None:
    names = {checker.name for checker in all_checkers()}
    assert {checker.name for table in TABLES for _, checker, _ in table.LEGAL} == names
    assert {checker.name for table in TABLES for _, checker, _ in table.BROKEN} == names


def test_checkers_when_listed_then_each_file_is_named_after_its_property() -> None:
    files = {path.stem for path in Path(checkers.__file__).parent.glob("*.py")} - NOT_CHECKERS
    listed = all_checkers()
    assert {type(checker).__module__.rpartition(".")[2] for checker in listed} == files
    for checker in listed:
        assert type(checker).__module__.endswith("." + checker.name.replace(" ", "_"))


def test_checkers_when_listed_then_every_numbered_property_is_judged() -> None:
    judged = {number for each in all_checkers() for number, _ in each.properties}
    assert {f"P{number}" for number in range(1, 24)} <= judged


def test_robustness_checkers_when_listed_then_are_few_of_all() -> None:
    names = [checker.name for checker in robustness_checkers()]
    assert names == ["bounded queues", "bounded memory", "liveness"]
