"""Delivery view (P2): a message is delivered in the ring that ordered it, or its transitional view.

Counterpart: extended virtual synchrony, specification 1 (configuration of origin).
"""

from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Delivered, Installed, Process, Ring


class DeliveryView(Checker):
    """Fires when a message of another ring, or before the first view, is delivered."""

    name = "delivery view"
    properties = (
        ("P2", "a message is delivered in the view of its ring, or the transitional view after it"),
    )

    def __init__(self) -> None:
        self._ring: dict[Process, Ring] = {}

    def on_installed(self, record: Installed) -> None:
        """Between the transitional and the regular view the old ring still counts."""
        if record.regular:
            self._ring[record.who] = record.ring

    def on_delivered(self, record: Delivered) -> None:
        """The message's ring must be the one installed last."""
        ring = self._ring.get(record.who)
        if ring is None:
            raise self.fail(record.time, f"delivered before the first view: {record}")
        if record.ring != ring:
            raise self.fail(record.time, f"delivered while in ring {ring}: {record}")
