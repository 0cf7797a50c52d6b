"""A third host that holds no key sends back what it recorded: at once, later, after restarts."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.interop.intruder import Datagram, Impostor, Recorder
from tests.interop.lab import Lab
from tests.interop.rings import assert_load_ordered
from tests.interop.secure_lab import refusals, ring_changes, secure, wait_doing_nothing

pytestmark = pytest.mark.timeout(90)

STRANGER = 4
WANTED = 400
WATCHED_SECONDS = 1.5
"""Longer than the token time-out: what the replay did to the ring would have shown by then."""


@pytest.fixture
def lab(laboratory: Callable[..., Lab]) -> Iterator[Lab]:
    with secure("uuu", strangers=1) as made:
        yield made


def refused(lab: Lab) -> Counter[str]:
    return sum((refusals(lab, n) for n in lab.nodes), Counter())


def assert_replay_changes_nothing(lab: Lab, recorded: list[Datagram], impostor: Impostor) -> None:
    """Each of these is sent again: every one is counted by somebody, and no view changes."""
    rings, before = ring_changes(lab), refused(lab)
    impostor.send(recorded)
    wait_doing_nothing(lab, WATCHED_SECONDS)
    assert ring_changes(lab) == rings, lab.describe()
    drops = refused(lab) - before
    assert drops.total() >= len(recorded), (len(recorded), drops)


def recorded_life(lab: Lab, recorder: Recorder) -> list[Datagram]:
    """Traffic with everything in it: handshakes, joins, messages, large ones, a leave, a return."""
    lab.form()
    assert_load_ordered(lab, messages=100)
    lab.send(2, 60_000)
    lab.finish()
    lab.stop(3)
    lab.wait_views([1, 2])
    lab.start(3)
    lab.wait_views()
    recorded = recorder.take()
    assert len(recorded) >= WANTED
    return recorded


def test_ring_when_its_traffic_is_replayed_then_no_view_changes_and_each_packet_is_counted(
    lab: Lab,
) -> None:
    stranger = lab.network.host(STRANGER)
    with Recorder(lab.network) as recorder, Impostor(stranger) as impostor:
        recorded = recorded_life(lab, recorder)
        assert_replay_changes_nothing(lab, recorded, impostor)
        assert_load_ordered(lab, messages=2_000)
        assert_replay_changes_nothing(lab, recorded, impostor)
        lab.kill(2)
        lab.wait_views([1, 3])
        lab.start(2)
        lab.wait_views()
        assert_replay_changes_nothing(lab, recorded, impostor)
        for n in lab.nodes:
            lab.stop(n)
        lab.form()
        assert_replay_changes_nothing(lab, recorded, impostor)
        assert_load_ordered(lab)
