"""`@event`: the one kind of value that crosses between machines.

Keeps:       values are plain slots dataclasses, treated as frozen once emitted.
"""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform()
def event(cls: type[_T]) -> type[_T]:
    """Make `cls` an event, effect or request: slots, equality by value, no freezing cost."""
    return dataclass(slots=True)(cls)
