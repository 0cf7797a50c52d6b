"""The replay window against a set that remembers everything."""

from hypothesis import given
from hypothesis import strategies as st

from unisono.crypto.replay import Window

SIZE = 64


@given(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1)), max_size=200))
def test_window_when_fed_anything_then_nothing_twice_and_nothing_older(counters: list[int]) -> None:
    window, seen, top = Window(SIZE), set[int](), -1
    for counter in counters:
        expected = counter not in seen and counter > top - SIZE
        assert window.accept(counter) is expected
        seen.add(counter)
        top = max(top, counter)


def test_window_when_the_last_of_it_comes_late_then_accepted_once() -> None:
    window = Window(SIZE)
    assert window.accept(SIZE - 1)
    assert window.accept(0)
    assert not window.accept(0)
    assert window.accept(SIZE)
    assert not window.accept(0)


def test_window_when_a_counter_is_huge_then_costs_no_memory() -> None:
    window = Window(SIZE)
    assert window.accept(2**64 - 1)
    assert window.accept(2**64 - SIZE)
    assert not window.accept(5)


@given(start=st.integers(1, 1000), back=st.integers(1, 200))
def test_window_when_it_starts_late_then_nothing_before_is_accepted(start: int, back: int) -> None:
    window = Window(SIZE, start)
    assert not window.accept(max(0, start - back))
    assert window.accept(start)
    assert not window.accept(start)


@given(
    st.integers(0, 100),
    st.lists(st.integers(0, 300), max_size=50),
    st.one_of(st.integers(0, 400), st.just(2**64 - 1)),
)
def test_window_when_asked_what_it_has_seen_then_tells_what_it_would_refuse(
    start: int, counters: list[int], asked: int
) -> None:
    window = Window(SIZE, start)
    for counter in counters:
        window.accept(counter)
    seen = window.has_seen(asked)
    assert window.has_seen(asked) is seen
    assert window.accept(asked) is not seen
