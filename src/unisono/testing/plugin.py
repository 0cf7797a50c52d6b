"""The pytest plugin: `pytest_plugins = ["unisono.testing.plugin"]` in the topmost conftest.py.

Speaks:      the fixture `cluster`: `cluster(3)` builds a Cluster; the options `--cluster-seed N`
             and `--cluster-seeds COUNT`: every test that uses it runs once for each seed.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import pytest

from unisono.testing.cluster import Cluster

MakeCluster: TypeAlias = Callable[..., Cluster]
_SEED: Final = "cluster_seed"
_SEEDS: Final = "cluster_seeds"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many seeds, and from which on."""
    group = parser.getgroup("unisono", "simulated clusters")
    group.addoption("--cluster-seed", type=int, default=1, help="first seed of `cluster`")
    group.addoption("--cluster-seeds", type=int, default=1, help="number of seeds of `cluster`")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each seed."""
    if _SEED in metafunc.fixturenames:
        first = metafunc.config.getoption(_SEED, 1)
        number = metafunc.config.getoption(_SEEDS, 1)
        seeds = range(first, first + number)
        metafunc.parametrize(_SEED, seeds, ids=[f"seed{seed}" for seed in seeds])


@pytest.fixture
def cluster(cluster_seed: int) -> MakeCluster:
    """`cluster(nodes)`: a simulated cluster with this test's seed (or `seed=` of your own)."""
    return partial(Cluster, seed=cluster_seed)
