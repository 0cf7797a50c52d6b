"""Rotation: the authkeys change while the ring turns, in the ring's order, and all nodes follow.

Speaks:      the machine's five verbs (requests and effects: orders); messages of
             wire.service.keyring on the ring, ROTATE records in sessions.
Counterpart: Serf's key ring (install, use, remove).
Keeps:       an order takes effect at its place in the ring's order; what a node says that it holds
             is on its disk; every node accepts a key before any begins with it; whoever missed an
             order is told. Sessions and sender keys never change.
Never:       a byte of a key on the ring.
"""

from collections.abc import Sequence
from typing import Final

from unisono.base.errors import UsageError, WireError
from unisono.base.group import Marked, Multicast
from unisono.base.ids import SECOND, Nanos, NodeId
from unisono.base.keyring import KeyringView
from unisono.base.limits import KEY_TELLINGS_MAX, KEY_TELLINGS_OUTSIDE_MAX
from unisono.base.marks import Mark
from unisono.secure.authkeys import Authkey, Authkeys
from unisono.secure.checks import Checks, install_problem
from unisono.secure.context import Context
from unisono.secure.events import Adopted, KeysChanged, KeyTold, Tell
from unisono.secure.operators import Operators
from unisono.secure.orders import Command, Effect, Event, Request, Stored, StoreKeys
from unisono.secure.roll import Roll, agreed_active, retired_of
from unisono.secure.told import TELL_AGAIN_NS, Assembly, Telling, Tellings
from unisono.wire.service.header import GROUP_NATIVE
from unisono.wire.service.keyring import Held, Order, Ordered, decode_keyring, encode_held
from unisono.wire.service.native import encode_keyring
from unisono.wire.ust.records import rotate_records

STORE_AGAIN_NS: Final = 5 * SECOND


class Rotation:
    """The authkeys of one node."""

    __slots__ = (
        "_assemblies", "_checks", "_context", "_early", "_effects", "_installs", "_keys",
        "_operators", "_roll", "_serial", "_store_at", "_stored", "_tellings",
    )  # fmt: skip

    def __init__(self, context: Context, keys: Authkeys, nodes: Sequence[NodeId]) -> None:
        """`keys` are on the disk; `nodes` those of the configuration."""
        self._context = context
        self._keys = self._stored = keys
        self._roll = Roll()
        self._checks = Checks(self._roll, context.cluster, nodes)
        self._operators = Operators(self._roll, self._checks)
        self._tellings = Tellings()
        self._assemblies = {node: Assembly() for node in nodes if node != context.me}
        self._effects: list[Effect] = []
        self._serial = 0
        self._installs = b""
        """The key that an operator of this node installs: nobody else has it yet."""
        self._early: Authkey | None = None
        """A key that was told before the order to install it was read here."""
        self._store_at: Nanos | None = None
        keys.put_into(context.ring)

    def reconfigure(self, nodes: Sequence[NodeId]) -> None:
        """Other nodes are in the configuration."""
        self._checks.nodes = tuple(sorted(nodes))
        known = self._assemblies
        others = (node for node in nodes if node != self._context.me)
        self._assemblies = {node: known.get(node, Assembly()) for node in others}

    # -- the verbs ---------------------------------------------------------------------------------

    def receive(self, event: Event, now: Nanos) -> None:
        """A message or a change of the ring, in its order."""
        if isinstance(event, KeyringView):
            self._tellings = Tellings()
            self._installs = b""
            self._early = None
            self._roll.begin(event.members)
            self._say_held()
            return
        try:
            message = decode_keyring(event.body)
        except WireError as error:
            self._mark(Mark.SERVICE_MESSAGE_MALFORMED, event.origin, str(error))
            return
        if isinstance(message, Held):
            if self._roll.note(event.origin, message):
                self._settle(now)
        else:
            self._on_order(event.origin, message, now)
        self._follow(now)

    def submit(self, request: Request, now: Nanos) -> None:
        """A command of an operator, or news from the disk and the sessions."""
        match request:
            case Command():
                self._operators.submit(request, self._keys, now)
            case Stored():
                self._on_stored(request, now)
            case Adopted():
                self._on_adopted(request, now)
            case KeyTold():
                try:
                    self._on_told(request)
                except (WireError, UsageError) as error:
                    self._mark(Mark.KEY_REFUSED, request.node, str(error))
        self._follow(now)

    def expire(self, now: Nanos) -> None:
        """Tell again, store again, end commands that have waited for long enough."""
        if self._store_at is not None and self._store_at <= now:
            self._store_at = None
            self._effects.append(StoreKeys(self._keys))
        for node, telling in self._tellings.take(now):
            self._tell(node, telling)
        self._operators.expire(now)

    def deadline(self) -> Nanos | None:
        """When `expire` has something to do."""
        dues = self._store_at, self._tellings.deadline, self._operators.deadline
        return min((due for due in dues if due is not None), default=None)

    def drain(self) -> list[Effect]:
        """Everything to be done since the last call, in order."""
        effects = self._effects + self._operators.effects
        self._effects, self._operators.effects = [], []
        return effects

    @property
    def keys(self) -> Authkeys:
        """The keys by role."""
        return self._keys

    # -- orders ------------------------------------------------------------------------------------

    def _on_order(self, origin: NodeId, message: Ordered, now: Nanos) -> None:
        """Orders that came before every member had spoken are void, at all members alike."""
        refusal = self._refusal(message) if self._roll.is_complete else None
        is_own = origin == self._context.me
        key = self._operators.ordered(message, refusal) if is_own else None
        if refusal == "":
            self._carry_out(message, key)
            self._settle(now)

    def _refusal(self, message: Ordered) -> str:
        """Why the order has no effect, by what all members know; "" when it has one."""
        roll, kid = self._roll, message.kid
        match message.order:
            case Order.INSTALL:
                return install_problem(roll, kid)
            case Order.USE:
                return "" if kid == roll.wanted else f"{kid.hex()} is not the next key any more"
            case Order.REMOVE:
                return f"{kid.hex()} is active" if roll.is_active(kid) else ""

    def _carry_out(self, message: Ordered, key: Authkey | None) -> None:
        keys = self._keys
        self._roll.take(message)
        self._tellings = Tellings()
        match message.order:
            case Order.INSTALL:
                if key is not None:
                    self._installs = key.kid
                elif self._early is not None and self._early.kid == message.kid:
                    key = self._early
                self._early = None
                if key is not None:
                    self._change(keys.holding(key))
            case Order.USE:
                found = keys.find(message.kid)
                if found is not None:
                    self._change(keys.using(found))
            case Order.REMOVE:
                self._change(keys.without([message.kid]))

    # -- what this node holds ----------------------------------------------------------------------

    def _change(self, keys: Authkeys) -> None:
        former = self._keys
        if keys == former:
            return
        self._keys = keys
        keys.put_into(self._context.ring)
        self._effects.append(StoreKeys(keys))
        if keys.active != former.active:
            self._mark(Mark.KEY_USED, 0, keys.active.kid.hex())
            self._effects.append(KeysChanged())
        if keys.next is not None and keys.next != former.next:
            self._mark(Mark.KEY_INSTALLED, 0, keys.next.kid.hex())
        for kid in keys.retired:
            if former.find(kid) is not None:
                self._mark(Mark.KEY_REMOVED, 0, kid.hex())

    def _on_stored(self, stored: Stored, now: Nanos) -> None:
        if stored.problem:
            self._mark(Mark.KEYS_NOT_STORED, 0, stored.problem)
            self._store_at = Nanos(now + STORE_AGAIN_NS)
        else:
            self._stored = stored.keys
            self._say_held()

    def _say_held(self) -> None:
        self._serial += 1
        body = encode_held(self._stored.held(self._serial))
        self._effects.append(Multicast(GROUP_NATIVE, encode_keyring(body)))

    def _rows(self) -> list[Held]:
        """What all hold, as far as it is known: of this node the truth, which may be on its way."""
        rows = dict(self._roll.rows)
        rows[self._context.me] = self._keys.held(0)
        return list(rows.values())

    def _settle(self, now: Nanos) -> None:
        """Follow the others where this node has missed something, and tell those that have."""
        if not self._roll.is_complete:
            return
        rows = self._rows()
        self._change(self._keys.learning(retired_of(rows)))
        active = agreed_active(rows)
        key = self._keys.find(active)
        if key is not None:
            self._change(self._keys.using(key))
        self._plan(active, now)

    def _plan(self, active: bytes, now: Nanos) -> None:
        """Whom this node must tell which key."""
        roll, me = self._roll, self._context.me
        for node, held in roll.rows.items():
            kid, is_active = (active, True) if held.active != active else (roll.wanted, False)
            if node == me or kid is None or roll.teller(kid) != me:
                self._tellings.drop(node)
            elif is_active or kid not in held.accepted:
                # What the others have is perhaps on its way to us: only the installer is sure.
                due = now if kid == self._installs else Nanos(now + TELL_AGAIN_NS)
                self._tellings.want(node, Telling(kid, is_active, due, KEY_TELLINGS_MAX))
            else:
                self._tellings.drop(node)

    # -- keys in sessions --------------------------------------------------------------------------

    def _tell(self, node: NodeId, telling: Telling) -> None:
        key = self._keys.find(telling.kid)
        if key is None:
            return
        records = rotate_records(key.kid, key.raw, is_active=telling.is_active)
        self._effects += [Tell(node, record) for record in records]
        if not telling.left and node in self._roll.members:
            self._mark(Mark.KEY_NOT_TAKEN, node, key.kid.hex())

    def _on_adopted(self, adopted: Adopted, now: Nanos) -> None:
        """A node that begins with the former key has slept through its replacement."""
        previous = self._keys.previous
        if previous is None or adopted.kid != previous.kid or adopted.node in self._roll.members:
            return
        kid = self._keys.active.kid
        self._tellings.drop(adopted.node)
        self._tellings.want(adopted.node, Telling(kid, True, now, KEY_TELLINGS_OUTSIDE_MAX))

    def _on_told(self, told: KeyTold) -> None:
        """A piece of a key. WireError, UsageError when what it makes is none."""
        assembly = self._assemblies.get(told.node)
        raw = assembly.add(told.record) if assembly is not None else None
        if raw is None:
            return
        key = Authkey.of(raw, self._context.cluster)
        if key.kid != told.record.kid:
            raise WireError(f"authkey {key.kid.hex()} told as {told.record.kid.hex()}")
        if told.record.is_active:
            if self._may_use(told.node, key.kid):
                self._change(self._keys.using(key))
        elif self._roll.is_complete and key.kid == self._roll.wanted:
            self._change(self._keys.holding(key))
        else:
            self._early = key

    def _may_use(self, teller: NodeId, kid: bytes) -> bool:
        """Whether a key is newer than ours, as the members agree, or as a node beside us says."""
        keys, roll = self._keys, self._roll
        if kid in keys.retired:
            return False
        if teller in roll.members:
            return roll.is_complete and kid == agreed_active(self._rows())
        return keys.previous is None or kid != keys.previous.kid

    # -- both --------------------------------------------------------------------------------------

    def _follow(self, now: Nanos) -> None:
        """After anything: the operators hear of it, and what became due is told."""
        self._operators.step(self._keys)
        for node, telling in self._tellings.take(now):
            self._tell(node, telling)

    def _mark(self, mark: Mark, a: int, text: str) -> None:
        self._effects.append(Marked(mark, a, 0, text))
