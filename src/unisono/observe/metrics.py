"""Metrics: a daemon's status as numbers with names, for whoever watches many daemons at once.

Speaks:      the status of the native stream; names, units and kinds as Prometheus wants them.
Keeps:       what the status has beside the table is left out, what it lacks gives no sample; all
             that can be wrong with a status is a WireError that names the place.
Never:       sockets, the clock, or the text of an exposition (cli.metrics).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from unisono.base.errors import WireError
from unisono.base.limits import METRIC_SAMPLES_MAX

Labels: TypeAlias = tuple[str, ...]
_UNPRINTABLE: Final = dict.fromkeys((*range(32), *range(127, 160)), "?")


class Kind(Enum):
    """What a number does."""

    COUNTER = "counter"
    """It grows until the daemon ends."""
    GAUGE = "gauge"


class Sample(NamedTuple):
    """One number, and the values of its family's labels."""

    labels: Labels
    value: float


Reading: TypeAlias = Callable[[object, str], Iterable[Sample]]
"""Makes samples (with labels of its own, or none) of what stands at a place; WireError."""


class Family(NamedTuple):
    """Numbers of one name. `labels`: one for each step of `source` that stands for many, and one
    more where the reading adds one. Steps: `name`; `name[key]`, a list of objects, each called by
    its `key`; `*`, everything there is; `{a,b}`, these.
    """

    name: str
    kind: Kind
    help: str
    source: str
    labels: Labels
    reading: Reading
    zeros: Labels = ()
    """Values of its one label that are 0 when they are absent, and not unknown."""


class Measured(NamedTuple):
    """A family and its numbers now."""

    family: Family
    samples: list[Sample]


def measure(families: Iterable[Family], status: Mapping[str, object]) -> list[Measured]:
    """The families of which the status says something, in the order of the table. WireError."""
    measured = [Measured(family, _samples(family, status)) for family in families]
    return [each for each in measured if each.samples]


def find(source: str, status: Mapping[str, object]) -> Iterator[tuple[Labels, object]]:
    """Everything in a status that a source names, with its labels. WireError."""
    for labels, value, _place in _walk(status, source.split("."), (), "status"):
        yield labels, value


# -- readings --------------------------------------------------------------------------------------


def number(value: object, place: str) -> Iterable[Sample]:
    """A number as it is."""
    return (Sample((), _number(value, place)),)


def flag(value: object, place: str) -> Iterable[Sample]:
    """1 for true, 0 for false."""
    if not isinstance(value, bool):
        raise _wrong(place, "true or false", value)
    return (Sample((), float(value)),)


def presence(value: object, place: str) -> Iterable[Sample]:
    """1 when something is named: a text that is not empty, a number that is not 0."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong(place, "a text or a whole number", value)
    return (Sample((), float(bool(value))),)


def amount(value: object, place: str) -> Iterable[Sample]:
    """How many there are in a list or an object."""
    if not isinstance(value, list | Mapping):
        raise _wrong(place, "a list or an object", value)
    return (Sample((), float(len(value))),)


def word(value: object, place: str) -> Iterable[Sample]:
    """1 with the text as the label."""
    return (Sample((_text(value, place),), 1.0),)


def microseconds(value: object, place: str) -> Iterable[Sample]:
    """Seconds out of microseconds; none while nothing is measured, which is 0."""
    measured = _number(value, place)
    return (Sample((), measured / 1_000_000),) if measured else ()


def one_of(*words: str) -> Reading:
    """1 with the text as the label, 0 with each other one that there could be."""

    def reading(value: object, place: str) -> Iterable[Sample]:
        said = _text(value, place)
        yield from (Sample((each,), float(each == said)) for each in words)
        if said not in words:  # of a daemon that is newer than this table
            yield Sample((said,), 1.0)

    return reading


# -- inside ----------------------------------------------------------------------------------------


def _samples(family: Family, status: Mapping[str, object]) -> list[Sample]:
    samples: dict[Labels, float] = {}
    for labels, value, place in _walk(status, family.source.split("."), (), "status"):
        for own, size in family.reading(value, place):
            key = (*labels, *own)
            if family.kind is Kind.COUNTER and size < 0:
                raise _wrong(place, "a count", value)
            if key in samples:
                # Two samples of one name: who scrapes would throw everything away.
                raise WireError(f"{place}: {' '.join(key)} is there twice")
            if len(samples) >= METRIC_SAMPLES_MAX:
                raise WireError(f"{place}: more than {METRIC_SAMPLES_MAX} of these")
            samples[key] = size
    if family.zeros and _holds(status, family.source):
        for name in family.zeros:
            samples.setdefault((name,), 0.0)
    return [Sample(labels, size) for labels, size in samples.items()]


def _holds(status: Mapping[str, object], source: str) -> bool:
    """Whether the object is there whose members the source names."""
    return any(True for _ in find(source.rpartition(".")[0], status))


def _walk(
    value: object, steps: Sequence[str], labels: Labels, place: str
) -> Iterator[tuple[Labels, object, str]]:
    if value is None:  # known to be unknown
        return
    if not steps:
        yield labels, value, place
        return
    step, rest = steps[0], steps[1:]
    if not isinstance(value, Mapping):
        raise _wrong(place, "an object", value)
    if step == "*" or step.startswith("{"):
        names = value if step == "*" else step[1:-1].split(",")
        for name in names:
            if name in value:
                label = _text(name, place)
                yield from _walk(value[name], rest, (*labels, label), f"{place}.{label}")
        return
    name, _, key = step.rstrip("]").partition("[")
    if name not in value:
        return
    below = f"{place}.{name}"
    if not key:
        yield from _walk(value[name], rest, labels, below)
        return
    for label, entry in _entries(value[name], key, below):
        yield from _walk(entry, rest, (*labels, label), f"{below}[{label}]")


def _entries(value: object, key: str, place: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The objects of a list, each with what `key` says of it."""
    if not isinstance(value, list):
        raise _wrong(place, "a list", value)
    for entry in value:
        if not isinstance(entry, Mapping):
            raise _wrong(place, "a list of objects", value)
        if key in entry:
            name = entry[key]
            yield (str(name) if isinstance(name, int) else _text(name, place)), entry


def _number(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(place, "a number", value)
    try:
        size = float(value)
    except OverflowError:
        size = math.inf
    if not math.isfinite(size):
        raise WireError(f"{place}: this number is too large")
    return size


def _text(value: object, place: str) -> str:
    """A text that no terminal, no encoding and no parser is upset by."""
    if not isinstance(value, str):
        raise _wrong(place, "a text", value)
    return value.encode("utf-8", "replace").decode().translate(_UNPRINTABLE)


def _wrong(place: str, wanted: str, found: object) -> WireError:
    return WireError(f"{place}: expected {wanted}, found {type(found).__name__}")
