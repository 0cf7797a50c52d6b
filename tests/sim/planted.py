"""Small wrong changes to the ring, each of which some checker must notice.

A planted bug replaces one method of the ring's machine (or of its parts) for one test.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from unisono.base.group import ConfigurationKind, Delivered, StoreRingSeq
from unisono.base.ids import seq_add, seq_less
from unisono.services.cpg import Cpg
from unisono.services.native import Native
from unisono.services.sync import Sync
from unisono.totem import Totem
from unisono.totem.delivery import Delivery
from unisono.totem.packing import SendQueue
from unisono.totem.recovery import Recovery
from unisono.totem.store import RingStore

Plant = Callable[[Any], None]


def _replace(owner: type, name: str, make: Callable[[Any], Any]) -> Plant:
    return lambda patch: patch.setattr(owner, name, make(getattr(owner, name)))


def _skip_recovery(_: Any) -> Any:
    return lambda self, kin: deque()


def _deliver_over_gaps(_: Any) -> Any:
    def deliver_ready(self: Any) -> None:
        store = self._regular
        while store.delivered != store.high:
            store.delivered = seq_add(store.delivered, 1)
            message = store.messages.get(store.delivered)
            if message is not None:
                self._delivery.packet(message, self._effects)

    return deliver_ready


def _forget_transitional(announce: Any) -> Any:
    def wrong(self: Any, kind: ConfigurationKind, *rest: Any) -> None:
        if kind is ConfigurationKind.REGULAR:
            announce(self, kind, *rest)

    return wrong


def _never_store(enter_commit: Any) -> Any:
    def wrong(self: Any, now: Any, commit: Any) -> None:
        enter_commit(self, now, commit)
        self._effects = [e for e in self._effects if not isinstance(e, StoreRingSeq)]

    return wrong


def _store_late(drain: Any) -> Any:
    def wrong(self: Any, now: Any = None) -> list[Any]:
        return sorted(drain(self, now), key=lambda effect: isinstance(effect, StoreRingSeq))

    return wrong


def _all_are_companions(enter_recovery: Any) -> Any:
    def wrong(self: Any, now: Any, commit: Any) -> None:
        enter_recovery(self, now, commit)
        self._trans = tuple(node for node in self._members if node in commit.addr)

    return wrong


def _safe_is_agreed(add: Any) -> Any:
    def wrong(self: Any, message: Any) -> bool:
        message.guarantee = 0
        return bool(add(self, message))

    return wrong


def _one_visit_is_safe(visit: Any) -> Any:
    def wrong(self: Any, token: Any, store: Any, now: Any) -> None:
        self._last_aru = token.aru
        visit(self, token, store, now)

    return wrong


def _release_at_once(visit: Any) -> Any:
    def wrong(self: Any, token: Any, store: Any, now: Any) -> None:
        visit(self, token, store, now)
        if store is self._regular:
            store.release(store.delivered)

    return wrong


def _never_request(_: Any) -> Any:
    return lambda self, token, store: None


def _deaf_to_merge(_: Any) -> Any:
    return lambda self, node, ring_seq, now: None


def _drop_beyond_gaps(_: Any) -> Any:
    def wrong(self: Any, old: Any) -> None:
        old.delivered = old.high

    return wrong


def _deliver_own_twice(open_packet: Any) -> Any:
    def wrong(self: Any, message: Any, effects: list[Any]) -> None:
        open_packet(self, message, effects)
        if message.complete is not None and message.seq % 7 == 0:
            open_packet(self, message, effects)

    return wrong


def _swap_within_packet(open_packet: Any) -> Any:
    def wrong(self: Any, message: Any, effects: list[Any]) -> None:
        before = len(effects)
        open_packet(self, message, effects)
        if message.complete is not None:
            tail = effects[before:]
            if all(isinstance(effect, Delivered) for effect in tail):
                effects[before:] = tail[::-1]

    return wrong


def _flip_a_bit(cut: Any) -> Any:
    def wrong(self: Any, *rest: Any) -> Any:
        packet = cut(self, *rest)
        if packet is not None and packet.complete and len(packet.pieces) > 2:
            last = bytes(packet.pieces[-1])
            packet.pieces[-1] = last[:-1] + bytes([last[-1] ^ 1]) if last else last
        return packet

    return wrong


def _lose_the_partial(restart: Any) -> Any:
    return lambda self: None


def _count_a_hole(add: Any) -> Any:
    def wrong(self: Any, message: Any) -> bool:
        added: bool = add(self, message)
        if added and seq_less(self.aru, self.high):
            self.aru = self.high
        return added

    return wrong


def _keep_ring_seq(join: Any) -> Any:
    def wrong(self: Any, message: Any, now: Any) -> None:
        known = self._token_ring_seq
        join(self, message, now)
        self._token_ring_seq = min(self._token_ring_seq, known)

    return wrong


def _nothing(_: Any) -> Any:
    return lambda self, *rest: None


def _lose_a_block(deliver: Any) -> Any:
    def wrong(self: Any, origin: Any, message: Any) -> None:
        if self.delivered % 9 != 8 or origin == self._cluster.node_id:
            deliver(self, origin, message)
        else:
            self.delivered += 1

    return wrong


def _first_is_enough(_: Any) -> Any:
    return lambda self: True


PLANTED: Final[dict[str, Plant]] = {
    "recovery is skipped": _replace(Recovery, "_messages_to_exchange", _skip_recovery),
    "delivered before the gap is filled": _replace(Totem, "_deliver_ready", _deliver_over_gaps),
    "the transitional view is forgotten": _replace(Totem, "_announce", _forget_transitional),
    "the ring sequence is never stored": _replace(Totem, "_enter_commit", _never_store),
    "companions come from other rings": _replace(Totem, "_enter_recovery", _all_are_companions),
    "safe is agreed": _replace(RingStore, "add", _safe_is_agreed),
    "safe after one rotation": _replace(Totem, "_visit", _one_visit_is_safe),
    "messages are forgotten at once": _replace(Totem, "_visit", _release_at_once),
    "nothing missing is asked for": _replace(Totem, "_request_missing", _never_request),
    "strangers are not heard": _replace(Totem, "_hear_stranger", _deaf_to_merge),
    "the rest of the old ring is dropped": _replace(
        Totem, "_deliver_beyond_gaps", _drop_beyond_gaps
    ),
    "own messages come twice": _replace(Delivery, "_open", _deliver_own_twice),
    "own packets are read backwards": _replace(Delivery, "_open", _swap_within_packet),
    "a bit flips while packing": _replace(SendQueue, "next_packet", _flip_a_bit),
    "half a message goes on to newcomers": _replace(
        SendQueue, "restart_partial", _lose_the_partial
    ),
    "aru passes over a hole": _replace(RingStore, "add", _count_a_hole),
    "ring sequences of others are not learnt": _replace(Totem, "_on_join", _keep_ring_seq),
}
"""What is wrong, and how to plant it with a `MonkeyPatch`."""

PLANTED_IN_SERVICES: Final[dict[str, Plant]] = {
    "the dead stay in their groups": _replace(Cpg, "_remove_downs", _nothing),
    "lists of newcomers are not read": _replace(Cpg, "_add_ups", _nothing),
    "a block is lost on the way to clients": _replace(Native, "_deliver", _lose_a_block),
    "the exchange does not wait for all": _replace(Sync, "_is_complete", _first_is_enough),
}
"""The same for the services; these need clients to be noticed."""
