"""printf without C: libqb stores a format and its raw arguments; here they become text.

Speaks:      conversions of printf(3) as libqb serialises them, little-endian, LP64.
Counterpart: libqb lib/log_format.c, qb_vsnprintf_serialize and qb_vsnprintf_deserialize.
Keeps:       `%%` takes the one byte that libqb stores for it; what libqb does not serialise (the
             modifiers h and L, %m, %n) takes no byte and is shown as it stands.
"""

import re
from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Final

from unisono.base.errors import WireError
from unisono.base.limits import PRINTF_WIDTH_MAX

_CONVERSION: Final = re.compile(
    r"%(?P<flags>[-+ #0']*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d*))?"
    r"(?P<size>hh|h|ll|l|z|t|j|L|q)?(?P<kind>[a-zA-Z%])"
)
_INT: Final = Struct("<i")
_UINT: Final = Struct("<I")
_LONG: Final = Struct("<q")
_ULONG: Final = Struct("<Q")
_DOUBLE: Final = Struct("<d")
_LONG_SIZES: Final = frozenset({"l", "ll", "z", "t", "j", "q"})
_DIGITS_OF_WIDTH_MAX: Final = 9


class _Arguments:
    """The raw arguments, taken one after the other."""

    __slots__ = ("_at", "_raw")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def number(self, layout: Struct) -> int | float:
        try:
            (value,) = layout.unpack_from(self._raw, self._at)
        except StructError:
            raise WireError("a message has fewer arguments than its format says")
        self._at += layout.size
        return value  # type: ignore[no-any-return]  # one of the layouts above

    def integer(self, layout: Struct) -> int:
        return int(self.number(layout))

    def byte(self) -> str:
        if self._at >= len(self._raw):
            raise WireError("a message has fewer arguments than its format says")
        self._at += 1
        return chr(self._raw[self._at - 1])

    def string(self) -> str:
        end = self._raw.find(b"\0", self._at)
        if end < 0:
            raise WireError("a string argument has no end")
        text = self._raw[self._at : end].decode(errors="replace")
        self._at = end + 1
        return text


def render(template: str, raw: bytes) -> str:
    """`template` with its arguments out of `raw`; WireError when they do not suffice."""
    arguments = _Arguments(raw)
    return _CONVERSION.sub(lambda found: _convert(found, arguments), template)


def _convert(found: re.Match[str], arguments: _Arguments) -> str:
    size, kind = found["size"] or "", found["kind"]
    if kind == "%":
        return arguments.byte()  # libqb stores the sign itself
    take = None if size in {"h", "hh", "L"} else _KINDS.get(kind)
    if take is None:
        return found.group()
    width = _measure(found["width"], arguments)
    precision = _measure(found["precision"], arguments)
    flags = found["flags"].replace("'", "")
    if width is not None and width < 0:  # printf(3): a negative width means the flag
        flags, width = flags + "-", -width
    if precision is not None and precision < 0:
        precision = None
    shape = flags + ("" if width is None else str(width))
    return take(arguments, shape, precision, kind, size in _LONG_SIZES)


def _measure(text: str | None, arguments: _Arguments) -> int | None:
    """A width or precision: none, a number, or the next argument; bounded."""
    if text is None:
        return None
    if text == "*":
        value = arguments.integer(_INT)
    elif len(text) > _DIGITS_OF_WIDTH_MAX:
        value = PRINTF_WIDTH_MAX
    else:
        value = int(text or "0")
    return max(-PRINTF_WIDTH_MAX, min(value, PRINTF_WIDTH_MAX))


def _integer(
    arguments: _Arguments, shape: str, precision: int | None, kind: str, is_long: bool
) -> str:
    if kind in "di":
        value, kind = arguments.integer(_LONG if is_long else _INT), "d"
    else:
        value = arguments.integer(_ULONG if is_long else _UINT)
        kind = "d" if kind == "u" else kind
    if "#" in shape and (kind == "o" or value == 0):
        return _alternate(shape.replace("#", ""), value, kind)
    return ("%" + shape + _point(precision) + kind) % value


def _alternate(shape: str, value: int, kind: str) -> str:
    """C's `#` where Python's differs: an octal number begins with one 0, and 0 stays 0."""
    digits = "0" if value == 0 else "0" + format(value, kind)
    return ("%" + shape.replace("0", "", 1) + "s") % digits


def _real(
    arguments: _Arguments, shape: str, precision: int | None, kind: str, _is_long: bool
) -> str:
    value = float(arguments.number(_DOUBLE))
    if kind in "aA":
        text = re.sub(r"\.?0*p", "p", value.hex())
        return ("%" + shape.strip("#0+ ") + "s") % (text.upper() if kind == "A" else text)
    return ("%" + shape + _point(precision) + kind) % value


def _string(
    arguments: _Arguments, shape: str, precision: int | None, _kind: str, _is_long: bool
) -> str:
    return ("%" + shape + _point(precision) + "s") % arguments.string()


def _character(
    arguments: _Arguments, shape: str, _precision: int | None, _kind: str, _is_long: bool
) -> str:
    return ("%" + shape + "c") % arguments.byte()


def _pointer(
    arguments: _Arguments, shape: str, _precision: int | None, _kind: str, _is_long: bool
) -> str:
    value = arguments.integer(_ULONG)
    return ("%" + shape.replace("#", "") + "s") % (f"{value:#x}" if value else "(nil)")


def _point(precision: int | None) -> str:
    return "" if precision is None else f".{precision}"


_Take = Callable[[_Arguments, str, int | None, str, bool], str]
_KINDS: Final[dict[str, _Take]] = {
    **dict.fromkeys("diouxX", _integer),
    **dict.fromkeys("eEfFgGaA", _real),
    "s": _string,
    "c": _character,
    "p": _pointer,
}
