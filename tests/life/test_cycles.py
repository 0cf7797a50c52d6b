"""Many lives leave nothing behind: no file, shared memory, process, descriptor or socket."""

import pytest

from tests.life import cycles

pytestmark = pytest.mark.root
RING_SEQ_STEP_MIN = 4


def _judge(count: int) -> None:
    found = cycles.run(count)
    assert found["statuses"] == {"[0, 0, 0, 18, 0]": count}
    assert found["differences"] == {}
    assert found["ring sequence"] >= RING_SEQ_STEP_MIN * (count + cycles.WARM_UP)


@pytest.mark.timeout(300)
def test_daemon_when_it_lived_a_hundred_times_then_nothing_is_left() -> None:
    _judge(100)


@pytest.mark.slow
@pytest.mark.timeout(20_100)
def test_daemon_when_it_lived_ten_thousand_times_then_nothing_is_left() -> None:
    _judge(10_000)
