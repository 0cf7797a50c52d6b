"""The secure transport under simulated nodes: links, keys, closed ports, an intruder."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from unisono.base.ids import MS, SECOND, NodeId
from unisono.base.marks import Mark
from unisono.sim.armour import Armour
from unisono.sim.checkers import Checker, ring_checkers, secure_checkers
from unisono.sim.cluster import ring_settings
from unisono.sim.network import NetworkOptions
from unisono.sim.secure_cluster import SecureCluster
from unisono.sim.secure_node import Keys

ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)
CALM = NetworkOptions(delay_min_ns=50_000, delay_mean_ns=10_000)
PLAIN = Armour()


def cluster(armour: Armour = PLAIN, *more: Checker, token_ms: int = 300) -> SecureCluster:
    return SecureCluster(
        (ONE, TWO, THREE),
        seed="test",
        settings=ring_settings(token_ms),
        options=CALM,
        checkers=[*ring_checkers(), *secure_checkers(), *more],
        armour=armour,
    )


def formed(armour: Armour = PLAIN, token_ms: int = 300) -> SecureCluster:
    made = cluster(armour, token_ms=token_ms)
    for node in made.nodes:
        made.start(node)
    assert made.run_until_together(made.now + 5 * SECOND)
    return made


def views(made: SecureCluster) -> int:
    return made.trace.counts["Installed"]


def marks(made: SecureCluster, mark: Mark) -> int:
    return made.world.marks.get(mark, 0)


def dropped(made: SecureCluster, reason: str) -> int:
    """Packets that all nodes dropped for this reason."""
    total = 0
    for node in made.nodes.values():
        assert node.secure is not None
        status: Any = node.secure.status(node.world.scheduler.now)
        total += status["dropped"].get(reason, 0)
        total += sum(peer["frames"].get(reason, 0) for peer in status["peers"])
    return total


# -- nodes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("links", [1, 3])
@pytest.mark.parametrize("mode", ["passive", "active", "rr"])
def test_cluster_when_started_then_one_view_and_messages_everywhere(links: int, mode: str) -> None:
    made = formed(Armour(links=links, link_mode=mode, has_node_keys=links == 3))
    made.send(ONE, 5_000, safe=True)
    assert made.run_until_settled(made.now + 5 * SECOND)
    made.conclude()
    assert made.trace.counts["Delivered"] >= 3


def test_cluster_when_frames_are_large_then_they_come_in_pieces() -> None:
    made = cluster()
    made.settings = replace(made.settings, net_mtu_bytes=60_000)
    sizes: list[int] = []
    made.fabric.listeners.append(lambda _s, _t, _link, packet: sizes.append(len(packet)))
    for node in made.nodes.values():
        node.settings = made.settings
        made.start(node.node)
    assert made.run_until_together(made.now + 5 * SECOND)
    before = made.datagrams_sent
    made.send(ONE, 50_000, safe=False)
    assert made.run_until_settled(made.now + SECOND)
    assert max(sizes) <= 1_472
    assert made.datagrams_sent - before < 50, "one frame, not fifty"


def test_node_when_its_daemon_dies_then_closed_ports_tell_before_the_time_out() -> None:
    made = formed(token_ms=3_000)
    made.send(ONE, 100, safe=False)
    made.run_until(made.now + 100 * MS)
    before, died = views(made), made.now
    made.kill(TWO)
    made.send(ONE, 100, safe=False)
    while views(made) == before:
        made.run_until(made.now + MS)
    assert made.now - died < 300 * MS
    assert marks(made, Mark.MEMBER_SILENT) >= 1


def test_node_when_its_host_dies_then_nobody_is_told() -> None:
    made = formed(Armour(hints=0.0), token_ms=1_000)
    made.kill(TWO)
    before = views(made)
    made.run_until(made.now + 500 * MS)
    assert views(made) == before


def test_node_when_hints_lie_then_no_view_changes() -> None:
    made = formed()
    before = views(made)
    for _ in range(50):
        made.hint(ONE, TWO, 0)
        made.run_until(made.now + 20 * MS)
    assert views(made) == before
    assert marks(made, Mark.PEER_GONE) == 0


def test_node_when_it_has_another_key_then_it_stays_alone_until_it_has_the_right_one() -> None:
    made = cluster()
    made.rekey(THREE, 9, 0, 0, False)
    for node in made.nodes:
        made.start(node)
    made.run_until(3 * SECOND)
    assert dropped(made, "other_key") > 0
    assert marks(made, Mark.INVALID_DIGEST) >= 2
    assert not made.liveness.settled
    made.rekey(THREE, 1, 0, 0, True)
    assert made.run_until_together(made.now + made.recovery_bound(CALM))
    made.conclude()


def test_node_when_keys_rotate_then_no_view_changes() -> None:
    made = formed()
    before = views(made)
    for keys in ((1, 2, 0), (2, 0, 1), (2, 0, 0)):
        for node in made.nodes:
            made.rekey(node, *keys, True)
            made.run_until(made.now + 300 * MS)
    assert views(made) == before
    made.kill(THREE)
    made.start(THREE)
    assert made.nodes[THREE].keys == Keys(2, 0, 0)
    assert made.run_until_together(made.now + made.recovery_bound(CALM))
    made.conclude()


@pytest.mark.parametrize("noticed", [True, False])
def test_node_when_rolled_back_then_no_nonce_comes_again_and_all_is_well_in_the_end(
    noticed: bool,
) -> None:
    made = formed()
    made.snapshot(TWO)
    for _ in range(20):
        made.send(TWO, 1_000, safe=False)
    made.run_until(made.now + SECOND)
    made.roll_back(TWO, noticed)
    for _ in range(20):
        made.send(TWO, 1_000, safe=False)
    deadline = made.calm(CALM)
    assert made.run_until_settled(deadline)
    made.conclude()


def test_node_when_packets_wait_then_they_are_read_together() -> None:
    made = formed()
    batches: list[int] = []
    secure: Any = made.nodes[TWO].secure

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(secure, name)

        def receive(self, batch: Sequence[bytes], *rest: Any) -> None:
            batches.append(len(batch))
            secure.receive(batch, *rest)

    made.nodes[TWO].secure = Counting()  # type: ignore[assignment]  # the machine, and a counter
    made.pause(TWO)
    for _ in range(20):
        made.send(ONE, 1_300, safe=False)
    made.run_until(made.now + 50 * MS)
    assert not batches
    made.resume(TWO)
    assert max(batches) > 1


# -- the intruder ---------------------------------------------------------------------------------


def busy(made: SecureCluster, times: int = 10) -> None:
    for _ in range(times):
        made.send(ONE, 3_000, safe=False)
        made.run_until(made.now + 10 * MS)


def test_intruder_when_it_replays_then_it_is_counted_and_no_view_changes() -> None:
    made = formed()
    made.eavesdrop()
    busy(made)
    before = views(made)
    for way in range(4):
        for target in made.nodes:
            made.replay(target, 0, 300, way)
        busy(made, 3)
    assert views(made) == before
    assert dropped(made, "replayed") > 100
    made.conclude()


def test_intruder_when_it_replays_to_a_newborn_then_nothing_opens() -> None:
    made = formed()
    made.eavesdrop()
    busy(made)
    made.kill(TWO)
    made.start(TWO)
    made.replay(TWO, 0, 500, 0, "group")
    assert made.run_until_together(made.now + made.recovery_bound(CALM))
    made.conclude()


@pytest.mark.parametrize("how", ["noise", "magic", "flip", "cut", "piece", "claim", "handshake"])
def test_intruder_when_it_forges_then_no_view_changes(how: str) -> None:
    made = formed()
    made.eavesdrop()
    busy(made, 3)
    before = views(made)
    for target in made.nodes:
        made.forge_packets(target, how, 0, 100)
    busy(made, 3)
    assert made.intruder.sent >= 300
    assert views(made) == before


def test_intruder_when_it_redirects_frames_then_none_is_read_there() -> None:
    made = cluster()
    made.redirect(1.0)
    for node in made.nodes:
        made.start(node)
    assert made.run_until_together(made.now + 5 * SECOND)
    busy(made)
    made.conclude()
    assert made.intruder.sent > 100


def test_intruder_when_it_spoils_every_frame_then_pieces_are_sealed_one_by_one() -> None:
    made = cluster()
    for node in made.nodes.values():
        node.settings = replace(node.settings, net_mtu_bytes=9_000)
        made.start(node.node)
    assert made.run_until_together(made.now + 5 * SECOND)
    before = views(made)
    made.spoil(1.0)
    for _ in range(30):
        made.send(ONE, 8_000, safe=False)
        made.run_until(made.now + 20 * MS)
    assert marks(made, Mark.FRAMES_SPOILED) >= 1
    assert views(made) == before
    assert made.run_until_settled(made.now + 2 * SECOND)


def test_intruder_when_it_floods_with_hellos_then_cookies_are_asked_and_newcomers_come() -> None:
    made = cluster()
    made.eavesdrop()
    for node in (ONE, TWO):
        made.start(node)
    made.run_until(SECOND)
    made.flood(ONE, 1_500, MS)
    made.run_until(made.now + 100 * MS)
    made.start(THREE)
    assert made.run_until_together(made.now + 1_400 * MS)
    assert dropped(made, "cookies_sent") > 0
