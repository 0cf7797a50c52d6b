"""Sending datagrams: a run of equal sizes leaves in one system call.

Speaks:      sendmsg(2) with UDP_SEGMENT (udp(7)); on the wire these are ordinary datagrams.
Counterpart: corosync exec/totemudpu.c, ucast_sendmsg.
Keeps:       what the kernel will not take now is counted and dropped: it is a datagram network, and
             the ring asks for it again.
"""

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from unisono.base.group import Marked
from unisono.base.limits import GSO_BYTES_MAX, GSO_SEGMENTS_MAX
from unisono.base.marks import Mark as MarkId
from unisono.base.run import Run
from unisono.linux.sockets import Ancillary, SocketAddress, segment_ancillary
from unisono.transport.port import Mark, TransportCounters

_FULL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})
_NO_SEGMENTATION: Final = frozenset(
    {errno.EINVAL, errno.EIO, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EMSGSIZE}
)
"""What kernels answer to UDP_SEGMENT when device, path MTU or age do not allow it."""
_TOO_LARGE: Final = frozenset({errno.EMSGSIZE, errno.EINVAL})
"""What kernels answer to segments above the device's MTU; older ones say EINVAL."""
TooLarge: TypeAlias = Callable[[int], bool]
"""Asked when a datagram of so many bytes was refused: is that more than the device takes?"""


def make_runs(datagrams: Sequence[bytes]) -> list[Run]:
    """Runs that one system call takes each: equal sizes, the last may be shorter; order kept.

    An empty datagram is left out.
    """
    if isinstance(datagrams, Run) and _is_sendable(datagrams):
        return [datagrams]
    datagrams = list(datagrams)
    runs: list[Run] = []
    start = 0
    while start < len(datagrams):
        end = _run_end(datagrams, start)
        if datagrams[start]:
            runs.append(Run(b"".join(datagrams[start:end]), len(datagrams[start])))
        start = end
    return runs


def _is_sendable(run: Run) -> bool:
    size = len(run.data)
    return size <= GSO_BYTES_MAX and size <= GSO_SEGMENTS_MAX * run.step


def _run_end(datagrams: Sequence[bytes], start: int) -> int:
    size = len(datagrams[start])
    if not size:  # an empty datagram cannot be a segment
        return start + 1
    limit = min(len(datagrams), start + min(GSO_SEGMENTS_MAX, GSO_BYTES_MAX // size or 1))
    end = start + 1
    while end < limit:
        length = len(datagrams[end])
        if length == size:
            end += 1
            continue
        return end + 1 if 0 < length < size else end
    return max(end, start + 1)


class Sender:
    """Sends from one socket, in batches where the kernel can."""

    __slots__ = ("_ancillary", "_counters", "_mark", "_segmentation", "_socket", "_too_large")

    def __init__(
        self,
        sock: socket.socket,
        counters: TransportCounters,
        mark: Mark,
        too_large: TooLarge | None = None,
    ) -> None:
        """`too_large` comes with a socket that never fragments."""
        self._too_large = too_large
        self._socket = sock
        self._counters = counters
        self._mark = mark
        self._segmentation = True
        self._ancillary: dict[int, list[Ancillary]] = {}

    def send(self, datagram: bytes, address: SocketAddress) -> None:
        """Send one datagram or drop it."""
        try:
            self._socket.sendto(datagram, address)
        except OSError as error:
            self._on_refused(error, datagram, address)
            return
        self._counters.sent += 1
        self._counters.bytes_sent += len(datagram)

    def send_each(self, datagrams: Sequence[bytes], addresses: Sequence[SocketAddress]) -> None:
        """Send every datagram, in order, to every address."""
        if len(datagrams) == 1 or not self._segmentation:
            for address in addresses:
                for datagram in datagrams:
                    self.send(datagram, address)
            return
        runs = make_runs(datagrams)
        for address in addresses:
            for run in runs:
                self._send_run(run, address)

    def _on_refused(self, error: OSError, datagram: bytes, address: SocketAddress) -> None:
        ask = self._too_large
        if error.errno == errno.EMSGSIZE and ask is not None and ask(len(datagram)):
            self._counters.too_large += 1
        else:
            self._on_error(error, 1, address)

    def _send_run(self, run: Run, address: SocketAddress) -> None:
        data, step = run.data, run.step
        if len(data) <= step:
            self.send(data, address)
            return
        if self._segmentation:
            try:
                self._socket.sendmsg((data,), self._segments_of(step), 0, address)
            except OSError as error:
                if self._is_lost(error, run, address):
                    return
            else:
                counters = self._counters
                counters.sent += len(run)
                counters.bytes_sent += len(data)
                counters.batches_sent += 1
                return
        for datagram in run:
            self.send(datagram, address)

    def _is_lost(self, error: OSError, run: Run, address: SocketAddress) -> bool:
        """Whether a refused run must be given up, else it is to be sent one by one."""
        ask = self._too_large
        if ask is not None and error.errno in _TOO_LARGE:
            if ask(min(run.step, len(run.data))):
                self._counters.too_large += len(run)
                return True
            if error.errno == errno.EMSGSIZE:  # it leaves by a device that takes less
                return False
        if error.errno not in _NO_SEGMENTATION:
            self._on_error(error, len(run), address)
            return True
        self._segmentation = False
        self._mark(Marked(MarkId.SEGMENTATION_REFUSED, error.errno or 0))
        return False

    def _segments_of(self, size: int) -> list[Ancillary]:
        ancillary = self._ancillary.get(size)
        if ancillary is None:
            if len(self._ancillary) >= GSO_SEGMENTS_MAX:  # packed sizes vary: keep the table small
                self._ancillary.clear()
            ancillary = self._ancillary[size] = segment_ancillary(size)
        return ancillary

    def _on_error(self, error: OSError, lost: int, address: SocketAddress) -> None:
        if error.errno in _FULL:
            self._counters.send_dropped += lost
            return
        self._counters.send_errors += lost
        text = f"{address[0]}: {error.strerror}"
        self._mark(Marked(MarkId.SEND_FAILED, error.errno or 0, lost, text))
