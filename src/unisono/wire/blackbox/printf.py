"""printf without C: libqb stores a format and its raw arguments; here they become text.

Speaks:      conversions of printf(3) as libqb serialises them, little-endian, LP64.
Counterpart: libqb lib/log_format.c, qb_vsnprintf_serialize and qb_vsnprintf_deserialize.
Keeps:       libqb takes the second sign of `%%` for the start of one more conversion and stores
             for it what comes next; so the arguments are first read as it wrote them, and then
             given to the conversions that are really there.
"""

import re
from collections.abc import Callable, Iterator
from struct import Struct
from struct import error as StructError
from typing import Final, TypeAlias

from unisono.base.errors import WireError
from unisono.base.limits import PRINTF_WIDTH_MAX

_CONVERSION: Final = re.compile(
    r"%(?P<flags>[-+ #0']*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d*))?"
    r"(?P<size>hh|h|ll|l|z|t|j|L|q)?(?P<kind>[a-zA-Z%])"
)
_STORED: Final = re.compile(r"%(?P<shape>[-+ #'.*0-9lztj]*)(?P<kind>[diouxXeEfFgGaAcsp%])")
"""A conversion as libqb looks for one when it stores the arguments."""
_INT: Final = Struct("<I")
_LONG: Final = Struct("<Q")
_DOUBLE: Final = Struct("<d")
_LONG_SIZES: Final = frozenset("lztj")
_DIGITS_OF_WIDTH_MAX: Final = 9
_INT_BITS: Final = 32
_LONG_BITS: Final = 64

Value: TypeAlias = int | float | str | bytes
"""Whole numbers as unsigned bits, doubles, strings; one character as bytes."""


class Unsaid(Exception):
    """libqb has not stored what this conversion needs."""


def _stored(template: str, raw: bytes) -> Iterator[Value]:
    """The arguments in their order, read as they were stored; WireError when some are missing."""
    at = place = 0
    while found := _STORED.search(template, place):
        shape, kind = found["shape"], found["kind"]
        place = found.end()
        for _ in range(shape.count("*")):
            yield _number(_INT, raw, at)
            at += _INT.size
        if kind == "%":
            place -= 1  # libqb's slip: this sign is looked at once more
            at += 1
        elif kind == "s":
            end = raw.find(b"\0", at)
            if end < 0:
                raise WireError("a string argument has no end")
            yield raw[at:end].decode(errors="replace")
            at = end + 1
        elif kind == "c":
            yield raw[at : at + 1]
            at += 1
        else:
            layout = _layout(shape, kind)
            yield _number(layout, raw, at)
            at += layout.size
    if at > len(raw):
        raise WireError("a message has fewer arguments than its format says")


def _layout(shape: str, kind: str) -> Struct:
    if kind in "eEfFgGaA":
        return _DOUBLE
    return _LONG if kind == "p" or _LONG_SIZES.intersection(shape) else _INT


def _number(layout: Struct, raw: bytes, at: int) -> Value:
    try:
        (value,) = layout.unpack_from(raw, at)
    except StructError:
        raise WireError("a message has fewer arguments than its format says")
    return float(value) if layout is _DOUBLE else int(value)


def render(template: str, raw: bytes) -> str:
    """`template` with its arguments out of `raw`; WireError when these are not all there.

    A conversion that libqb stores nothing for, or the wrong thing, stays as it stands.
    """
    values = iter(list(_stored(template, raw)))

    def convert(found: re.Match[str]) -> str:
        try:
            return _convert(found, values)
        except Unsaid:
            return found.group()

    return _CONVERSION.sub(convert, template)


def _convert(found: re.Match[str], values: Iterator[Value]) -> str:
    size, kind = found["size"] or "", found["kind"]
    if kind == "%":
        return "%"
    take = _KINDS.get(kind)
    if take is None or size in {"h", "hh", "L", "q"}:
        raise Unsaid
    width = _measure(found["width"], values)
    precision = _measure(found["precision"], values)
    flags = found["flags"].replace("'", "")
    if width is not None and width < 0:  # printf(3): a negative width means the flag
        flags, width = flags + "-", -width
    if precision is not None and precision < 0:
        precision = None
    value = next(values, None)
    if value is None:
        raise Unsaid
    shape = flags + ("" if width is None else str(width))
    return take(value, shape, precision, kind, _LONG_BITS if size else _INT_BITS)


def _measure(text: str | None, values: Iterator[Value]) -> int | None:
    """A width or precision: none, a number, or the next argument; bounded."""
    if text is None:
        return None
    if text == "*":
        value = _signed(_whole(next(values, None)), _INT_BITS)
    elif len(text) > _DIGITS_OF_WIDTH_MAX:
        value = PRINTF_WIDTH_MAX
    else:
        value = int(text or "0")
    return max(-PRINTF_WIDTH_MAX, min(value, PRINTF_WIDTH_MAX))


def _whole(value: Value | None) -> int:
    if not isinstance(value, int):
        raise Unsaid
    return value


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def _integer(given: Value, shape: str, precision: int | None, kind: str, bits: int) -> str:
    value = _whole(given) & ((1 << bits) - 1)
    if kind in "diu":
        value, kind = (value if kind == "u" else _signed(value, bits)), "d"
    if "#" in shape and (kind == "o" or value == 0):
        return _alternate(shape.replace("#", ""), value, kind)
    return ("%" + shape + _point(precision) + kind) % value


def _alternate(shape: str, value: int, kind: str) -> str:
    """C's `#` where Python's differs: an octal number begins with one 0, and 0 stays 0."""
    digits = "0" if value == 0 else "0" + format(value, kind)
    return ("%" + shape.replace("0", "", 1) + "s") % digits


def _real(given: Value, shape: str, precision: int | None, kind: str, _bits: int) -> str:
    if not isinstance(given, float):
        raise Unsaid
    if kind in "aA":
        text = re.sub(r"\.?0*p", "p", given.hex())
        return ("%" + shape.strip("#0+ ") + "s") % (text.upper() if kind == "A" else text)
    return ("%" + shape + _point(precision) + kind) % given


def _string(given: Value, shape: str, precision: int | None, _kind: str, _bits: int) -> str:
    if not isinstance(given, str):
        raise Unsaid
    return ("%" + shape + _point(precision) + "s") % given


def _character(given: Value, shape: str, _precision: int | None, _kind: str, _bits: int) -> str:
    if not isinstance(given, bytes):
        raise Unsaid
    return ("%" + shape + "s") % given.decode("latin-1")


def _pointer(given: Value, shape: str, _precision: int | None, _kind: str, _bits: int) -> str:
    value = _whole(given)
    return ("%" + shape.replace("#", "") + "s") % (f"{value:#x}" if value else "(nil)")


def _point(precision: int | None) -> str:
    return "" if precision is None else f".{precision}"


_Take = Callable[[Value, str, int | None, str, int], str]
_KINDS: Final[dict[str, _Take]] = {
    **dict.fromkeys("diouxX", _integer),
    **dict.fromkeys("eEfFgGaA", _real),
    "s": _string,
    "c": _character,
    "p": _pointer,
}
