"""Sequence arithmetic wraps as Corosync's does."""

from hypothesis import given
from hypothesis import strategies as st

from unisono.base.ids import (
    SEQ_BEFORE_FIRST,
    seq_add,
    seq_distance,
    seq_less,
    seq_less_equal,
)

SEQS = st.integers(min_value=0, max_value=0xFFFF_FFFF)


@given(SEQS, st.integers(min_value=1, max_value=16_384))
def test_seq_less_when_a_window_apart_then_the_later_is_greater(start: int, count: int) -> None:
    later = seq_add(start, count)
    assert seq_less(start, later)
    assert not seq_less(later, start)


@given(SEQS, SEQS)
def test_seq_distance_when_added_then_arrives(start: int, end: int) -> None:
    assert seq_add(start, seq_distance(start, end)) == end


@given(SEQS)
def test_seq_less_equal_when_same_then_true_and_not_less(seq: int) -> None:
    assert seq_less_equal(seq, seq)
    assert not seq_less(seq, seq)


def test_seq_before_first_when_compared_then_is_below_every_first_number() -> None:
    for first in (0, 1, 2, 64, 16_384):
        assert seq_less(SEQ_BEFORE_FIRST, first)
        assert not seq_less(first, SEQ_BEFORE_FIRST)
