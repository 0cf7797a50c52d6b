"""The whole machine: several nodes, and everything that may happen on the way between them."""

from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.secure.wires import KEYS, Wires
from unisono.base.ids import MS, SECOND, NodeId
from unisono.base.marks import Mark
from unisono.crypto.keys import derive
from unisono.crypto.noise import StaticKeys
from unisono.secure.events import Farewell, Paused, PeerGone, Unreachable
from unisono.secure.generations import LIFETIME_NS
from unisono.wire.ust.header import PacketType

OTHER_KEYS = derive(bytes(reversed(range(256))), "demo")


def kind(packet: bytes) -> int:
    return packet[1] & 0x0F


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("links", [1, 2])
def test_machines_when_all_begin_then_frames_reach_everybody(count: int, links: int) -> None:
    wires = Wires(count, links=links)
    begun = wires.now
    wires.form()
    assert wires.now - begun < 300 * MS
    for number in range(1, count + 1):
        wires.send(number, b"from %d" % number)
    wires.send(1, b"token", to=2)
    wires.run(10)
    for number in range(1, count + 1):
        expected = {(n, b"from %d" % n) for n in range(1, count + 1) if n != number}
        extra = {(1, b"token")} if number == 2 else set()
        assert set(wires.frames[number]) == expected | extra
        assert len(wires.frames[number]) == len(expected | extra)


@pytest.mark.parametrize("size", [1_400, 1_472, 10_000, 62_400])
def test_frames_when_large_then_whole_at_the_other_end(size: int) -> None:
    wires = Wires(3)
    wires.form()
    frame = Random(size).randbytes(size)
    wires.send(1, frame)
    wires.run(5)
    assert wires.frames[2] == wires.frames[3] == [(1, frame)]


def test_frames_when_everything_is_replayed_then_nothing_comes_twice_and_all_is_counted() -> None:
    wires = Wires(3)
    wires.form()
    for number in range(200):
        wires.send(1 + number % 3, b"%d" % number * 50)
    wires.run(20)
    before = {number: list(frames) for number, frames in wires.frames.items()}
    gone = len(wires.recorded)
    to_two = [(source, link, packet) for source, node, link, packet in wires.recorded if node == 2]
    for source, link, packet in to_two:
        wires.hand(2, [packet], source, link)
    wires.run(50)
    assert wires.frames == before
    assert gone > 200
    status = wires.machines[2].status(wires.now)
    frames = [packet for _, _, packet in to_two if kind(packet) == PacketType.GROUP]
    replayed = sum(peer["frames"]["replayed"] for peer in status["peers"])  # type: ignore[index, attr-defined]  # plain values by contract
    assert replayed == len(frames)


def test_restart_when_old_packets_are_replayed_then_nothing_opens() -> None:
    wires = Wires(2)
    wires.form()
    wires.send(1, b"of the former life")
    wires.run(5)
    recorded = [packet for source, _, _, packet in wires.recorded if source == 1]
    wires.kill(1)
    wires.kill(2)
    wires.run(1_000)
    wires.start(1)
    wires.start(2)
    wires.form()
    for packet in recorded:
        wires.hand(2, [packet], 1)
    wires.run(100)
    assert wires.frames[2] == []
    assert wires.is_formed()
    wires.send(1, b"news")
    wires.run(5)
    assert wires.frames[2] == [(1, b"news")]


def test_peer_when_it_restarts_then_frames_flow_again_within_half_a_second() -> None:
    wires = Wires(3)
    wires.form()
    wires.kill(3)
    wires.run(50)
    wires.start(3)
    begun = wires.now
    wires.form()
    assert wires.now - begun < 1_000 * MS
    wires.send(1, b"hello again")
    wires.run(5)
    assert (1, b"hello again") in wires.frames[3]


def test_handshakes_when_half_of_all_packets_is_lost_then_they_end_well() -> None:
    wires = Wires(3)
    random = Random(7)
    wires.lose = lambda *_: random.random() < 0.5
    wires.run(5_000)
    assert len({packet[4:8] for _, _, _, packet in wires.recorded if kind(packet) == 5}) >= 3
    wires.lose = lambda *_: False
    wires.run_until(wires.is_formed, limit_ms=5_000)


def test_sessions_when_renewed_then_no_frame_is_lost() -> None:
    wires = Wires(2)
    wires.form()
    sent = 0
    for _ in range(1_500):
        wires.send(1, b"%d" % sent)
        sent += 1
        wires.run(100)
    assert len(wires.frames[2]) == sent
    sessions = {packet[4:8] for source, _, _, packet in wires.recorded
                if source == 1 and kind(packet) == PacketType.PAIR}  # fmt: skip
    assert len(sessions) >= 2


def test_sender_key_when_an_hour_old_then_renewed_and_no_frame_is_lost() -> None:
    wires = Wires(2)
    wires.form()
    wires.run((LIFETIME_NS - 5 * SECOND) // MS)
    for number in range(200):
        wires.send(1, b"%d" % number)
        wires.run(50)
    assert [text for _, text in wires.frames[2]] == [b"%d" % n for n in range(200)]
    assert len(wires.marked(1, Mark.SENDER_KEY_RENEWED)) == 1


def test_pause_when_noticed_then_a_fresh_key_is_in_use_soon() -> None:
    wires = Wires(2)
    wires.form()
    wires.submit(1, Paused())
    wires.run(10)
    assert len(wires.marked(1, Mark.SENDER_KEY_RENEWED)) == 1
    wires.send(1, b"fresh")
    wires.run(5)
    assert wires.frames[2] == [(1, b"fresh")]


def test_keys_when_they_differ_then_both_say_invalid_digest_and_no_frame_passes() -> None:
    wires = Wires(3, keys={3: OTHER_KEYS})
    wires.run(5_000)
    wires.send(1, b"secret")
    wires.run(10)
    assert wires.frames[3] == []
    assert wires.frames[2] == [(1, b"secret")]
    for number, theirs, ours in (
        (1, OTHER_KEYS.fingerprint, KEYS.fingerprint),
        (3, KEYS.fingerprint, OTHER_KEYS.fingerprint),
    ):
        lines = [mark.text for mark in wires.marked(number, Mark.INVALID_DIGEST)]
        assert lines
        assert all(line.startswith("Invalid digest from 10.0.0.") for line in lines)
        assert all(f"theirs={theirs} ours={ours}" in line for line in lines)
        assert len(lines) <= 2
        assert wires.machines[number].status(wires.now)["complaints"]


def test_daemon_when_it_dies_and_its_port_is_closed_then_noticed_within_90_ms() -> None:
    wires = Wires(3)
    wires.form()
    wires.run(1_000)
    wires.kill(3)
    died = wires.now
    wires.submit(1, Unreachable(NodeId(3), 0))
    wires.run_until(lambda: PeerGone(NodeId(3)) in wires.events[1], limit_ms=100)
    assert wires.now - died <= 90 * MS
    assert wires.marked(1, Mark.PEER_GONE)


def test_daemon_when_a_forged_hint_says_it_died_then_it_stays() -> None:
    wires = Wires(3)
    wires.form()
    wires.run(1_000)
    for _ in range(100):
        wires.submit(1, Unreachable(NodeId(3), 0))
        wires.run(7)
    assert wires.events[1].count(PeerGone(NodeId(3))) == 0
    assert wires.is_formed()


def test_daemon_when_it_says_goodbye_then_known_at_once_and_welcome_again() -> None:
    wires = Wires(2)
    wires.form()
    wires.submit(2, Farewell())
    wires.run(1)
    assert PeerGone(NodeId(2)) in wires.events[1]
    wires.kill(2)
    wires.run(20)
    wires.start(2)
    wires.form()


@pytest.mark.parametrize("mode", ["passive", "active", "rr"])
def test_link_when_it_dies_then_the_other_carries_and_nothing_comes_twice(mode: str) -> None:
    wires = Wires(2, links=2, mode=mode)
    wires.form()
    wires.run(1_000)
    wires.lose = lambda source, target, link, packet: link == 0
    wires.run(1_000)
    for number in range(20):
        wires.send(1, b"%d" % number)
    wires.run(10)
    assert [text for _, text in wires.frames[2]] == [b"%d" % n for n in range(20)]
    wires.lose = lambda *_: False
    wires.run(2_000)
    assert wires.marked(1, Mark.LINK_DOWN)
    wires.frames[2].clear()
    gone = len(wires.recorded)
    wires.send(1, b"both again")
    wires.send(1, b"and again")
    wires.run(10)
    assert [text for _, text in wires.frames[2]] == [b"both again", b"and again"]
    used = {link for source, _, link, packet in wires.recorded[gone:]
            if source == 1 and kind(packet) == PacketType.GROUP}  # fmt: skip
    assert used == ({0} if mode == "passive" else {0, 1})


def test_path_when_it_carries_more_then_found_and_used() -> None:
    wires = Wires(2, limit=8_972)
    wires.form()
    wires.run(2_000)
    gone = len(wires.recorded)
    wires.send(1, bytes(8_000))
    wires.run(5)
    group = [packet for source, _, _, packet in wires.recorded[gone:]
             if source == 1 and kind(packet) == PacketType.GROUP]  # fmt: skip
    assert len(group) == 1


def test_partition_when_it_heals_then_frames_flow_without_a_new_life() -> None:
    wires = Wires(2)
    wires.form()
    wires.lose = lambda *_: True
    wires.run(30_000)
    wires.lose = lambda *_: False
    wires.run(3_000)
    wires.send(1, b"together")
    wires.run(5)
    assert wires.frames[2] == [(1, b"together")]


def test_hellos_when_a_recording_is_poured_back_then_cookies_are_asked_and_peers_still_meet() -> (
    None
):
    wires = Wires(3)
    wires.form()
    hellos = [(source, packet) for source, node, _, packet in wires.recorded
              if node == 2 and kind(packet) == PacketType.HELLO]  # fmt: skip
    assert hellos
    for _ in range(200):
        for source, packet in hellos:
            wires.hand(2, [packet], source)
    status = wires.machines[2].status(wires.now)
    dropped = status["dropped"]
    assert isinstance(dropped, dict)
    assert 0 < dropped["cookies_sent"] <= len(hellos)
    assert dropped["hellos_repeated"] > 100
    wires.kill(3)
    wires.run(400)
    wires.start(3)
    for _ in range(100):
        for source, packet in hellos:
            wires.hand(2, [packet], source)
        wires.run(10)
    wires.form()


def test_time_when_nothing_happens_then_little_is_said() -> None:
    wires = Wires(2)
    wires.form()
    wires.run(5_000)
    gone = len(wires.recorded)
    wires.run(10_000)
    # A ping and a pong each way every 100 ms, half of them with one that fills the path.
    assert len(wires.recorded) - gone <= 10 * 10 * 2 * 2 * 3 // 2 + 50


@pytest.mark.parametrize("seed", range(3))
def test_machine_when_packets_are_bent_then_nothing_raises_and_no_frame_is_made_up(
    seed: int,
) -> None:
    wires = Wires(2)
    wires.form()
    for number in range(20):
        wires.send(1, b"%d" % number * 200)
    wires.run(10)
    random = Random(seed)
    genuine = [packet for source, _, _, packet in wires.recorded if source == 1]
    known = set(wires.frames[2])
    for _ in range(5_000):
        packet = bytearray(random.choice(genuine))
        for _ in range(random.randrange(1, 4)):
            packet[random.randrange(len(packet))] ^= 1 << random.randrange(8)
        cut = random.randrange(len(packet)) if random.random() < 0.3 else len(packet)
        wires.hand(2, [bytes(packet[:cut])], random.choice([1, None]))
    wires.run(100)
    assert set(wires.frames[2]) == known
    wires.send(1, b"still here")
    wires.run(5)
    assert wires.frames[2][-1] == (1, b"still here")


def test_level_two_when_a_thief_holds_the_authkey_then_it_cannot_pose_as_a_node() -> None:
    secrets = {number: bytes([number]) * 32 for number in (1, 2, 9)}
    public = {
        number: X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
        for number, secret in secrets.items()
    }

    def pair(other: int) -> Wires:
        """Nodes 1 and 2, the latter with the private key of `other`."""
        return Wires(
            2,
            static_keys={
                1: {NodeId(2): StaticKeys(secrets[1], public[2])},
                2: {NodeId(1): StaticKeys(secrets[other], public[1])},
            },
        )

    honest = pair(2)
    honest.form()
    honest.send(1, b"level 2")
    honest.run(5)
    assert honest.frames[2] == [(1, b"level 2")]
    thief = pair(9)
    thief.run(10_000)
    assert not thief.is_formed()
    thief.send(1, b"secret")
    thief.send(2, b"forged")
    thief.run(5)
    assert thief.frames == {1: [], 2: []}
