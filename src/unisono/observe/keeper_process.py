"""The keeper's own process: waits for the daemon's end or word, and writes dumps.

Speaks:      orders over a socket (`end`, `dump`), answers (`made NAME`, `failed REASON`); a pidfd.
Counterpart: corosync exec/main.c, corosync_segv_handler, which writes from within the crash.
Keeps:       the daemon's end without the order `end` leaves a dump; nothing else keeps it alive.
             What libqb's tools read is written after the dump, and never in the place of it.
Never:       any descriptor but these: null device, the ring, the socket, the pidfd, the directory.
"""

import os
import select
import signal
import time
from contextlib import suppress
from typing import Final

from unisono.base.limits import FLIGHT_FOR_LIBQB_BYTES_MAX
from unisono.linux.dump_directory import prune_dumps, write_dump, write_for_libqb
from unisono.wire.blackbox.dump_file import (
    CELL_BYTES,
    DIED,
    REQUESTED,
    RING_HEADER_BYTES,
    encode_dump,
)

RING: Final = 3
SOCKET: Final = 4
DAEMON: Final = 5
DIRECTORY: Final = 6
_FIRST_FOREIGN: Final = 7
ORDER_END: Final = b"end"
ORDER_DUMP: Final = b"dump"
ANSWER_MADE: Final = "made "
ANSWER_FAILED: Final = "failed "
MESSAGE_BYTES_MAX: Final = 512
READINGS_MAX: Final = 5
NICE: Final = 10
NAME: Final = b"unisono-keeper"


def main() -> None:
    """Serve until the daemon has ended; the descriptors are in their places already."""
    os.closerange(_FIRST_FOREIGN, os.sysconf("SC_OPEN_MAX"))
    _step_back()
    ring_bytes = os.fstat(RING).st_size
    os.set_blocking(SOCKET, False)
    renderer = Renderer()
    has_died = _serve(ring_bytes, renderer)
    death = _clocks()  # first: this is as near to the moment as one can come from outside
    renderer.stop()
    if has_died:
        with suppress(OSError):  # nobody is left to be told
            name, dump = _write(DIED, _read(ring_bytes), death)
            render(name, dump)


def _step_back() -> None:
    """The dump may take its time: the daemons of this host do not wait for it."""
    with suppress(OSError):
        os.chdir("/")
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    with suppress(OSError):
        comm = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
        os.write(comm, NAME)
        os.close(comm)


class Renderer:
    """Writes for libqb in a process of its own, one at a time: the keeper goes on listening."""

    def __init__(self) -> None:
        self._pid = 0

    def start(self, name: str, dump: bytes) -> None:
        """Begin with this dump; what is under way is given up."""
        self.stop()
        with suppress(OSError):
            self._pid = os.fork()
            if self._pid == 0:
                for descriptor in (RING, SOCKET, DAEMON):
                    os.close(descriptor)
                render(name, dump)
                os._exit(0)

    def stop(self) -> None:
        """No process is left when this returns."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)  # ours until it is waited for
            os.waitpid(self._pid, 0)
            self._pid = 0


def render(name: str, dump: bytes) -> None:
    """Write the entries of this dump beside it, as libqb's tools read them, if that can be done."""
    if len(dump) > FLIGHT_FOR_LIBQB_BYTES_MAX:
        return
    try:
        from unisono.observe.playback import play
        from unisono.wire.blackbox.dump import decode_dump
        from unisono.wire.blackbox.libqb import encode_libqb

        write_for_libqb(DIRECTORY, name, encode_libqb(play(decode_dump(dump))))
    except Exception:  # noqa: BLE001  the dump is there, and nobody is there to be told
        return


def _serve(ring_bytes: int, renderer: Renderer) -> bool:
    """Carry out orders until the daemon is gone; whether it went without a word."""
    poll = select.poll()
    poll.register(DAEMON, select.POLLIN)
    poll.register(SOCKET, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        # Orders first: `end` may have been the last thing that the daemon did.
        order = _order()
        if order == ORDER_END:
            return False
        if order == ORDER_DUMP:
            _answer(ring_bytes, renderer)
        elif DAEMON in ready:
            return True
        elif order == b"":  # closed, but the daemon lives: only its end matters now
            poll.unregister(SOCKET)
            poll.poll()
            return True


def _order() -> bytes | None:
    try:
        return os.read(SOCKET, MESSAGE_BYTES_MAX)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _answer(ring_bytes: int, renderer: Renderer) -> None:
    try:
        ring = _read_steady(ring_bytes)
        name, dump = _write(REQUESTED, ring, _clocks())
    except OSError as error:
        _tell(ANSWER_FAILED + str(error.strerror))
    else:
        _tell(ANSWER_MADE + name)
        renderer.start(name, dump)


def _tell(text: str) -> None:
    with suppress(OSError):
        os.write(SOCKET, text.encode()[:MESSAGE_BYTES_MAX])


def _clocks() -> tuple[int, int]:
    return time.monotonic_ns(), time.time_ns()


def _write(why: int, ring: bytes, clocks: tuple[int, int]) -> tuple[str, bytes]:
    dump = encode_dump(ring, why, *clocks)
    name = write_dump(DIRECTORY, dump)
    prune_dumps(DIRECTORY, name)
    return name, dump


def _read(ring_bytes: int) -> bytes:
    parts = []
    at = 0
    while at < ring_bytes:
        part = os.pread(RING, ring_bytes - at, at)
        if not part:
            break
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _read_steady(ring_bytes: int) -> bytes:
    """Read twice while the daemon writes: a cell that changed may have been read half.

    A cell is written once in a round, so what was half there at first is whole the second time,
    and differs. When much has changed, we were kept waiting for long: the daemon may have gone
    round while we read, and we begin again.
    """
    few = (ring_bytes - RING_HEADER_BYTES) // CELL_BYTES // 4
    steady = bytearray()
    for _ in range(READINGS_MAX):
        steady, again = bytearray(_read(ring_bytes)), _read(ring_bytes)
        if _clear_changed(steady, again) <= few:
            break
    return bytes(steady)


def _clear_changed(first: bytearray, second: bytes) -> int:
    """Put zeros where a cell of `first` is another in `second`; how many these are."""
    if first == second:
        return 0
    changed = 0
    for at in range(RING_HEADER_BYTES, len(first), CELL_BYTES):
        if first[at : at + CELL_BYTES] != second[at : at + CELL_BYTES]:
            first[at : at + CELL_BYTES] = bytes(CELL_BYTES)
            changed += 1
    return changed
