"""Counters of marks."""

from unisono.base.group import Marked
from unisono.base.marks import Mark
from unisono.observe.counters import Counters


def test_counters_count_by_mark_and_show_only_what_happened():
    counters = Counters()
    for _ in range(3):
        counters.count(Marked(Mark.TOKEN_LOST))
    counters.count(Marked(Mark.DATAGRAM_MALFORMED))
    assert counters.of(Mark.TOKEN_LOST) == 3
    assert counters.of(Mark.SYNC_STARTED) == 0
    assert list(counters.snapshot().items()) == [("datagram_malformed", 1), ("token_lost", 3)]
