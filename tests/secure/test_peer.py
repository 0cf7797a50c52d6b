"""Two peers, and everything that may happen to the packets between them."""

from itertools import pairwise
from random import Random

import pytest

from unisono.base.errors import WireError
from unisono.base.group import Marked
from unisono.base.ids import MS, SECOND, Nanos, NodeId
from unisono.base.marks import Mark
from unisono.crypto.cookies import CookieJar, first_mac
from unisono.crypto.keys import ClusterKeys, derive
from unisono.crypto.sender_keys import CIPHERS, OwnKey
from unisono.secure.context import Context, Keyring
from unisono.secure.peer import ALIVE_NS, HELLO_GONE_NS, HELLO_RETRY_NS_MAX, SILENCE_NS, Peer
from unisono.secure.session import SESSION_RENEW_NS
from unisono.wire.ust.handshake import Cookie, decode_answer, decode_hello
from unisono.wire.ust.header import PacketType, decode_header
from unisono.wire.ust.records import Bye, Record

KEYS = derive(bytes(range(256)), "demo")
CIPHER = CIPHERS["aes256"]


class End:
    """One node's side of one pair, with a clock that the test moves."""

    def __init__(self, me: int, other: int, seed: int = 1, keys: ClusterKeys = KEYS) -> None:
        random = Random(f"{me}/{seed}")
        self.context = Context(
            NodeId(me), "demo", Keyring(keys), CIPHER, random.randbytes, random.randbytes(16)
        )
        self.now = Nanos(0)
        self.own = OwnKey(CIPHER, NodeId(me), 1, random.randbytes(32))
        self.peer = Peer(self.context, NodeId(other), self.now)
        self.peer.share([self.own], self.now)
        self.records: list[Record] = []
        self.refused = 0

    def take(self) -> list[bytes]:
        packets, self.peer.packets = self.peer.packets, []
        return [packet for _, packet in packets]

    def receive(self, packet: bytes) -> None:
        header = decode_header(packet)
        try:
            match header.type:
                case PacketType.HELLO:
                    keys = self.context.ring.find(header.key.to_bytes(4, "big"))
                    assert keys is not None
                    self.peer.on_hello(decode_hello(packet), keys, self.own, self.now)
                case PacketType.ANSWER:
                    self.peer.on_answer(decode_answer(packet), self.now)
                case PacketType.PAIR:
                    self._pair(packet)
                case _:
                    raise AssertionError(header)
        except WireError:
            self.refused += 1

    def _pair(self, packet: bytes) -> None:
        header = decode_header(packet)
        found = self.context.sessions.get(header.key)
        if found is None:
            raise WireError("no session opens it")
        records = found[1].open(header, packet)
        self.records += self.peer.on_pair(found[1], records, self.now) or []

    @property
    def is_ready(self) -> bool:
        return self.peer.current is not None and self.peer.has_key(1)


def pair(seed: int = 1) -> tuple[End, End]:
    return End(1, 2, seed), End(2, 1, seed)


def exchange(a: End, b: End, rounds: int = 10) -> None:
    """Carry packets until both are silent."""
    for _ in range(rounds):
        for source, target in ((a, b), (b, a)):
            for packet in source.take():
                target.receive(packet)


def advance(a: End, b: End, nanoseconds: int) -> None:
    """Let time pass in steps, with every packet delivered."""
    end = a.now + nanoseconds
    while a.now < end:
        for each in (a, b):
            each.now = Nanos(each.now + 10 * MS)
            each.peer.expire(each.now)
        exchange(a, b)


def test_peers_when_one_greets_then_both_have_a_session_and_the_others_key() -> None:
    a, b = pair()
    a.peer.expire(a.now)
    exchange(a, b)
    assert a.is_ready
    assert b.is_ready
    assert a.peer.current is not None
    assert b.peer.current is not None
    assert a.peer.current.name == b.peer.current.name
    packet = a.own.seal(b"frame", salt=1)
    assert b.peer.keys.open(decode_header(packet), packet, b.now) == b"frame"


def test_peers_when_both_greet_at_once_then_one_session() -> None:
    a, b = pair()
    a.peer.expire(a.now)
    b.peer.expire(b.now)
    hello_a, hello_b = a.take(), b.take()
    for packet in hello_a:
        b.receive(packet)
    for packet in hello_b:
        a.receive(packet)
    exchange(a, b)
    assert a.is_ready
    assert b.is_ready
    assert a.peer.current is not None
    assert b.peer.current is not None
    assert a.peer.current.name == b.peer.current.name


@pytest.mark.parametrize("seed", range(25))
def test_peers_when_half_of_all_is_lost_doubled_or_late_then_they_meet(seed: int) -> None:
    random = Random(seed)
    a, b = pair(seed)
    late: list[tuple[End, bytes]] = []
    for _ in range(3_000):
        for source, target in ((a, b), (b, a)):
            source.now = Nanos(source.now + 10 * MS)
            source.peer.expire(source.now)
            for packet in source.take():
                fate = random.random()
                if fate > 0.5:
                    target.receive(packet)
                if fate > 0.8:
                    late.append((target, packet))
        if late and random.random() < 0.5:
            target, packet = late.pop(random.randrange(len(late)))
            target.receive(packet)
        if a.is_ready and b.is_ready:
            break
    assert a.is_ready
    assert b.is_ready


def test_hello_when_never_answered_then_repeated_more_and_more_rarely_for_ever() -> None:
    a, _ = pair()
    sent: list[int] = []
    while len(sent) < 20:
        due = a.peer.deadline
        assert due is not None
        a.now = due
        a.peer.expire(a.now)
        sent += [a.now] * len(a.take())
    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert min(gaps) >= 100 * MS
    assert max(gaps) <= HELLO_RETRY_NS_MAX * 5 // 4
    assert gaps[-1] >= HELLO_RETRY_NS_MAX


def test_hello_when_the_daemon_has_ended_then_once_at_once_and_rarely_after_that() -> None:
    a, _ = pair()
    a.peer.greet(a.now)
    sent: list[int] = []
    while len(sent) < 5:
        due = a.peer.deadline
        assert due is not None
        a.now = due
        a.peer.expire(a.now)
        sent += [a.now] * len(a.take())
    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert all(HELLO_GONE_NS <= gap <= HELLO_GONE_NS * 5 // 4 for gap in gaps)


def test_hello_when_replayed_then_the_session_stays_and_the_answer_opens_nothing() -> None:
    a, b = pair()
    a.peer.expire(a.now)
    (hello,) = a.take()
    b.receive(hello)
    exchange(a, b)
    session = b.peer.current
    for _ in range(20):
        b.receive(hello)
    answers = b.take()
    assert len(answers) == 20
    for answer in answers:
        a.receive(answer)
    assert a.refused == 20
    assert b.peer.current is session
    assert a.peer.tell([Bye()]) is not None
    b.receive(a.peer.tell([Bye()]) or b"")
    assert b.records == [Bye()]
    assert len(b.context.sessions) <= 6


def test_hello_when_replayed_while_another_handshake_goes_on_then_that_one_still_ends_well() -> (
    None
):
    a, b = pair()
    a.peer.expire(a.now)
    old = a.take()
    a.now = Nanos(a.now + SECOND)
    a.peer.expire(a.now)
    (hello,) = a.take()
    b.receive(hello)
    (answer,) = b.take()
    for packet in old * 3:
        b.receive(packet)
    b.take()
    a.receive(answer)
    exchange(a, b)
    assert a.is_ready
    assert b.is_ready


def test_answer_when_forged_before_the_genuine_then_the_genuine_still_counts() -> None:
    a, b = pair()
    a.peer.expire(a.now)
    (hello,) = a.take()
    b.receive(hello)
    (answer,) = b.take()
    forged = bytearray(answer)
    forged[100] ^= 1
    a.receive(bytes(forged))
    assert a.refused == 1
    a.receive(answer)
    exchange(a, b)
    assert a.is_ready


def test_peers_when_keys_differ_then_no_session_and_nothing_raised() -> None:
    a, b = End(1, 2), End(2, 1, keys=derive(bytes(256), "demo"))
    b.context.ring.previous = ClusterKeys(KEYS.kid, bytes(32), KEYS.mac1, KEYS.cookie)
    a.peer.expire(a.now)
    exchange(a, b)
    assert b.refused == 1
    assert a.peer.current is None
    assert b.peer.current is None


def test_session_when_two_minutes_old_then_renewed_and_the_former_is_read_for_ten_seconds() -> None:
    a, b = pair()
    a.peer.expire(a.now)
    exchange(a, b)
    former = b.peer.current
    assert former is not None
    late = a.peer.tell([Bye()])
    later = a.peer.tell([Bye()])
    assert late is not None
    assert later is not None
    advance(a, b, SESSION_RENEW_NS * 112 // 100)
    assert b.peer.current is not former
    assert a.is_ready
    assert b.is_ready
    b.receive(later)
    assert b.refused == 1  # its successor is older than ten seconds by now
    assert len(a.context.sessions) <= 2


def test_peer_when_restarted_then_a_new_session_and_old_frames_stay_closed() -> None:
    a, b = pair()
    a.peer.expire(a.now)
    exchange(a, b)
    recorded = a.own.seal(b"of the former life", salt=1)
    restarted = End(1, 2, seed=2)
    restarted.now = b.now = Nanos(b.now + ALIVE_NS)
    restarted.peer.expire(restarted.now)
    exchange(restarted, b)
    assert restarted.is_ready
    assert b.is_ready
    assert b.peer.boot == restarted.context.boot
    packet = restarted.own.seal(b"new", salt=1)
    assert b.peer.keys.open(decode_header(packet), packet, b.now) == b"new"
    assert b.peer.keys.open(decode_header(recorded), recorded, b.now) is None


def test_peer_when_a_second_life_speaks_while_the_first_is_heard_then_the_first_stays() -> None:
    a, b = pair()
    a.peer.expire(a.now)
    exchange(a, b)
    twin = End(1, 2, seed=2)
    twin.now = b.now = Nanos(b.now + ALIVE_NS - 1)
    twin.peer.expire(twin.now)
    exchange(twin, b)
    assert b.peer.boot == a.context.boot
    assert [note.mark for note in b.peer.news if isinstance(note, Marked)] == [Mark.NODE_ID_TWICE]
    advance(twin, b, 2 * ALIVE_NS)
    assert b.peer.boot == twin.context.boot
    assert twin.is_ready
    assert b.is_ready


def test_hello_when_it_comes_over_two_links_then_both_get_the_same_answer() -> None:
    a, b = pair()
    a.peer.expire(a.now)
    (hello,) = a.take()
    b.receive(hello)
    b.receive(hello)
    answers = b.take()
    assert answers[0] == answers[1]
    for answer in answers:
        a.receive(answer)
    exchange(a, b)
    assert a.is_ready
    assert b.is_ready


def test_key_when_its_acknowledgement_is_lost_then_told_again() -> None:
    a, b = pair()
    a.peer.expire(a.now)
    for packet in a.take():
        b.receive(packet)
    for packet in b.take():
        a.receive(packet)
    for packet in a.take():
        b.receive(packet)
    b.take()  # b's KEYACK is lost
    assert not a.peer.has_key(1)
    advance(a, b, SECOND)
    assert a.is_ready


def test_peer_when_silent_then_greeted_anew_until_it_is_heard_and_the_session_stays() -> None:
    a, b = pair()
    a.peer.expire(a.now)
    exchange(a, b)
    session = b.peer.current
    b.now = Nanos(b.now + SILENCE_NS - 1)
    b.peer.expire(b.now)
    assert b.take() == []
    greetings = 0
    for _ in range(5):
        due = b.peer.deadline
        assert due is not None
        b.now = due
        b.peer.expire(b.now)
        greetings += len(b.take())
    assert greetings == 5
    assert b.peer.current is session
    b.receive(a.peer.tell([Bye()]) or b"")
    assert b.peer.deadline == b.now + SILENCE_NS


def test_cookie_when_given_then_the_next_hello_shows_it_and_a_forged_one_changes_nothing() -> None:
    a, _ = pair()
    a.peer.expire(a.now)
    (packet,) = a.take()
    hello = decode_hello(packet)
    jar = CookieJar()
    jar.renew(b"s" * 32, a.now)
    with pytest.raises(WireError):
        a.peer.on_cookie(Cookie(b"n" * 12, b"x" * 32), a.now)
    a.peer.on_cookie(jar.issue(KEYS, b"here", b"n" * 12, hello.mac1), a.now)
    a.now = Nanos(a.now + SECOND)
    a.peer.expire(a.now)
    (packet,) = a.take()
    hello = decode_hello(packet)
    assert first_mac(KEYS, packet[:-32]) == hello.mac1
    assert jar.accepts(b"here", packet[:-16], hello.mac2)
    assert not jar.accepts(b"there", packet[:-16], hello.mac2)


def test_cookie_when_nothing_was_asked_then_wire_error() -> None:
    a, b = pair()
    with pytest.raises(WireError):
        b.peer.on_cookie(Cookie(b"n" * 12, b"x" * 32), a.now)


def test_key_when_the_peer_lacks_it_then_told_at_once() -> None:
    a, b = pair()
    a.peer.expire(a.now)
    exchange(a, b)
    b.peer.keys.forget()
    a.peer.need_key(2)
    assert a.take() == []
    a.peer.need_key(1)
    exchange(a, b)
    assert a.is_ready
    assert b.peer.keys.knows(1)
