"""The ring-id file."""

import os
import struct

import pytest

from unisono.executive.ring_store import RingStore, RingStoreError


def test_load_when_there_is_no_file_is_zero(tmp_path):
    assert RingStore(str(tmp_path), 3).load() == 0


def test_store_then_load_gives_the_sequence_in_corosyncs_form(tmp_path):
    store = RingStore(str(tmp_path), 4_000_000_000)
    store.store(0x1_0000_0004)
    path = tmp_path / "ringid_4000000000"
    assert path.read_bytes() == struct.pack("=Q", 0x1_0000_0004)
    assert path.stat().st_mode & 0o777 == 0o600
    assert store.load() == 0x1_0000_0004
    assert os.listdir(tmp_path) == [path.name]


def test_store_replaces_the_file_and_never_writes_into_it(tmp_path):
    store = RingStore(str(tmp_path), 1)
    store.store(1)
    with store.path.open("rb") as before:
        store.store(2)
        assert before.read() == struct.pack("=Q", 1)
    assert store.load() == 2


def test_store_when_an_earlier_attempt_was_cut_off_succeeds(tmp_path):
    store = RingStore(str(tmp_path), 1)
    (tmp_path / ".ringid_1.new").write_bytes(b"half")
    store.store(7)
    assert store.load() == 7


@pytest.mark.parametrize("content", [b"", b"1234567", b"123456789"])
def test_load_when_the_file_is_damaged_begins_at_zero(tmp_path, content):
    store = RingStore(str(tmp_path), 1)
    store.path.write_bytes(content)
    assert store.is_damaged
    assert store.load() == 0


def test_store_when_the_directory_is_missing_says_so(tmp_path):
    with pytest.raises(RingStoreError, match=r"cannot store .*ringid_1: No such file"):
        RingStore(str(tmp_path / "none"), 1).store(5)


def test_load_when_it_is_no_file_says_so(tmp_path):
    (tmp_path / "ringid_1").mkdir()
    with pytest.raises(RingStoreError, match="cannot read"):
        RingStore(str(tmp_path), 1).load()
