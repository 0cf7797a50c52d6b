"""Runs are sequences of datagrams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import UsageError
from unisono.base.run import Run


@given(st.binary(min_size=1, max_size=300), st.integers(1, 400))
def test_run_is_the_sequence_of_its_datagrams(data: bytes, step: int) -> None:
    datagrams = [data[at : at + step] for at in range(0, len(data), step)]
    run = Run(data, step)
    assert list(run) == run.cut() == datagrams
    assert len(run) == len(datagrams)
    assert [run[at] for at in range(len(run))] == datagrams
    assert run[-1] == datagrams[-1]
    assert run[1:] == datagrams[1:]


def test_run_when_asked_beyond_its_end_then_index_error() -> None:
    with pytest.raises(IndexError):
        _ = Run(b"abc", 2)[2]


@pytest.mark.parametrize(("data", "step"), [(b"", 1), (b"abc", 0), (b"abc", -1)])
def test_run_of_nothing_is_refused(data: bytes, step: int) -> None:
    with pytest.raises(UsageError, match="run of"):
        Run(data, step)
