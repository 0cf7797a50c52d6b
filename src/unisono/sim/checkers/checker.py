"""The shape of a checker, and the violation it raises.

Keeps:       a checker listens to exactly the records and facts for which it has an `on_...` method.
"""

import re
from typing import Final, get_args

from unisono.base.ids import MS
from unisono.sim.trace import Fact, Record, Trace

_METHOD_NAMES: Final = {
    kind: "on_" + re.sub(r"(?<!^)([A-Z])", r"_\1", kind.__name__).lower()
    for kind in (*get_args(Record), *get_args(Fact))
}


class Violation(Exception):
    """A property does not hold. `name` is the property, `time` the virtual nanosecond."""

    def __init__(self, name: str, time: int, text: str) -> None:
        super().__init__(f"{name}: at {time / MS:.6f} ms: {text}")
        self.name = name
        self.time = time
        self.text = text


class Checker:
    """Base of all checkers: `on_<record>` methods while it happens, `conclude` at the end."""

    name = ""
    properties: tuple[tuple[str, str], ...] = ()
    """What it judges: the number (or name) of each property, and the property in a few words."""

    def attach(self, trace: Trace) -> None:
        """Listen to the records of `trace`."""
        for kind, method in _METHOD_NAMES.items():
            listener = getattr(self, method, None)
            if listener is not None:
                trace.listen(kind, listener)

    def conclude(self, time: int) -> None:
        """Judge what can be judged only when the run is over. Raises Violation."""

    def fail(self, time: int, text: str) -> Violation:
        """The exception to raise."""
        return Violation(self.name, time, text)
