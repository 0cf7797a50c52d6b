"""Random receive loss at every host: nothing is lost, nothing changes places, the ring holds."""

from collections.abc import Callable

import pytest

from tests.interop.lab import Lab
from tests.interop.rings import assert_same, ring

PATIENT = {"token": 3000, "token_retransmits_before_loss_const": 30}
"""Repeats a lost token every 99 ms, thirty times: no token is ever given up because of loss."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("percent", [5, 20])
@pytest.mark.parametrize(
    ("kinds", "transport", "family"),
    [
        ring("ccc", "udpu", 4),
        ring("cuc", "udpu", 4),
        ring("ucu", "udp", 4),
        ring("ccuu", "udpu", 6),
        ring("uuu", "udp", 6),
    ],
)
def test_ring_when_datagrams_get_lost_then_all_is_delivered_in_one_order(
    laboratory: Callable[..., Lab], kinds: str, transport: str, family: int, percent: int
) -> None:
    lab = laboratory(kinds, transport, family, totem=PATIENT)
    lab.form()
    lab.marked("start")
    rings_before = lab.rings()
    for n in lab.nodes:
        lab.network.lose(n, percent / 100)
    lab.send(1000, 200)
    lab.finish(timeout=120)
    lab.send(3, 60_000)
    lab.finish(timeout=120)
    assert_same(lab.marked("end"), 1003 * len(kinds))
    assert lab.rings() == rings_before, lab.describe()
