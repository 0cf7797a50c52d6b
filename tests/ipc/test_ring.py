"""The ring in shared memory: order, wrap, and every lie that the other side may tell."""

import json
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unisono.ipc.ring import Consumer, Producer, Ring, RingBroken, create_ring, open_ring
from unisono.linux.futex import ADD_MAX
from unisono.linux.semaphore import Semaphore
from unisono.wire.ipc.shm import (
    COMMITTED,
    FLOW_AT,
    HEADER_BYTES,
    READ_AT,
    REFERENCE_COUNT_AT,
    SEMAPHORE_AT,
    WRITE_AT,
    data_bytes,
)

SMALL = 12_328
PAGE = os.sysconf("SC_PAGESIZE")
VECTOR = Path(__file__).parents[1] / "vectors" / "ipc" / "shm_ring.json"


class Pair:
    """One ring with both its sides; `theirs` is a second mapping, as the other process has it."""

    def __init__(self, directory: Path, message_bytes_max: int = SMALL) -> None:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self.base = f"{directory}/qb-request-cpg"
        self.ours = create_ring(fd, self.base, message_bytes_max, None)
        os.close(fd)
        self.theirs = open_ring(self.base, message_bytes_max)
        self.producer = Producer(self.theirs)
        self.consumer = Consumer(self.ours)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()
        for part in ("header", "data"):
            Path(f"{self.base}-{part}").unlink(missing_ok=True)

    def put(self, *messages: bytes) -> int:
        return self.producer.put([(len(message), (message,)) for message in messages])

    def take(self, count: int) -> list[bytes]:
        taken: list[bytes] = []
        while len(taken) < count:
            taken += map(bytes, self.consumer.take(count - len(taken)))
        return taken


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.close()


def word(ring: Ring, offset: int) -> int:
    return struct.unpack("<I", os.pread(ring.header_fd, 4, offset))[0]


def scribble(ring: Ring, offset: int, value: int) -> None:
    os.pwrite(ring.header_fd, struct.pack("<I", value), offset)


def test_create_ring_when_made_then_its_header_is_libqbs(pair: Pair) -> None:
    recorded = json.loads(VECTOR.read_text())["header_file"]
    assert recorded["size"] == HEADER_BYTES
    raw = os.pread(pair.ours.header_fd, HEADER_BYTES, 0)
    assert raw[:12] == struct.pack("<III", 0, 0, data_bytes(SMALL, PAGE) // 4)
    assert raw[12:].startswith(f"{pair.base}-header\0".encode())
    assert raw[4_108:].startswith(f"{pair.base}-data\0".encode())
    tail = re.sub(r"\[z:(\d+)\]", lambda m: "00" * int(m[1]), recorded["from_8204"])
    assert (
        raw[REFERENCE_COUNT_AT:]
        == b"\1" + bytes.fromhex(tail)[1 : HEADER_BYTES - REFERENCE_COUNT_AT]
    )


def test_data_bytes_when_one_mib_then_as_recorded() -> None:
    assert data_bytes(1 << 20, 4_096) == 1_052_672


def test_chunk_when_written_then_words_are_libqbs(pair: Pair) -> None:
    pair.put(b"abcde")
    raw = os.pread(pair.ours.data_fd, 16, 0)
    assert raw == struct.pack("<II", 5, COMMITTED) + b"abcde\0\0\0"
    assert (word(pair.ours, WRITE_AT), word(pair.ours, SEMAPHORE_AT)) == (4, 1)
    assert pair.take(1) == [b"abcde"]
    assert (word(pair.ours, READ_AT), word(pair.ours, SEMAPHORE_AT)) == (4, 0)


def test_take_when_many_were_put_then_all_in_order_in_one_call(pair: Pair) -> None:
    messages = [bytes([n]) * n for n in range(1, 60)]
    assert pair.put(*messages) == 59
    assert [bytes(m) for m in pair.consumer.take(59)] == messages


def test_take_when_asked_for_fewer_then_the_rest_stays(pair: Pair) -> None:
    pair.put(b"a" * 16, b"b" * 16, b"c" * 16)
    assert pair.take(2) == [b"a" * 16, b"b" * 16]
    assert word(pair.ours, SEMAPHORE_AT) == 1
    assert pair.take(1) == [b"c" * 16]


def test_put_when_full_then_says_how_many_and_goes_on_after_reading(pair: Pair) -> None:
    message = b"x" * 5_000
    assert pair.put(*[message] * 10) == 3
    assert pair.put(message) == 0
    assert pair.take(1) == [message]
    assert pair.put(*[message] * 2) == 1
    assert pair.take(3) == [message] * 3


def test_indices_when_a_mebibyte_is_read_then_published_in_full(tmp_path: Path) -> None:
    pair = Pair(tmp_path, 1 << 20)
    message = os.urandom(1 << 20)
    for _ in range(5):
        assert pair.put(message) == 1
        assert pair.take(1) == [message]
        assert word(pair.ours, READ_AT) == word(pair.ours, WRITE_AT)
    pair.close()


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, SMALL), min_size=1, max_size=12), max_size=25))
def test_ring_when_sizes_are_any_then_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[int]]
) -> None:
    pair = Pair(tmp_path_factory.mktemp("ring"))
    try:
        waiting: list[bytes] = []
        for number, sizes in enumerate(rounds):
            messages = [bytes([(number + k) % 251]) * size for k, size in enumerate(sizes)]
            waiting += messages[: pair.put(*messages)]
            count = (len(waiting) + 1) // 2
            assert pair.take(count) == waiting[:count]
            del waiting[:count]
        assert pair.take(len(waiting)) == waiting
        assert word(pair.ours, SEMAPHORE_AT) == 0
    finally:
        pair.close()


def test_semaphore_when_we_post_then_glibc_sees_it_and_the_other_way(pair: Pair) -> None:
    theirs = Semaphore(pair.theirs.words.address + SEMAPHORE_AT)
    pair.put(b"1" * 16, b"2" * 16)
    assert theirs.value == 2
    assert theirs.try_wait()
    assert bytes(pair.consumer.take(1, counted=False)[0]) == b"1" * 16
    pair.take(1)
    assert not theirs.try_wait()
    theirs.post()
    assert word(pair.ours, SEMAPHORE_AT) == 1


def test_flow_control_and_reference_count_when_stored_then_read_at_libqbs_offsets(
    pair: Pair,
) -> None:
    pair.ours.set_flow_control(2)
    pair.ours.set_reference_count(0)
    assert (word(pair.theirs, FLOW_AT), word(pair.theirs, REFERENCE_COUNT_AT)) == (2, 0)


# -- lies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "magic"),
    [(5, 0xD0D0D0D0), (5, 0xA110CED0), (5, 0), (SMALL + 1, COMMITTED), (0xFFFFFFFF, COMMITTED)],
)
def test_take_when_a_chunk_is_none_then_ring_broken(pair: Pair, length: int, magic: int) -> None:
    pair.put(b"abcde")
    os.pwrite(pair.theirs.data_fd, struct.pack("<II", length, magic), 0)
    with pytest.raises(RingBroken):
        pair.consumer.take(1)


def test_take_when_nothing_was_written_then_ring_broken(pair: Pair) -> None:
    with pytest.raises(RingBroken):
        pair.consumer.take(1)


@pytest.mark.parametrize("lie", [0, 1, 2, 1_000, 0xFFFFFFFF])
def test_take_when_write_index_lies_then_it_does_not_matter(pair: Pair, lie: int) -> None:
    messages = [b"m" * 3_000, b"n" * 3_000]
    pair.put(*messages)
    scribble(pair.theirs, WRITE_AT, lie)
    assert pair.take(2) == messages


def test_take_when_our_read_index_is_overwritten_then_our_own_is_used(pair: Pair) -> None:
    pair.put(b"a" * 16, b"b" * 16)
    pair.take(1)
    scribble(pair.theirs, READ_AT, 0)
    assert pair.take(1) == [b"b" * 16]


@pytest.mark.parametrize("lie", [0xFFFFFFFF, data_bytes(SMALL, PAGE) // 4, 4_000])
def test_put_when_read_index_lies_then_ring_broken(pair: Pair, lie: int) -> None:
    """4000 lies in what nobody has written: an index may only move towards the writer's."""
    message = b"x" * 5_000
    pair.put(*[message] * 3)
    scribble(pair.ours, READ_AT, lie)
    with pytest.raises(RingBroken):
        pair.put(message)


@pytest.mark.parametrize("size", [0, 1, 4_096, 8_207])
def test_every_operation_when_the_header_is_truncated_then_no_signal(pair: Pair, size: int) -> None:
    pair.put(b"abcdefgh" * 4)
    os.ftruncate(pair.theirs.header_fd, size)
    if size <= 4_096:
        with pytest.raises(RingBroken):
            pair.consumer.take(1)
    producer = Producer(pair.ours)
    if size == 0:
        with pytest.raises(RingBroken):
            pair.ours.load(READ_AT)
    try:
        while producer.put([(5_000, (b"x" * 5_000,))]):
            continue
    except RingBroken:
        pass
    pair.ours.set_flow_control(2)


def test_take_when_the_data_file_is_truncated_then_ring_broken(pair: Pair) -> None:
    pair.put(b"a" * 9_000)
    os.ftruncate(pair.theirs.data_fd, 4_000)
    with pytest.raises(RingBroken):
        pair.consumer.take(1)
    os.ftruncate(pair.theirs.data_fd, 0)
    with pytest.raises(RingBroken):
        Consumer(pair.ours).take(1)


def test_put_when_the_data_file_is_truncated_then_the_file_grows_and_nothing_else(
    pair: Pair,
) -> None:
    os.ftruncate(pair.ours.data_fd, 0)
    assert pair.put(b"abcde") == 1


def test_mapped_words_when_truncated_then_false(pair: Pair) -> None:
    words = pair.ours.words
    os.ftruncate(pair.theirs.header_fd, 0)
    assert not words.add(SEMAPHORE_AT, 1, 1)
    assert not words.clear(READ_AT)
    assert not words.equals(READ_AT, 0)
    os.ftruncate(pair.theirs.header_fd, HEADER_BYTES)
    assert words.add(SEMAPHORE_AT, ADD_MAX)
    assert words.equals(SEMAPHORE_AT, ADD_MAX)


def test_open_ring_when_word_size_lies_then_ring_broken(pair: Pair) -> None:
    scribble(pair.ours, 8, 77)
    with pytest.raises(RingBroken):
        open_ring(pair.base, SMALL)


def test_open_ring_when_header_is_short_then_ring_broken(pair: Pair) -> None:
    os.ftruncate(pair.ours.header_fd, 100)
    with pytest.raises(RingBroken):
        open_ring(pair.base, SMALL)


def test_create_ring_when_a_file_is_there_then_error_and_nothing_is_open(tmp_path: Path) -> None:
    (tmp_path / "qb-event-cpg-header").symlink_to("/etc/passwd")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(FileExistsError):
        create_ring(fd, f"{tmp_path}/qb-event-cpg", SMALL, None)
    os.close(fd)
