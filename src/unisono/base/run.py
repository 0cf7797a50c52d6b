"""Run: datagrams of one size in one piece of memory, as the kernel cuts and joins them.

Speaks:      a sequence of datagrams; who knows better takes `data` and `step` as they are.
Counterpart: UDP_SEGMENT and UDP_GRO, udp(7).
"""

from collections.abc import Iterator, Sequence
from typing import Final, overload

from unisono.base.errors import UsageError


class Run(Sequence[bytes]):
    """`data` cut into datagrams of `step` bytes, of which the last may be shorter; at least one."""

    __slots__ = ("data", "step")

    def __init__(self, data: bytes, step: int) -> None:
        """UsageError when there is nothing to cut."""
        if step <= 0 or not data:
            raise UsageError(f"run of {len(data)} bytes in steps of {step}")
        self.data: Final = data
        self.step: Final = step

    def __len__(self) -> int:
        return (len(self.data) + self.step - 1) // self.step

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.cut())

    @overload
    def __getitem__(self, place: int) -> bytes: ...

    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...

    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        if isinstance(place, slice):
            return self.cut()[place]
        start = range(0, len(self.data), self.step)[place]
        return self.data[start : start + self.step]

    def cut(self) -> list[bytes]:
        """The datagrams."""
        data, step = self.data, self.step
        return [data[start : start + step] for start in range(0, len(data), step)]
