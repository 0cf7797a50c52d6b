"""Our Python client before Debian's Corosync, and beside libcpg programs in the same group."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.lab import Lab
from tests.interop.rings import assert_same

pytestmark = pytest.mark.timeout(120)
PY_NODE = str(Path(__file__).with_name("py_node.py"))


@pytest.mark.parametrize("ipc", ["shm", "socket"])
@pytest.mark.parametrize(
    ("kinds", "protocols"),
    [
        pytest.param("cc", {1: "auto"}, id="corosync-auto"),
        pytest.param("ccc", {1: "qb", 3: "qb"}, id="corosync-qb"),
        pytest.param("cu", {2: "native"}, id="mixed-native"),
        pytest.param("cu", {1: "auto", 2: "auto"}, id="mixed-auto"),
        pytest.param("uu", {2: "qb"}, id="ours-qb"),
        pytest.param("uuu", {1: "native", 3: "native"}, id="ours-native-beside-libcpg"),
        pytest.param("uuu", {1: "native", 2: "native", 3: "native"}, id="ours-native"),
    ],
)
def test_group_when_python_and_libcpg_members_send_then_order_is_the_same(
    laboratory: Callable[..., Lab], kinds: str, protocols: dict[int, str], ipc: str
) -> None:
    lab = laboratory(kinds, system={"qb_ipc_type": ipc})
    lab.form()
    for n, protocol in protocols.items():
        lab.join(n, [sys.executable, PY_NODE, protocol])
    lab.wait_views()
    lab.marked("start")
    lab.send(1000, 100)
    lab.finish()
    lab.send(5, 100_000)
    lab.finish()
    lab.send(2, 1_000_000)
    lab.finish()
    assert_same(lab.marked("end"), 1007 * len(kinds))
