"""Rings of Corosync and Unisono form, and order a heavy load the same everywhere."""

from collections.abc import Callable

import pytest

from tests.interop.lab import Lab
from tests.interop.rings import NETS, assert_same, ring

STEADY = {"token": 3000}
"""Nobody fails here: a machine that is busy with other things must not look like a failure."""
SMALL, SMALL_BYTES = 5000, 64
LARGE, LARGE_BYTES = 20, 300_000
TWO_NETS = ("cu", "uc", "ccu", "cuc", "ucc", "cuu", "ucu", "uuc", "cccu", "cuuc")
ONE_NET = ("cucc", "uccc", "uccu", "ccuu", "cucuc", "uccuc", "ccuuc")
CONTROLS = [ring("ccc", *net) for net in NETS] + [ring("cc", "udpu", 4)]
OURS = [ring("u", "udpu", 4), ring("uu", "udp", 4), ring("uuu", "udpu", 6), ring("uuu", "udp", 6)]
RINGS = [
    ring(kinds, *net) for row, kinds in enumerate(TWO_NETS) for net in NETS[2 * (row % 2) :][:2]
] + [ring(kinds, *NETS[row % len(NETS)]) for row, kinds in enumerate(ONE_NET)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("kinds", "transport", "family"), CONTROLS + OURS + RINGS)
def test_ring_when_every_member_sends_a_burst_and_large_messages_then_order_is_the_same(
    laboratory: Callable[..., Lab], kinds: str, transport: str, family: int
) -> None:
    lab = laboratory(kinds, transport, family, totem=STEADY)
    lab.form()
    lab.marked("start")
    rings_before = lab.rings()
    lab.send(SMALL, SMALL_BYTES)
    lab.finish()
    lab.send(LARGE, LARGE_BYTES)
    lab.finish(timeout=120)
    assert_same(lab.marked("end"), len(kinds) * (SMALL + LARGE))
    assert lab.rings() == rings_before, lab.describe()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("starts", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
@pytest.mark.parametrize("kinds", ["ccc", "cuc", "ucu"])
def test_ring_when_members_start_one_after_another_then_each_joins_the_others(
    laboratory: Callable[..., Lab], kinds: str, starts: tuple[int, ...]
) -> None:
    lab = laboratory(kinds)
    for count, node in enumerate(starts, 1):
        lab.start(node)
        lab.wait_views(starts[:count])
    rings = [client.last("ring") for client in lab.clients.values()]
    assert all(ring is not None and ring["rep"] == 1 for ring in rings)
