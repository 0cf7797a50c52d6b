"""Testing: a simulated cluster for the tests of programs that use Unisono.

Speaks:      the asyncio door to programs (`unisono.connect` and all behind it, unchanged), verbs
             that break things to tests.
Counterpart: trio.testing's clock that jumps; the fault injection of Jepsen, without its machines.
Keeps:       real client, real ring and services, virtual network and time: same seed, same course;
             the simulator's checkers judge every run.
Never:       a socket, a thread, a moment's real waiting.
"""

from unisono.testing.cluster import Cluster, PropertyBroken
from unisono.testing.loop import Stuck
from unisono.testing.process import Process

__all__ = ["Cluster", "Process", "PropertyBroken", "Stuck"]
