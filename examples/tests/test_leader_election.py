"""leader_election.py, unchanged, on a simulated cluster: one leads, whatever breaks.

pytest -p unisono.testing.plugin --cluster-seeds 20 examples/tests
"""

import asyncio
from collections.abc import Callable

import pytest

from examples import leader_election
from unisono.testing import Cluster


def leaders(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Who said since the last call that it leads."""
    lines = capsys.readouterr().out.splitlines()
    return [line.split()[0] for line in lines if line.endswith("leads (that is me)")]


def test_election_when_the_leaders_machine_goes_then_the_next_one_leads(
    cluster: Callable[..., Cluster], capsys: pytest.CaptureFixture[str]
) -> None:
    c = cluster(3)

    async def main() -> None:
        first = c.spawn(2, leader_election.main)
        await asyncio.sleep(1)
        second = c.spawn(3, leader_election.main)
        await asyncio.sleep(1)
        third = c.spawn(1, leader_election.main)
        await asyncio.sleep(1)
        assert leaders(capsys) == [str(first)]

        c.power_off(2)
        await asyncio.sleep(20)  # virtual: the ring needs its token time-out to notice
        assert leaders(capsys) == [str(second)]

        second.kill()
        await asyncio.sleep(1)  # the local daemon notices at once
        assert leaders(capsys) == [str(third)]

    c.run(main())


def test_election_when_the_network_is_cut_then_each_side_has_a_leader(
    cluster: Callable[..., Cluster], capsys: pytest.CaptureFixture[str]
) -> None:
    c = cluster(3)

    async def main() -> None:
        candidates = {}
        for node in c.nodes:
            candidates[node] = c.spawn(node, leader_election.main)
            await asyncio.sleep(1)
        assert leaders(capsys) == [str(candidates[1])]

        c.partition([1], [2, 3])
        await asyncio.sleep(20)
        assert leaders(capsys) == [str(candidates[2])]

        c.heal()
        await asyncio.sleep(20)
        assert leaders(capsys) == []  # the side of the smallest member keeps its leader

        candidates[1].kill()
        await asyncio.sleep(1)
        assert leaders(capsys) == [str(candidates[2])]

    c.run(main())
