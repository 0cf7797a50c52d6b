"""Rotation of authkeys: every order of events, nodes that sleep through it, operators at odds."""

import pytest

from tests.secure.rotating import KEYS, NEW, OLD, OTHER, World
from unisono.base.errors import CsError
from unisono.base.group import Multicast
from unisono.base.ids import SECOND, ClientId, Nanos, NodeId
from unisono.base.keyring import KeyringDelivered, KeyringView
from unisono.base.marks import Mark
from unisono.crypto.sender_keys import CIPHERS
from unisono.secure.authkeys import Authkey, Authkeys
from unisono.secure.context import Context, Keyring
from unisono.secure.events import KeyTold, Tell
from unisono.secure.orders import Command, Effect, StoreKeys
from unisono.secure.roll import Roll
from unisono.secure.rotation import Rotation
from unisono.secure.told import Assembly
from unisono.wire.native import Verb
from unisono.wire.service.keyring import (
    Order,
    Ordered,
    decode_keyring,
    encode_held,
    encode_ordered,
)
from unisono.wire.service.native import HEADER_BYTES
from unisono.wire.ust.records import Rotate, rotate_records

NOW = Nanos(0)
INSTALL, USE, REMOVE, SHOW = Verb.INSTALL, Verb.USE, Verb.REMOVE, Verb.SHOW


def everywhere(world: World, role: str, key: Authkey | None) -> bool:
    kid = key.kid if key is not None else None
    return set(world.kids(role).values()) == {kid}


def rotate(world: World, node: int = 1, key: Authkey = NEW) -> None:
    """All three steps, each to its end."""
    for verb, argument in ((INSTALL, key.raw), (USE, b""), (REMOVE, b"")):
        answer = world.do(node, verb, argument)
        assert answer.error is CsError.OK, answer


# -- the three steps -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_rotation_when_all_are_there_then_each_accepts_before_any_begins(seed: int) -> None:
    world = World(4, seed)
    strangers: list[tuple[int, int]] = []

    def look(_node: int, _effect: Effect) -> None:
        strangers.extend(world.strangers())

    world.on_effect = look
    assert world.do(2, INSTALL, NEW.raw).body["done"] == [1, 2, 3, 4]
    assert everywhere(world, "active", OLD)
    assert everywhere(world, "next", NEW)
    assert world.do(3, USE).error is CsError.OK
    assert everywhere(world, "active", NEW)
    assert everywhere(world, "previous", OLD)
    assert world.do(4, REMOVE).error is CsError.OK
    assert everywhere(world, "previous", None)
    assert all(one.keys.retired == (OLD.kid,) for one in world.up.values())
    assert all(disk == world.up[node].keys for node, disk in world.disks.items())
    assert strangers == []


def test_rotation_when_keys_are_largest_then_told_in_pieces() -> None:
    world = World(2)
    key = Authkey.of(bytes(range(256)) * 16, "demo")
    rotate(world, key=key)
    assert world.disks[2].active == key


def test_ring_when_a_key_changes_then_no_byte_of_it_is_in_a_message() -> None:
    world = World(3)
    sent: list[bytes] = []

    def look(_node: int, effect: Effect) -> None:
        if isinstance(effect, Multicast):
            sent.append(bytes(effect.payload))

    world.on_effect = look
    rotate(world)
    assert sent
    secrets = [NEW.raw, NEW.keys.psk, NEW.keys.mac1, NEW.keys.cookie]
    windows = {secret[at : at + 4] for secret in secrets for at in range(len(secret) - 3)}
    assert not [m for m in sent for at in range(len(m) - 3) if m[at : at + 4] in windows]


def test_keys_when_shown_then_only_by_their_fingerprints() -> None:
    key = Authkey.of(b"s3cret--" * 32, "demo")
    world = World(2)
    world.do(1, INSTALL, key.raw)
    shown = repr(
        [world.up[1].keys, world.contexts[1], world.do(1, SHOW), StoreKeys(world.disks[1])]
    )
    assert key.keys.fingerprint in shown
    assert "s3cret" not in shown
    assert repr(key.keys.psk)[2:-1] not in shown


def test_install_when_a_key_arrives_then_told_by_one_and_not_again_after_the_acknowledgement() -> (
    None
):
    world = World(4)
    world.do(3, INSTALL, NEW.raw)
    assert sorted(set(world.told)) == [(3, 1), (3, 2), (3, 4)]
    told = len(world.told)
    world.pass_time(10 * SECOND)
    assert len(world.told) == told == 3


def test_install_when_most_records_are_lost_then_told_again_until_all_have_it() -> None:
    world = World(4, seed=5)
    world.lost_tells = 0.9
    assert world.do(1, INSTALL, NEW.raw).error is CsError.OK
    assert everywhere(world, "next", NEW)


def test_install_when_a_node_never_acknowledges_then_the_answer_names_it_and_telling_ends() -> None:
    world = World(3)
    world.full_disks.add(3)
    answer = world.do(1, INSTALL, NEW.raw)
    assert (answer.error, answer.body["missing"]) == (CsError.TIMEOUT, [3])
    assert world.progress[-1].body["done"] == [1, 2]
    world.pass_time(60 * SECOND)
    assert world.told.count((1, 3)) == 150
    assert Mark.KEY_NOT_TAKEN in {marked.mark for _, marked in world.marks}
    assert Mark.KEYS_NOT_STORED in {marked.mark for node, marked in world.marks if node == 3}


def test_disk_when_it_has_room_again_then_stored_and_acknowledged() -> None:
    world = World(3)
    world.full_disks.add(3)
    request = world.command(1, INSTALL, NEW.raw)
    world.settle()
    world.pass_time(7 * SECOND)
    assert request not in world.answers
    world.full_disks.clear()
    world.pass_time(7 * SECOND)
    assert world.answers[request].error is CsError.OK
    assert world.disks[3].next == NEW


# -- rules of caution ------------------------------------------------------------------------------


def test_use_when_nothing_was_installed_then_refused_with_what_to_do() -> None:
    answer = World(2).do(1, USE)
    assert answer.error is CsError.NOT_EXIST
    assert "install" in str(answer.body["text"])


def test_use_when_a_member_lacks_the_key_then_refused_unless_forced_and_then_it_is_told() -> None:
    world = World(3)
    world.lost_tells = 1.0
    world.command(1, INSTALL, NEW.raw, seconds=1)
    world.settle()
    answer = world.do(1, USE)
    assert (answer.error, answer.body["missing"]) == (CsError.BAD_OPERATION, [2, 3])
    world.lost_tells = 0.0
    world.up[1]._tellings._of.clear()
    answer = world.do(1, USE, force=True)
    assert answer.error is CsError.OK
    assert everywhere(world, "active", NEW)


@pytest.mark.parametrize(
    ("verb", "argument", "text"),
    [
        (INSTALL, OLD.raw, "is active"),
        (INSTALL, b"short", "128 to 4096"),
        (INSTALL, b"", "name a file"),
        (USE, OLD.kid, "active already"),
        (USE, NEW.kid, "not the next key"),
        (USE, b"12", "8 hexadecimal digits"),
        (REMOVE, b"", "no previous key"),
        (REMOVE, OLD.kid, "still begin with it"),
        (REMOVE, NEW.kid, "nobody holds"),
    ],
)
def test_command_when_it_cannot_be_then_refused_and_nothing_changes(
    verb: Verb, argument: bytes, text: str
) -> None:
    world = World(2)
    answer = world.do(1, verb, argument)
    assert answer.error is not CsError.OK
    assert text in str(answer.body["text"])
    assert set(world.disks.values()) == {Authkeys(OLD)}


def test_install_when_the_previous_key_is_there_then_refused_unless_forced() -> None:
    world = World(2)
    world.do(1, INSTALL, NEW.raw)
    world.do(1, USE)
    assert "remove" in str(world.do(1, INSTALL, OTHER.raw).body["text"])
    assert world.do(1, INSTALL, OTHER.raw, force=True).error is CsError.OK


def test_key_when_removed_then_never_installed_again() -> None:
    world = World(2)
    rotate(world)
    assert "was removed" in str(world.do(1, INSTALL, OLD.raw).body["text"])


def test_next_key_when_removed_by_its_fingerprint_then_gone_everywhere() -> None:
    world = World(3)
    world.do(1, INSTALL, NEW.raw)
    assert world.do(2, REMOVE, NEW.kid).error is CsError.OK
    assert everywhere(world, "next", None)
    assert world.do(3, INSTALL, OTHER.raw).error is CsError.OK


def test_commands_when_too_many_wait_then_refused() -> None:
    world = World(2)
    world.full_disks.add(2)
    requests = [world.command(1, INSTALL, NEW.raw) for _ in range(9)]
    assert world.answers[requests[-1]].error is CsError.TRY_AGAIN


def test_show_when_a_node_is_absent_then_its_last_word_is_shown() -> None:
    world = World(3)
    world.settle()
    world.crash(3)
    world.do(1, INSTALL, NEW.raw)
    nodes = world.do(2, SHOW).body["nodes"]
    assert isinstance(nodes, list)
    shown = {row["node"]: (row["is_present"], row["next"]) for row in nodes}
    assert shown == {1: (True, NEW.kid.hex()), 2: (True, NEW.kid.hex()), 3: (False, None)}


# -- two operators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_operators_when_two_install_at_once_then_one_key_wins_everywhere(seed: int) -> None:
    world = World(3, seed)
    world.settle()
    requests = {
        world.command(1, INSTALL, NEW.raw): NEW,
        world.command(2, INSTALL, OTHER.raw): OTHER,
    }
    world.settle()
    world.pass_time(40 * SECOND)
    won = [key for request, key in requests.items() if world.answers[request].error is CsError.OK]
    assert sorted(world.errors()) == [CsError.OK, CsError.BUSY]
    assert everywhere(world, "next", won[0])


@pytest.mark.parametrize("seed", range(20))
def test_operators_when_one_uses_and_one_removes_at_once_then_all_do_the_same(seed: int) -> None:
    world = World(3, seed)
    world.do(1, INSTALL, NEW.raw)
    world.command(1, USE)
    world.command(2, REMOVE, NEW.kid)
    world.settle()
    world.pass_time(40 * SECOND)
    assert sorted(world.errors()) == [CsError.OK, CsError.OK, CsError.BUSY]
    assert len({(one.keys.active.kid, one.keys.retired) for one in world.up.values()}) == 1


# -- nodes that are down ---------------------------------------------------------------------------


@pytest.mark.parametrize("down_at", range(3))
def test_node_when_down_during_a_step_then_back_with_the_old_key_and_told(down_at: int) -> None:
    world = World(3)
    world.settle()
    for step, (verb, argument) in enumerate(((INSTALL, NEW.raw), (USE, b""))):
        if step == down_at:
            world.crash(3)
        assert world.do(1, verb, argument).error is CsError.OK
    if down_at == 2:
        world.crash(3)
    world.boot(3)
    assert world.can_meet(1, 3)
    world.meet(world.ids)
    world.settle()
    world.pass_time(SECOND)
    assert everywhere(world, "active", NEW)
    assert world.disks[3].active == NEW


def test_node_when_it_greets_with_the_previous_key_then_told_before_it_is_on_the_ring() -> None:
    world = World(3)
    world.settle()
    world.crash(3)
    world.do(1, INSTALL, NEW.raw)
    world.do(1, USE)
    world.boot(3)
    world.shake_hands(world.ids)
    assert world.disks[3].active == NEW
    assert world.disks[3].previous == OLD


def test_node_when_down_until_the_old_key_is_removed_then_refused_and_named_by_remove() -> None:
    world = World(3)
    world.settle()
    world.crash(3)
    world.do(1, INSTALL, NEW.raw)
    world.do(1, USE)
    answer = world.do(1, REMOVE)
    assert answer.error is CsError.OK
    assert (answer.body["absent"], answer.body["by_hand"]) == ([3], [3])
    world.boot(3)
    assert not world.can_meet(1, 3)
    assert world.contexts[1].ring.retired == (OLD.kid,)


def test_node_when_it_had_the_next_key_and_slept_until_the_removal_then_comes_back_by_it() -> None:
    world = World(3)
    world.do(1, INSTALL, NEW.raw)
    world.crash(3)
    world.do(1, USE)
    assert world.do(1, REMOVE).body["by_hand"] == []
    world.boot(3)
    assert world.can_meet(1, 3)
    world.meet(world.ids)
    world.settle()
    assert everywhere(world, "active", NEW)
    assert everywhere(world, "previous", None)
    assert world.disks[3].retired == (OLD.kid,)


def test_part_when_apart_for_a_whole_rotation_with_sessions_alive_then_follows() -> None:
    world = World(3)
    world.settle()
    world.part([1, 2], [3])
    rotate(world)
    assert world.disks[3].active == OLD
    world.meet(world.ids)
    world.settle()
    world.pass_time(SECOND)
    assert everywhere(world, "active", NEW)
    assert everywhere(world, "previous", None)


@pytest.mark.parametrize("seed", range(10))
def test_parts_when_each_has_rotated_then_one_key_for_all(seed: int) -> None:
    world = World(5, seed)
    world.settle()
    world.part([1, 2, 3], [4, 5])
    world.do(1, INSTALL, NEW.raw)
    world.do(1, USE)
    world.do(4, INSTALL, OTHER.raw)
    world.do(4, USE)
    world.meet(world.ids)
    world.settle()
    world.pass_time(SECOND)
    assert everywhere(world, "active", NEW)


def test_installer_when_it_dies_before_telling_then_installs_when_it_is_back() -> None:
    world = World(3)
    world.lost_tells = 1.0
    world.command(1, INSTALL, NEW.raw)
    world.settle()
    world.crash(1)
    world.settle()
    assert world.kids("next") == {2: None, 3: None}
    world.lost_tells = 0.0
    world.boot(1)
    world.meet(world.ids)
    world.settle()
    world.pass_time(SECOND)
    assert everywhere(world, "next", NEW)


def test_command_when_the_ring_changes_before_all_spoke_then_its_order_is_sent_again() -> None:
    world = World(3, seed=3)
    request = world.command(1, INSTALL, NEW.raw)
    world.meet([1, 2])
    world.meet(world.ids)
    world.settle()
    world.pass_time(SECOND)
    assert world.answers[request].error is CsError.OK


# -- forged and stale ------------------------------------------------------------------------------


def test_key_when_told_under_a_false_name_then_refused() -> None:
    world = World(2)
    world.settle()

    def forge(_node: int, effect: Effect) -> None:
        if isinstance(effect, Tell) and isinstance(effect.record, Rotate):
            effect.record = effect.record._replace(kid=OTHER.kid)

    world.on_effect = forge
    world.command(1, INSTALL, NEW.raw)
    world.settle()
    assert 2 in world.marked(Mark.KEY_REFUSED)
    assert world.disks[2].next is None


def test_key_when_told_late_after_its_removal_then_not_taken() -> None:
    world = World(2)
    late: list[tuple[int, Effect]] = []
    world.on_effect = lambda node, effect: (
        late.append((node, effect)) if isinstance(effect, Tell) else None
    )
    world.do(1, INSTALL, NEW.raw)
    world.do(1, REMOVE, NEW.kid)
    for node, effect in late:
        world._carry_out(node, effect)
    assert world.disks[2].next is None


def lone(keys: Authkeys) -> Rotation:
    """Node 1 of 3, on no ring yet."""
    context = Context(NodeId(1), "demo", Keyring(OLD.keys), CIPHERS["aes256"], bytes, bytes(16))
    return Rotation(context, keys, [NodeId(node) for node in (1, 2, 3)])


@pytest.mark.parametrize(
    "keys",
    [Authkeys(OLD, retired=(NEW.kid,)), Authkeys(OLD, previous=NEW)],
    ids=["removed", "previous"],
)
def test_key_when_told_by_a_node_that_is_behind_then_not_taken(keys: Authkeys) -> None:
    rotation = lone(keys)
    (record,) = rotate_records(NEW.kid, NEW.raw, is_active=True)
    rotation.submit(KeyTold(NodeId(2), record), NOW)
    assert rotation.keys == keys


def test_order_when_not_every_member_has_spoken_then_void() -> None:
    keys = Authkeys(OLD, previous=NEW)
    rotation = lone(keys)
    rotation.receive(KeyringView((NodeId(1), NodeId(2))), NOW)
    held = encode_held(keys.held(1))
    remove = encode_ordered(Ordered(Order.REMOVE, NEW.kid))
    rotation.receive(KeyringDelivered(NodeId(2), held), NOW)
    rotation.receive(KeyringDelivered(NodeId(2), remove), NOW)
    assert rotation.keys == keys
    rotation.receive(KeyringDelivered(NodeId(1), held), NOW)
    rotation.receive(KeyringDelivered(NodeId(2), remove), NOW)
    assert rotation.keys == Authkeys(OLD, retired=(NEW.kid,))


def test_order_when_void_then_its_sender_says_it_again() -> None:
    rotation = lone(Authkeys(OLD))
    members = NodeId(1), NodeId(2)

    def orders() -> list[Ordered]:
        sent = [effect for effect in rotation.drain() if isinstance(effect, Multicast)]
        said = [decode_keyring(effect.payload[HEADER_BYTES:]) for effect in sent]
        return [one for one in said if isinstance(one, Ordered)]

    def complete() -> None:
        rotation.receive(KeyringView(members), NOW)
        for node in members:
            body = encode_held(Authkeys(OLD).held(1))
            rotation.receive(KeyringDelivered(node, body), NOW)

    complete()
    command = Command(ClientId(1), 1, INSTALL, NEW.raw, False, Nanos(SECOND))
    rotation.submit(command, NOW)
    (order,) = orders()
    rotation.receive(KeyringView(members), NOW)
    rotation.receive(KeyringDelivered(NodeId(1), encode_ordered(order)), NOW)
    assert orders() == []
    complete()
    assert orders() == [order]


def test_roll_when_an_older_word_comes_later_then_the_newer_one_counts() -> None:
    roll = Roll()
    roll.begin((NodeId(1), NodeId(2)))
    assert roll.note(NodeId(1), Authkeys(OLD, next=NEW).held(2))
    assert not roll.note(NodeId(1), Authkeys(OLD).held(1))
    assert not roll.note(NodeId(3), Authkeys(OLD).held(1))
    assert roll.rows[NodeId(1)].next == NEW.kid


def test_roll_when_an_order_has_its_place_then_its_key_is_taken_before_any_row_says_so() -> None:
    roll = Roll()
    roll.begin((NodeId(1),))
    roll.note(NodeId(1), Authkeys(OLD, next=NEW).held(1))
    assert roll.role_elsewhere(NEW.kid) == ""
    roll.take(Ordered(Order.REMOVE, NEW.kid))
    assert roll.role_elsewhere(NEW.kid) == "was removed"
    roll.take(Ordered(Order.USE, OTHER.kid))
    assert roll.role_elsewhere(OTHER.kid) == "is active"


def test_assembly_when_a_key_is_whole_then_the_next_begins_anew() -> None:
    assembly = Assembly()
    key = bytes(2_000)
    first, second = rotate_records(NEW.kid, key, is_active=False)
    assert [assembly.add(one) for one in (second, second, first)] == [None, None, key]
    assert assembly.add(first) is None


def test_node_beside_the_ring_when_told_often_enough_then_left_alone_without_complaint() -> None:
    world = World(3)
    world.settle()
    world.crash(3)
    world.do(1, INSTALL, NEW.raw)
    world.do(1, USE)
    world.lost_tells = 1.0
    world.boot(3)
    world.shake_hands([1, 3])
    world.pass_time(10 * SECOND)
    assert world.told.count((1, 3)) == 5
    assert world.marked(Mark.KEY_NOT_TAKEN) == []


def test_installer_when_its_disk_is_full_and_the_ring_changes_then_installs_in_the_end() -> None:
    world = World(3)
    world.settle()
    world.full_disks.add(1)
    request = world.command(1, INSTALL, NEW.raw)
    world.settle()
    world.crash(3)
    world.settle()
    world.full_disks.clear()
    world.pass_time(10 * SECOND)
    assert world.answers[request].error is CsError.OK
    assert everywhere(world, "next", NEW)


# -- crashes and storms ----------------------------------------------------------------------------


def script(world: World) -> None:
    """A whole rotation; each step that fails is asked for again, as an operator would."""
    for verb, argument in ((INSTALL, NEW.raw), (USE, b""), (REMOVE, b"")):
        for _ in range(3):
            at = min(world.up)
            if verb is USE and everywhere(world, "active", NEW):
                break
            if verb is REMOVE and not any(world.kids("previous").values()):
                break
            if world.do(at, verb, argument).error is CsError.OK:
                break


class Death:
    """Kills a node before it carries out the effect of this number, and starts it anew."""

    def __init__(self, world: World, victim: int, at: int) -> None:
        self.world = world
        self.victim = victim
        self.left = at

    def __call__(self, node: int, _effect: Effect) -> None:
        if node != self.victim:
            return
        self.left -= 1
        if self.left == -1:
            world = self.world
            world.crash(node)
            world.boot(node)
            assert any(world.can_meet(node, other) for other in world.up if other != node)
            world.meet(world.ids)


@pytest.mark.parametrize("victim", [1, 2, 3])
def test_node_when_it_dies_at_any_effect_then_its_disk_lets_it_join_and_all_follow(
    victim: int,
) -> None:
    for crash_at in range(200):
        world = World(3, seed=crash_at)
        world.settle()
        world.on_effect = death = Death(world, victim, crash_at)
        script(world)
        world.pass_time(5 * SECOND)
        assert everywhere(world, "active", NEW), crash_at
        assert everywhere(world, "previous", None), crash_at
        if death.left >= 0:
            assert crash_at > 5
            return
    raise AssertionError("the script has no end")


@pytest.mark.parametrize("seed", range(150))
def test_cluster_when_everything_happens_at_once_then_one_key_and_every_disk_has_it(
    seed: int,
) -> None:
    world = World(4, seed)
    random = world.random
    world.lost_tells = 0.3
    for _ in range(40):
        match random.randrange(8):
            case 0 | 1 | 2:
                node = random.choice(list(world.up))
                verb = random.choice([INSTALL, INSTALL, USE, USE, SHOW])
                argument = random.choice(KEYS[1:]).raw if verb is INSTALL else b""
                force = random.random() < 0.3
                world.command(node, verb, argument, force=force, seconds=random.randint(1, 30))
            case 3 if len(world.up) > 1:
                world.crash(random.choice(list(world.up)))
            case 4:
                for node in set(world.ids) - set(world.up):
                    world.boot(node)
                    world.meet([node])
            case 5:
                nodes = random.sample(list(world.up), len(world.up))
                at = random.randint(0, len(nodes))
                for group in (nodes[:at], nodes[at:]):
                    if group:
                        world.meet(group)
            case 6:
                world.pass_time(random.randrange(3) * SECOND)
            case _:
                world.settle()
    for node in set(world.ids) - set(world.up):
        world.boot(node)
    world.sessions = {frozenset((a, b)) for a in world.ids for b in world.ids if a < b}
    world.meet(world.ids)
    world.settle()
    world.pass_time(120 * SECOND)
    assert len(set(world.kids("active").values())) == 1
    assert world.strangers() == []
    assert {disk.active for disk in world.disks.values()} == {world.up[1].keys.active}
    world.lost_tells = 0.0
    answer = world.do(1, USE)
    if answer.error is not CsError.OK:
        fresh = Authkey.of(b"fresh" * 50, "demo")
        assert world.do(1, INSTALL, fresh.raw, force=True).error is CsError.OK
        assert world.do(1, USE).error is CsError.OK
        assert everywhere(world, "active", fresh)
    while world.do(1, REMOVE).error is CsError.OK:
        pass
    assert everywhere(world, "previous", None)
