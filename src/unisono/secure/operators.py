"""Operators: the commands that wait for the ring, from the question to the last acknowledgement.

Keeps:       an order is sent when every member has spoken, and again when it was delivered before
             that; what is answered is what the members have on their disks.
Never:       changes a key: orders do, at their place in the ring's order (rotation).
"""

from enum import Enum
from typing import Final

from unisono.base.errors import CsError
from unisono.base.group import Multicast
from unisono.base.ids import Nanos, NodeId
from unisono.base.limits import KEYRING_COMMANDS_MAX
from unisono.secure.authkeys import Authkey, Authkeys
from unisono.secure.checks import Checks, Refusal, show
from unisono.secure.orders import Answered, Command, Effect, Progress
from unisono.secure.roll import Roll
from unisono.wire.native import Verb
from unisono.wire.service.header import GROUP_NATIVE
from unisono.wire.service.keyring import Order, Ordered, encode_ordered
from unisono.wire.service.native import encode_keyring

_ORDERS: Final[dict[int, Order]] = {
    Verb.INSTALL: Order.INSTALL,
    Verb.USE: Order.USE,
    Verb.REMOVE: Order.REMOVE,
}


class _Phase(Enum):
    READY = "ready"
    """To be checked and sent as soon as every member has spoken."""
    SENT = "sent"
    RUNNING = "running"
    """Ordered: the members do it."""


class _Pending:
    """One command on its way."""

    __slots__ = ("command", "deadline", "done", "key", "kid", "order", "phase")

    def __init__(self, command: Command, order: Order, now: Nanos) -> None:
        self.command = command
        self.order = order
        self.deadline = Nanos(now + command.timeout_ns)
        self.phase = _Phase.READY
        self.kid = b""
        self.key: Authkey | None = None
        self.done: list[NodeId] | None = None
        """The members that were last told to have done it."""


class Operators:
    """The commands of one node's operators."""

    __slots__ = ("_checks", "_pending", "_roll", "effects")

    def __init__(self, roll: Roll, checks: Checks) -> None:
        self._roll = roll
        self._checks = checks
        self._pending: list[_Pending] = []
        self.effects: list[Effect] = []

    # -- from the rotation -------------------------------------------------------------------------

    def submit(self, command: Command, keys: Authkeys, now: Nanos) -> None:
        """Take a command; its answer comes now or later."""
        order = _ORDERS.get(command.verb)
        if command.verb == Verb.SHOW:
            self._answer(command, CsError.OK, show(self._roll, self._checks.nodes, keys))
        elif order is None:
            self._answer(command, CsError.NOT_SUPPORTED, {"text": "this daemon cannot do that"})
        elif len(self._pending) >= KEYRING_COMMANDS_MAX:
            text = "too many commands wait for other nodes: try again later"
            self._answer(command, CsError.TRY_AGAIN, {"text": text})
        else:
            self._pending.append(_Pending(command, order, now))
            self.step(keys)

    def ordered(self, message: Ordered, refusal: str | None) -> Authkey | None:
        """An own order has its place; returns the key when it was the order to install one.

        `refusal` says why the order is without effect, "" if it has one; None: it came before every
        member had spoken, and is sent again.
        """
        for pending in self._pending:
            if pending.phase is not _Phase.SENT:
                continue
            if (pending.order, pending.kid) != (message.order, message.kid):
                continue
            if refusal is None:
                pending.phase = _Phase.READY
            elif refusal:
                self._end(pending, CsError.BUSY, {"text": refusal})
            else:
                pending.phase = _Phase.RUNNING
                return pending.key
            break
        return None

    def step(self, keys: Authkeys) -> None:
        """Something changed: send what can be sent, tell how far it is, end what is done."""
        if not self._roll.is_complete:
            return
        for pending in list(self._pending):
            if pending.phase is _Phase.RUNNING:
                self._follow(pending)
            if pending.phase is _Phase.READY:
                self._send(pending, keys)

    @property
    def deadline(self) -> Nanos | None:
        """When the first of them has waited for long enough."""
        return min((pending.deadline for pending in self._pending), default=None)

    def expire(self, now: Nanos) -> None:
        """End those that have waited for long enough."""
        for pending in list(self._pending):
            if pending.deadline <= now:
                self._end(pending, CsError.TIMEOUT, self._overdue(pending))

    # -- inside ------------------------------------------------------------------------------------

    def _send(self, pending: _Pending, keys: Authkeys) -> None:
        try:
            pending.kid, pending.key = self._checks.check(pending.order, pending.command, keys)
        except Refusal as refusal:
            body: dict[str, object] = {"text": str(refusal), "missing": refusal.nodes}
            self._end(pending, refusal.error, body)
            return
        pending.phase = _Phase.SENT
        body_bytes = encode_ordered(Ordered(pending.order, pending.kid))
        self.effects.append(Multicast(GROUP_NATIVE, encode_keyring(body_bytes)))

    def _follow(self, pending: _Pending) -> None:
        roll = self._roll
        if pending.order is Order.INSTALL and self._is_forgotten(pending.kid):
            pending.phase = _Phase.READY
            return
        missing = self._missing(pending)
        done = [node for node in roll.members if node not in missing]
        if not missing:
            self._end(pending, CsError.OK, self._finished(pending))
        elif done != pending.done:
            pending.done = done
            body: dict[str, object] = {
                "kid": pending.kid.hex(),
                "done": done,
                "missing": missing,
            }
            command = pending.command
            self.effects.append(Progress(command.client, command.request, body))

    def _is_forgotten(self, kid: bytes) -> bool:
        """Whether the ring changed before anybody had the key: its installation begins anew."""
        roll = self._roll
        return roll.wanted != kid and not any(kid in held.accepted for held in roll.rows.values())

    def _missing(self, pending: _Pending) -> list[NodeId]:
        roll, kid = self._roll, pending.kid
        match pending.order:
            case Order.INSTALL:
                return roll.lacking(kid)
            case Order.USE:
                return roll.not_using(kid)
            case Order.REMOVE:
                return roll.keeping(kid)

    def _finished(self, pending: _Pending) -> dict[str, object]:
        body: dict[str, object] = {
            "kid": pending.kid.hex(),
            "done": list(self._roll.members),
            "missing": [],
            "absent": self._checks.absent(),
        }
        if pending.order is Order.REMOVE:
            body["by_hand"] = self._checks.by_hand()
        return body

    def _overdue(self, pending: _Pending) -> dict[str, object]:
        roll = self._roll
        body: dict[str, object] = {"kid": pending.kid.hex(), "absent": self._checks.absent()}
        silent = [node for node in roll.members if node not in roll.rows]
        if silent or not roll.members:
            body |= {"text": "these nodes did not say what they hold", "missing": silent}
        else:
            missing = self._missing(pending)
            text = "these nodes did not acknowledge in time; their logs tell why"
            body |= {"text": text, "missing": missing}
            body["done"] = [node for node in roll.members if node not in missing]
        return body

    def _end(self, pending: _Pending, error: CsError, body: dict[str, object]) -> None:
        self._pending.remove(pending)
        self._answer(pending.command, error, body)

    def _answer(self, command: Command, error: CsError, body: dict[str, object]) -> None:
        self.effects.append(Answered(command.client, command.request, error, body))
