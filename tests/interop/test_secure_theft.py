"""Traffic of real daemons is recorded, and their authkey stolen afterwards."""

from collections.abc import Callable

import pytest

from tests.interop.intruder import Recorder
from tests.interop.lab import Lab
from tests.interop.rings import assert_load_ordered
from tests.interop.secure_lab import AUTHKEY, leaked, secure
from tests.secure.burglar import Burglar
from unisono.wire.ust.header import PacketType

pytestmark = pytest.mark.timeout(60)

CLUSTER = "unison"
GROUP = "the-secret-choir"
CLOSED = (PacketType.ANSWER, PacketType.PAIR, PacketType.GROUP)


def test_recordings_when_the_authkey_is_stolen_later_then_only_the_daemons_secrets_open_them(
    laboratory: Callable[..., Lab],
) -> None:
    with secure("lll", group=GROUP) as lab, Recorder(lab.network) as recorder:
        lab.form()
        assert_load_ordered(lab, messages=50)
        lab.send(2, 30_000)
        lab.finish()
        packets = [datagram.data for datagram in recorder.take()]
        secrets = leaked(lab)
    name = GROUP.encode()
    held = [name, *secrets, *(AUTHKEY[at : at + 16] for at in range(0, len(AUTHKEY), 16))]
    assert not [packet for packet in packets if any(secret in packet for secret in held)]

    loot = Burglar(AUTHKEY, CLUSTER).rob(packets)
    assert all(loot.seen[kind] >= 3 for kind in CLOSED), loot.seen
    assert loot.genuine_macs == loot.seen[PacketType.HELLO] + loot.seen[PacketType.ANSWER]
    assert loot.opened[PacketType.HELLO] == loot.seen[PacketType.HELLO] > 0
    assert [loot.opened[kind] for kind in CLOSED] == [0, 0, 0]

    loot = Burglar(AUTHKEY, CLUSTER, more=secrets).rob(packets)
    assert loot.opened[PacketType.ANSWER] == loot.seen[PacketType.ANSWER]
    assert loot.opened[PacketType.PAIR] == loot.seen[PacketType.PAIR]
    assert any(name in frame for frame in loot.frames)
