"""Mutant: one small wrong change to the product, planted for a while and taken out again.

Keeps:       the product's files stay as they are; a mutant whose line is no more says so.
"""

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any


class LineGone(Exception):
    """The line that a mutant makes wrong is not in its method, or more than once."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """In `owner.method` the text `right` becomes `wrong`; `what` says in a line what that means.

    The method may be inherited: it is wrong in the class where it is written.
    """

    name: str
    what: str
    owner: type
    method: str
    right: str
    wrong: str
    storm: str = ""
    """In which it is hunted; empty is whatever is drawn."""
    _source: str = field(init=False, repr=False)
    """Read at once: the file may be another by the time that the mutant is planted."""

    def __post_init__(self) -> None:
        function = self._function()
        object.__setattr__(self, "_source", textwrap.dedent(inspect.getsource(function)))

    @property
    def stack(self) -> str:
        """What must stand there for it to matter: services, the secure transport, or a ring."""
        room = self.owner.__module__.split(".")[1]
        return {"services": "services", "secure": "secure", "crypto": "secure"}.get(room, "clear")

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The product is wrong inside. Raises LineGone."""
        home, original = self._home(), self._function()
        setattr(home, self.method, self._wrong_method())
        try:
            yield
        finally:
            setattr(home, self.method, original)

    def _home(self) -> type:
        return next(each for each in self.owner.__mro__ if self.method in each.__dict__)

    def _function(self) -> FunctionType:
        method = self._home().__dict__[self.method]
        assert isinstance(method, FunctionType), f"{self.name}: not a plain method"
        return method

    def _wrong_method(self) -> Any:
        if self._source.count(self.right) != 1:
            where = f"{self.owner.__name__}.{self.method}"
            raise LineGone(f"{self.name}: not exactly once in {where}:\n{self.right}")
        code = compile(self._source.replace(self.right, self.wrong), f"<{self.name}>", "exec")
        made: dict[str, Any] = {}
        exec(code, self._function().__globals__, made)  # noqa: S102  # the product's own text, changed here
        return made[self.method]
