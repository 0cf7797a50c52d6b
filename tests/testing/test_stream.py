"""The simulated socket: room, watching, the end of either side, as unix(7) and a loop have them."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from unisono.testing.stream import SOCKET_BYTES, Direction, Stream
from unisono.wire import native


class Wires:
    """A stream, and what happens at its ends; nothing moves until `settle`."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.frames: list[bytes] = []
        self.hang_ups = 0
        there, back = Direction(self.at, lambda: 0), Direction(self.at, lambda: 0)
        self.stream = Stream(there, back, self.frames.append, self.hang_up)

    def at(self, _moment: int, call: Callable[..., None], *arguments: Any) -> None:
        self.waiting.append((call, arguments))

    def hang_up(self) -> None:
        self.hang_ups += 1

    def settle(self) -> None:
        while self.waiting:
            call, arguments = self.waiting.pop(0)
            call(*arguments)

    def read(self) -> bytes:
        room = memoryview(bytearray(100))
        return bytes(room[: self.stream.recv_into(room)])

    def watch(self) -> list[bytes]:
        """Read all that arrives, from now on; the end is b"", and reading stops with it."""
        seen: list[bytes] = []

        def on_readable() -> None:
            seen.append(self.read())
            if not seen[-1]:
                self.stream.watch_input(None)

        self.stream.watch_input(on_readable)
        return seen


SEND = native.encode_send(bytes(100_000))


def test_input_when_watched_then_told_and_when_not_then_it_waits() -> None:
    wires = Wires()
    wires.stream.send(b"early")
    wires.settle()
    assert wires.stream.unwanted_bytes == 5
    seen = wires.watch()
    assert seen == [], "told before the next turn"
    wires.settle()
    wires.stream.send(b"x" * 150)
    wires.settle()
    assert seen == [b"early", b"x" * 100, b"x" * 50]
    assert wires.stream.unwanted_bytes == 0
    with pytest.raises(BlockingIOError):
        wires.read()
    wires.stream.watch_input(None)
    wires.stream.send(b"late")
    wires.settle()
    assert len(seen) == 3


def test_output_when_the_daemon_does_not_read_then_full_and_told_of_room() -> None:
    rooms: list[bool] = []
    wires = Wires()
    stream = wires.stream
    sent = 0
    whole = memoryview(SEND * 5)
    with suppress(BlockingIOError):
        while sent < len(whole):
            sent += stream.sendmsg([whole[sent:]], (), 0)
    assert SOCKET_BYTES <= sent < len(whole)
    stream.watch_room(lambda: rooms.append(True))
    wires.settle()
    assert wires.frames == [SEND] * (sent // len(SEND))
    assert rooms == []
    for _ in wires.frames:
        stream.was_read(len(SEND))
    wires.settle()
    assert rooms
    stream.watch_room(None)
    while sent < len(whole):
        sent += stream.sendmsg([whole[sent:]], (), 0)
    wires.settle()
    assert wires.frames == [SEND] * 5


def test_output_when_in_pieces_then_frames_leave_whole() -> None:
    wires = Wires()
    assert wires.stream.sendmsg([SEND[:3], SEND[3:50]], (), 0) == 50
    wires.settle()
    assert wires.frames == []
    wires.stream.sendmsg([SEND[50:], native.encode_leave()], (), 0)
    wires.settle()
    assert wires.frames == [SEND, native.encode_leave()]


def test_daemon_when_it_ends_then_what_it_wrote_comes_first_and_writes_fail() -> None:
    wires = Wires()
    rooms: list[bool] = []

    def on_room() -> None:
        rooms.append(True)
        wires.stream.watch_room(None)

    while wires.stream.sendmsg([SEND], (), 0) == len(SEND):
        pass
    wires.stream.watch_room(on_room)
    seen = wires.watch()
    wires.settle()
    assert rooms == []
    wires.stream.send(b"last")
    wires.stream.end()
    wires.settle()
    assert seen == [b"last", b""]
    with pytest.raises(BrokenPipeError):
        wires.stream.sendmsg([SEND], (), 0)
    assert rooms == [True]


def test_program_when_it_closes_then_the_daemon_learns_after_what_was_written() -> None:
    wires = Wires()
    wires.stream.sendmsg([SEND], (), 0)
    wires.stream.close()
    wires.stream.close()
    assert (wires.frames, wires.hang_ups) == ([], 0)
    wires.settle()
    assert (wires.frames, wires.hang_ups) == ([SEND], 1)
    wires.stream.send(b"nobody reads")
    assert wires.stream.unwanted_bytes == 0


def test_process_when_killed_then_its_end_reads_the_end_at_once() -> None:
    wires = Wires()
    seen = wires.watch()
    wires.stream.send(b"unread")
    wires.stream.kill()
    assert seen == [b""]
    wires.settle()
    assert seen == [b""] and wires.hang_ups == 1
    assert wires.stream.unwanted_bytes == 0
