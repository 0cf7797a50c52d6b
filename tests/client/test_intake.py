"""The intake: frames come out as they went in, however the stream is cut and the room grows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import WireError
from unisono.base.limits import NATIVE_FRAME_BYTES_MAX
from unisono.client.intake import SMALL_BYTES, USUAL_BYTES, Intake
from unisono.wire import native

CALM_READS = 100
"""More than enough for the room of large frames to be given back."""


def frame(length: int, mark: int = 0) -> bytes:
    """A frame of so many bytes that no other begins or ends like."""
    body = bytes((mark + index) % 251 for index in range(min(64, length - native.HEADER_BYTES)))
    return native.frame_header(native.Kind.BLOCK, length - native.HEADER_BYTES) + body.ljust(
        length - native.HEADER_BYTES, bytes([mark % 256])
    )


def read(intake: Intake, stream: bytes) -> list[bytes]:
    """The frames in what one read after the other gives, each as large as there is room for."""
    found: list[bytes] = []
    rest = memoryview(stream)
    while rest:
        room = intake.room()
        count = min(len(room), len(rest))
        assert count, "no room"
        room[:count] = rest[:count]
        found += map(bytes, intake.frames(count))
        rest = rest[count:]
    return found


def test_frames_when_cut_at_every_byte_then_the_same() -> None:
    frames = [frame(length, length) for length in (8, 9, 40, 16)]
    stream = b"".join(frames)
    for cut in range(len(stream) + 1):
        intake = Intake()
        assert read(intake, stream[:cut]) + read(intake, stream[cut:]) == frames
    intake = Intake()
    assert [one for byte in stream for one in read(intake, bytes([byte]))] == frames


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 5_000, 70_000])
def test_frames_when_longer_than_the_room_then_whole_and_the_rest_is_kept(cut: int) -> None:
    frames = [frame(length, length) for length in (100, 80_000, NATIVE_FRAME_BYTES_MAX, 50)] * 3
    stream = b"".join(frames)
    intake, found = Intake(), []
    for start in range(0, len(stream), max(cut, 1_000)):
        found += read(intake, stream[start : start + min(cut, 1_000)])
        found += read(intake, stream[start + min(cut, 1_000) : start + max(cut, 1_000)])
    assert found == frames


@given(
    st.lists(
        st.tuples(
            st.sampled_from([8, 24, 3_000, SMALL_BYTES, 40_000, USUAL_BYTES - 1, USUAL_BYTES + 1]),
            st.integers(0, 255),
        ),
        max_size=12,
    ),
    st.lists(st.integers(1, 300_000), min_size=1, max_size=12),
)
def test_frames_when_of_any_length_and_cut_anywhere_then_the_same(
    shapes: list[tuple[int, int]], cuts: list[int]
) -> None:
    frames = [frame(*shape) for shape in shapes]
    rest, intake, found = b"".join(frames), Intake(), []
    for turn in range(10_000):
        if not rest:
            break
        cut = cuts[turn % len(cuts)]
        found += read(intake, rest[:cut])
        rest = rest[cut:]
    assert not rest or max(cuts) < 1_000
    assert found == frames[: len(found)] and (rest or found == frames)


def test_room_when_little_comes_then_stays_small_and_when_much_then_the_usual() -> None:
    intake = Intake()
    for _ in range(100):
        read(intake, frame(1_000))
    assert intake.room_bytes == SMALL_BYTES
    read(intake, frame(1_000) * 100)
    assert intake.room_bytes == USUAL_BYTES
    whole = intake.room()
    read(intake, frame(1_000) * 300)
    assert intake.room().obj is whole.obj


def test_room_when_large_frames_come_no_more_then_given_back_with_nothing_lost() -> None:
    intake = Intake()
    large, small = frame(NATIVE_FRAME_BYTES_MAX, 7), frame(100, 9)
    assert read(intake, large + large[:50]) == [large]
    assert intake.room_bytes == NATIVE_FRAME_BYTES_MAX
    for _ in range(CALM_READS):
        assert read(intake, large[50:] + large[:50]) == [large]
    assert intake.room_bytes == NATIVE_FRAME_BYTES_MAX
    assert read(intake, large[50:] + small[:50]) == [large]
    for _ in range(CALM_READS):
        assert read(intake, small[50:] + small[:50]) == [small]
    assert intake.room_bytes == USUAL_BYTES
    assert read(intake, small[50:]) == [small]


def test_frames_when_a_length_is_out_of_bounds_then_wire_error_at_once() -> None:
    for length in (7, NATIVE_FRAME_BYTES_MAX + 1):
        with pytest.raises(WireError):
            read(Intake(), length.to_bytes(4, "little") + bytes(4))
