"""The authkey is stolen after the traffic was recorded: what was sent stays closed."""

from tests.secure.burglar import Burglar
from tests.secure.wires import KEYS, Wires
from unisono.wire.ust.header import PacketType

AUTHKEY = bytes(range(256))
SECRET = b"the launch code is 00000000"
CLOSED = (PacketType.ANSWER, PacketType.PAIR, PacketType.GROUP)


def recorded_traffic() -> tuple[list[bytes], list[bytes]]:
    """Packets of a talk, and every 32 bytes of entropy that the machines drew."""
    wires = Wires(3)
    drawn: list[bytes] = []
    for context in wires.contexts.values():
        draw = context.entropy

        def leaking(size: int, draw=draw) -> bytes:  # type: ignore[no-untyped-def]  # bound early
            value: bytes = draw(size)
            if size == 32:
                drawn.append(value)
            return value

        context.entropy = leaking
    wires.form()
    for number in range(50):
        wires.send(1 + number % 3, b"%d %b" % (number, SECRET))
        wires.send(1 + number % 3, SECRET * 200)
    wires.run(2_000)
    return [packet for _, _, _, packet in wires.recorded], drawn


def test_traffic_when_the_authkey_is_stolen_later_then_it_stays_closed() -> None:
    packets, _ = recorded_traffic()
    loot = Burglar(AUTHKEY, "demo").rob(packets)
    assert all(loot.seen[kind] >= 3 for kind in CLOSED)
    # The stolen key is the right one: what it does protect, it opens.
    assert loot.genuine_macs == loot.seen[PacketType.HELLO] + loot.seen[PacketType.ANSWER] > 0
    assert loot.opened[PacketType.HELLO] == loot.seen[PacketType.HELLO]
    assert [loot.opened[kind] for kind in CLOSED] == [0, 0, 0]
    assert all(SECRET not in packet for packet in packets)


def test_traffic_when_the_secrets_of_the_handshakes_are_known_then_the_same_code_opens_it() -> None:
    packets, drawn = recorded_traffic()
    loot = Burglar(AUTHKEY, "demo", more=drawn).rob(packets)
    assert loot.opened[PacketType.ANSWER] == loot.seen[PacketType.ANSWER]
    assert loot.opened[PacketType.PAIR] == loot.seen[PacketType.PAIR]
    assert len([frame for frame in loot.frames if SECRET in frame]) == 100


def test_recordings_when_the_burglar_has_another_key_then_not_even_a_mac_is_right() -> None:
    packets, _ = recorded_traffic()
    burglar = Burglar(AUTHKEY[::-1], "demo")
    assert burglar.keys.kid != KEYS.kid
    hellos = [packet for packet in packets if packet[1] & 0x0F == PacketType.HELLO]
    for packet in hellos:
        burglar._check_mac(packet)
    assert burglar.loot.genuine_macs == 0
