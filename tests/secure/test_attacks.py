"""Attacks by a host that sees all traffic, sends as anybody, and holds no key."""

from random import Random

from tests.secure.wires import Wires
from unisono.base.ids import Nanos, NodeId
from unisono.base.marks import Mark
from unisono.secure.events import Farewell, PeerGone
from unisono.wire.ust.header import Header, PacketType

MS_PER_SECOND = 1_000


def kind(packet: bytes) -> int:
    return packet[1] & 0x0F


def formed(count: int) -> Wires:
    """Machines that have long known each other."""
    wires = Wires(count)
    wires.form()
    wires.run(MS_PER_SECOND)
    return wires


def test_frame_for_one_node_when_it_is_shown_to_another_then_refused() -> None:
    """A token given to a second node would let two of them number messages at once."""
    wires = formed(3)
    gone = len(wires.recorded)
    wires.send(1, b"token", to=2)
    wires.run(5)
    assert (1, b"token") in wires.frames[2]
    for source, node, link, packet in wires.recorded[gone:]:
        if source == 1 and node == 2 and kind(packet) == PacketType.GROUP:
            wires.hand(3, [packet], 1, link)
    wires.run(5)
    assert wires.frames[3] == []


def test_frames_when_unknown_generations_are_forged_then_none_is_held_back() -> None:
    """Whoever claims that a key is missing must not interrupt those who have it."""
    wires = formed(2)
    random = Random(1)
    sent = 0
    for number in range(20):
        header = Header(PacketType.GROUP, 0, 1_000 + number, NodeId(2), number, number)
        wires.hand(1, [header.encode() + random.randbytes(100)], 2)
        for _ in range(30):
            wires.now = Nanos(wires.now + 10_000)
            wires.run(0)
            wires.send(2, b"%d" % sent)
            sent += 1
        wires.run(20)
    assert [text for _, text in wires.frames[1]] == [b"%d" % n for n in range(sent)]


def test_packets_withheld_from_a_former_life_when_shown_to_the_present_then_change_nothing() -> (
    None
):
    """A lost KEY or BYE of the life before must neither replace the key nor end the new life."""
    wires = formed(2)
    withheld: list[bytes] = []

    def withhold(source: int, target: int, link: int, packet: bytes) -> bool:
        if source == 2 and kind(packet) == PacketType.PAIR:
            withheld.append(packet)
            return True
        return False

    wires.lose = withhold
    machine = wires.machines[2]
    channel = machine._channels[NodeId(1)]
    channel.peer.need_key(1)
    channel.after(None, wires.now)
    wires.submit(2, Farewell())
    wires.run(1)
    wires.lose = lambda *_: False
    wires.kill(2)
    wires.run(400)
    wires.start(2)
    wires.form()
    wires.run(100)
    assert len(withheld) >= 2
    wires.events[1].clear()
    for packet in withheld:
        wires.hand(1, [packet], 2)
    wires.run(100)
    assert PeerGone(NodeId(2)) not in wires.events[1]
    wires.send(2, b"still readable")
    wires.run(5)
    assert wires.frames[1][-1:] == [(2, b"still readable")]


def test_hellos_of_a_former_life_when_replayed_then_no_word_of_two_hosts_with_one_id() -> None:
    """The complaint about two daemons with one node id needs proof that the other lives, too."""
    wires = formed(2)
    hellos = [
        packet
        for source, node, _, packet in wires.recorded
        if source == 2 and node == 1 and kind(packet) == PacketType.HELLO
    ]
    wires.kill(2)
    wires.run(MS_PER_SECOND)
    wires.start(2)
    wires.form()
    wires.run(MS_PER_SECOND)
    for packet in hellos:
        wires.hand(1, [packet], 2)
        wires.run(2 * MS_PER_SECOND)
    assert hellos
    assert wires.marked(1, Mark.NODE_ID_TWICE) == []


def test_first_pieces_when_many_are_forged_then_frames_come_through_again_soon() -> None:
    """Half a frame costs the receiver a bounded place; spoiled frames change how all are sealed."""
    wires = formed(2)
    random = Random(3)
    frame = random.randbytes(9_000)
    came = []
    for _ in range(50):
        gone = len(wires.recorded)
        wires.send(1, frame)
        genuine = next(packet for source, _, _, packet in wires.recorded[gone:] if source == 1)
        # The frame's own head with other pieces, and the beginnings of frames that never were.
        forged = [genuine[:40] + random.randbytes(len(genuine) - 40)]
        forged += [genuine[:24] + random.randbytes(8) + genuine[32:] for _ in range(100)]
        for packet in forged:
            wires.hand(2, [packet], 1)
        wires.run(10)
        came.append(len(wires.frames[2]))
    assert came[-1] - came[4] == len(came) - 5, came
