"""Checks: whether a command about authkeys may go to the ring now, and what to do if it may not.

Keeps:       an operator who follows the answers never locks a node out without being told which.
"""

from collections.abc import Sequence

from unisono.base.errors import CsError, UnisonoError, UsageError
from unisono.base.ids import NodeId
from unisono.secure.authkeys import Authkey, Authkeys
from unisono.secure.orders import Command
from unisono.secure.roll import Roll, agreed_active
from unisono.wire.service.keyring import KID_BYTES, Held, Order


class Refusal(UnisonoError):
    """Why a command is not carried out, and what to do instead."""

    def __init__(self, error: CsError, text: str, nodes: Sequence[NodeId] = ()) -> None:
        super().__init__(text)
        self.error = error
        self.nodes = list(nodes)


class Checks:
    """The rules, for one node. All members have spoken when they are asked."""

    __slots__ = ("_cluster", "_roll", "nodes")

    def __init__(self, roll: Roll, cluster: str, nodes: Sequence[NodeId]) -> None:
        self._roll = roll
        self._cluster = cluster
        self.nodes = tuple(sorted(nodes))
        """Those of the configuration."""

    def check(self, order: Order, command: Command, keys: Authkeys) -> tuple[bytes, Authkey | None]:
        """The fingerprint that the order is about, and the key if it is new; Refusal."""
        match order:
            case Order.INSTALL:
                return self._install(command, keys)
            case Order.USE:
                return self._use(command), None
            case Order.REMOVE:
                return self._remove(command, keys), None

    def absent(self) -> list[NodeId]:
        """Nodes of the configuration that are not here."""
        return [node for node in self.nodes if node not in self._roll.members]

    def by_hand(self) -> list[NodeId]:
        """Absent nodes that are not known to have the present key: without it they stay out."""
        roll = self._roll
        active = agreed_active(roll.rows.values())
        return [
            node
            for node in self.absent()
            if node not in roll.known or active not in roll.known[node].accepted
        ]

    def _install(self, command: Command, keys: Authkeys) -> tuple[bytes, Authkey | None]:
        roll = self._roll
        if not command.argument:
            if roll.wanted is None:
                raise Refusal(CsError.NOT_EXIST, "no key is being installed: name a file with one")
            return roll.wanted, None
        try:
            key = Authkey.of(command.argument, self._cluster)
        except UsageError as error:
            raise Refusal(CsError.INVALID_PARAM, str(error)) from None
        if problem := install_problem(roll, key.kid):
            raise Refusal(CsError.EXIST, problem)
        if keys.previous is not None and not command.is_forced:
            text = (
                f"the previous key {keys.previous.kid.hex()} is still accepted: "
                "`unisono keyring remove` it first, or --force"
            )
            raise Refusal(CsError.BAD_OPERATION, text)
        return key.kid, key

    def _use(self, command: Command) -> bytes:
        roll = self._roll
        rows = roll.rows.values()
        kid = _given(command) or roll.wanted
        if kid is None:
            text = "there is no next key: `unisono keyring install` one first"
            raise Refusal(CsError.NOT_EXIST, text)
        if kid != roll.wanted:
            what = "is active already" if kid == agreed_active(rows) else "is not the next key"
            raise Refusal(CsError.NOT_EXIST, f"{kid.hex()} {what}")
        lacking = roll.lacking(kid)
        if len(lacking) == len(roll.members):
            text = f"nobody holds {kid.hex()} yet: `unisono keyring install` it first"
            raise Refusal(CsError.NOT_EXIST, text)
        if lacking and not command.is_forced:
            text = (
                "these nodes do not hold it yet: `unisono keyring install` without a file goes on "
                "telling them; with --force they learn it later"
            )
            raise Refusal(CsError.BAD_OPERATION, text, lacking)
        return kid

    def _remove(self, command: Command, keys: Authkeys) -> bytes:
        roll = self._roll
        rows = roll.rows
        kid = _given(command)
        if kid is None:
            known = [keys.previous.kid] if keys.previous is not None else []
            known += [held.previous for held in rows.values() if held.previous is not None]
            if not known:
                raise Refusal(CsError.NOT_EXIST, "there is no previous key")
            kid = known[0]
        if roll.is_active(kid):
            using = sorted(node for node, held in rows.items() if held.active == kid)
            text = "these nodes still begin with it: `unisono keyring use` the next key first"
            raise Refusal(CsError.BAD_OPERATION, text, using)
        if kid != roll.wanted and not any(kid in held.accepted for held in rows.values()):
            raise Refusal(CsError.NOT_EXIST, f"nobody holds {kid.hex()}")
        return kid


def install_problem(roll: Roll, kid: bytes) -> str:
    """Why the key may not become the next one; "" when it may. Alike at all members."""
    shown = kid.hex()
    if role := roll.role_elsewhere(kid):
        return f"key {shown} {role}: make a new one with `unisono keygen` or --generate"
    if roll.wanted not in (None, kid):
        return (
            f"key {roll.wanted.hex() if roll.wanted else ''} is being installed: "
            "`unisono keyring use` it, or `remove` it by its fingerprint"
        )
    return ""


def show(roll: Roll, nodes: Sequence[NodeId], keys: Authkeys) -> dict[str, object]:
    """Who holds what, as fingerprints: plain values only."""
    listed = sorted({*nodes, *roll.members})
    return {
        **_row(keys.held(0)),
        "is_settled": roll.is_complete
        and len({held.active for held in roll.rows.values()}) == 1
        and (roll.wanted is None or not roll.lacking(roll.wanted)),
        "nodes": [
            {
                "node": node,
                "is_present": node in roll.members,
                **(_row(roll.known[node]) if node in roll.known else {}),
            }
            for node in listed
        ],
    }


def _row(held: Held) -> dict[str, object]:
    return {
        "active": held.active.hex(),
        "next": held.next.hex() if held.next else None,
        "previous": held.previous.hex() if held.previous else None,
        "retired": [kid.hex() for kid in held.retired],
    }


def _given(command: Command) -> bytes | None:
    """The fingerprint that was named, if one was; Refusal."""
    if command.argument and len(command.argument) != KID_BYTES:
        raise Refusal(CsError.INVALID_PARAM, "a fingerprint has 8 hexadecimal digits")
    return command.argument or None
