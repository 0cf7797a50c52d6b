"""Bounded queues (P22): no queue ever grows beyond its bound.

Counterpart: corosync exec/totemsrp.c (QUEUE_RTR_ITEMS_SIZE_MAX, MESSAGE_QUEUE_MAX).
"""

from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Measured


class BoundedQueues(Checker):
    """Fires on a measurement above its bound."""

    name = "bounded queues"
    properties = (("P22", "no queue grows beyond its bound"),)

    def on_measured(self, record: Measured) -> None:
        """Compare."""
        if record.value > record.bound:
            raise self.fail(record.time, str(record))
