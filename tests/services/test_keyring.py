"""Authkeys in the services: passed on in the ring's order, with who asks as the kernel says."""

from dataclasses import replace

import pytest

from tests.services.bus import NOW, cluster, settings
from unisono.base.clients import ClientConnected, ClientRequest, Credentials, Reply, Service
from unisono.base.errors import CsError
from unisono.base.group import ConfigurationChanged, ConfigurationKind, Delivered
from unisono.base.ids import ClientId, NodeId, Pid, RingId, RingSeq, Seq
from unisono.base.keyring import KeyringAsked, KeyringDelivered, KeyringView
from unisono.config.settings import UST, SecureSettings
from unisono.services import Engine
from unisono.services.access import may_order
from unisono.wire import native as stream
from unisono.wire.service.header import GROUP_NATIVE
from unisono.wire.service.native import encode_keyring

RING = RingId(NodeId(1), RingSeq(4))
QUESTION = stream.encode_keyring(7, stream.Verb.INSTALL, b"k" * 200, force=True, timeout_ms=9)


def engine() -> Engine:
    """The services of a node on the secure transport."""
    plain = settings(1)
    transport = replace(plain.transport, kind=UST, secure=SecureSettings(links=()))
    return Engine(replace(plain, transport=transport))


def about_keys(made: Engine) -> list[object]:
    kinds = KeyringAsked | KeyringDelivered | KeyringView
    return [effect for effect in made.drain() if isinstance(effect, kinds)]


def message(body: bytes, group: bytes = GROUP_NATIVE) -> Delivered:
    return Delivered(NodeId(2), group, memoryview(encode_keyring(body)), RING, Seq(1))


def test_messages_when_the_ring_changes_between_them_then_passed_on_in_that_order() -> None:
    made = engine()
    members = NodeId(1), NodeId(2)
    made.receive(message(b"before"), NOW)
    for kind in ConfigurationKind:
        made.receive(ConfigurationChanged(kind, RING, members, (), ()), NOW)
    made.receive(message(b"after"), NOW)
    assert about_keys(made) == [
        KeyringDelivered(NodeId(2), b"before"),
        KeyringView(members),
        KeyringDelivered(NodeId(2), b"after"),
    ]


def test_question_when_asked_then_passed_on_with_the_kernels_word_for_who_asks() -> None:
    made = engine()
    who = Credentials(Pid(9), 1000, 1000)
    client = ClientId(3)
    made.submit(ClientConnected(client, Service.NATIVE, who), NOW)
    made.submit(ClientRequest(client, memoryview(stream.encode_hello())), NOW)
    made.submit(ClientRequest(client, memoryview(QUESTION)), NOW)
    (asked,) = about_keys(made)
    verb = stream.Verb.INSTALL
    assert asked == KeyringAsked(client, who, 7, verb, True, 9, b"k" * 200)
    assert "kkkk" not in repr(asked)


def test_question_when_the_transport_has_no_keys_then_not_supported() -> None:
    bus = cluster(1)
    client = bus.native(1)
    reply = client.ask(QUESTION)
    assert reply is not None
    answer = stream.decode_to_client(memoryview(reply))
    assert isinstance(answer, stream.Answer)
    assert answer.error == CsError.NOT_SUPPORTED


def test_question_when_asked_before_the_greeting_then_the_client_is_dropped() -> None:
    made = engine()
    made.submit(ClientConnected(ClientId(3), Service.NATIVE, Credentials(Pid(9), 0, 0)), NOW)
    made.submit(ClientRequest(ClientId(3), memoryview(QUESTION)), NOW)
    effects = made.drain()
    assert not any(isinstance(effect, Reply | KeyringAsked) for effect in effects)


@pytest.mark.parametrize(
    ("uid", "gid", "may"), [(0, 0, True), (1000, 5, True), (1001, 0, False), (65534, 65534, False)]
)
def test_keys_when_changed_then_by_root_or_the_owner_alone(uid: int, gid: int, may: bool) -> None:
    assert may_order(Credentials(Pid(1), uid, gid), owner=1000) is may
