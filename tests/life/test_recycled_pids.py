"""BB2: strangers with the pids of a running daemon's relatives do it no harm."""

from typing import Any

import pytest

from tests.life.island import PIDS_MIN, inside
from tests.life.strangers import recycled

pytestmark = pytest.mark.root
RATE_MIN = 1000


def _judge(found: dict[str, Any], forks: int) -> None:
    visits = found["visits"]
    # The daemon's new keeper may take the number just when it is given out.
    assert visits.pop("recurred") >= found["visited"] - 2
    assert visits == {
        "-v by 0: 0": forks // 8,
        "-v by 65534: 0": forks // 8,
        "-t by 0: 0": forks // 8,
        "-t by 65534: 0": forks // 8,
        "-f by 0: 18": forks // 8,
        "-f by 65534: 17": forks // 8,
        "start by 0: 18": forks // 8,
        "start by 65534: 17": forks // 8,
        "exec: 0": found["visited"] - forks,
    }
    assert found["alive"]
    assert (found["client"], found["missed"], found["end"], found["again"]) == (0, 0, 0, 0)
    assert found["messages per second"] > RATE_MIN
    assert found["files"] == []
    dump = found["dump"]
    assert (dump["status"], dump["damage"], dump["in order"], dump["its own"]) == (
        0,
        [],
        True,
        True,
    )
    assert dump["records"] > 100


@pytest.mark.timeout(150)
def test_bb2_daemon_when_its_relatives_pids_recur_then_no_harm() -> None:
    _judge(inside(recycled, 800, 20, pids=PIDS_MIN, seconds=140), 800)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_bb2_daemon_when_pids_recur_many_thousand_times_then_no_harm() -> None:
    _judge(inside(recycled, 16_000, 200, pids=PIDS_MIN, seconds=1400), 16_000)
