"""Checkers: one file per property of extended virtual synchrony; each judges the merged trace only.

Speaks:      records in; `Violation` out, with the property, the moment and what happened.
Counterpart: TigerBeetle testing/cluster/*_checker.zig; Moser, Amir et al.,
             "Extended Virtual Synchrony", ICDCS 1994.
Keeps:       sound: legal behaviour never fires; a process that crashed owes nothing.
Never:       looks into a machine, a network or a node.
"""

from unisono.sim.checkers.agreed_order import AgreedOrder
from unisono.sim.checkers.aru_safety import AruSafety
from unisono.sim.checkers.authenticity import Authenticity
from unisono.sim.checkers.bounded_memory import BoundedMemory
from unisono.sim.checkers.bounded_queues import BoundedQueues
from unisono.sim.checkers.causal_order import CausalOrder
from unisono.sim.checkers.checker import Checker, Violation
from unisono.sim.checkers.common_key import CommonKey
from unisono.sim.checkers.common_settings import CommonSettings
from unisono.sim.checkers.configuration_consistency import ConfigurationConsistency
from unisono.sim.checkers.delivery_view import DeliveryView
from unisono.sim.checkers.gap_freedom import GapFreedom
from unisono.sim.checkers.group_agreement import GroupAgreement
from unisono.sim.checkers.group_integrity import GroupIntegrity
from unisono.sim.checkers.integrity import Integrity
from unisono.sim.checkers.liveness import Liveness
from unisono.sim.checkers.no_ghosts import NoGhosts
from unisono.sim.checkers.nonce_uniqueness import NonceUniqueness
from unisono.sim.checkers.obligation_set import ObligationSet
from unisono.sim.checkers.quiescence import Quiescence
from unisono.sim.checkers.quorum import Quorum
from unisono.sim.checkers.safe_delivery import SafeDelivery
from unisono.sim.checkers.self_delivery import SelfDelivery
from unisono.sim.checkers.self_inclusion import SelfInclusion
from unisono.sim.checkers.sequence_uniqueness import SequenceUniqueness
from unisono.sim.checkers.single_acceptance import SingleAcceptance
from unisono.sim.checkers.steadfast_views import SteadfastViews
from unisono.sim.checkers.sync_barrier import SyncBarrier
from unisono.sim.checkers.token_uniqueness import TokenUniqueness
from unisono.sim.checkers.transitional_agreement import TransitionalAgreement
from unisono.sim.checkers.transitional_views import TransitionalViews
from unisono.sim.checkers.unique_views import UniqueViews
from unisono.sim.checkers.virtual_synchrony import VirtualSynchrony
from unisono.sim.checkers.wire_secrecy import WireSecrecy


def ring_checkers() -> list[Checker]:
    """Fresh checkers of everything that the ring promises, in the order in which they conclude."""
    return [
        UniqueViews(),
        SelfInclusion(),
        TransitionalViews(),
        TransitionalAgreement(),
        ConfigurationConsistency(),
        DeliveryView(),
        Integrity(),
        TokenUniqueness(),
        SequenceUniqueness(),
        AruSafety(),
        AgreedOrder(),
        CausalOrder(),
        SyncBarrier(),
        BoundedQueues(),
        BoundedMemory(),
        Liveness(),
        Quiescence(),
        SelfDelivery(),
        GapFreedom(),
        ObligationSet(),
        VirtualSynchrony(),
        SafeDelivery(),
    ]


def group_checkers() -> list[Checker]:
    """Fresh checkers of what the services promise: groups, the quorum, and their settings."""
    return [GroupIntegrity(), GroupAgreement(), NoGhosts(), Quorum(), CommonSettings()]


def secure_checkers() -> list[Checker]:
    """Fresh checkers of what the secure transport promises, whatever the weather."""
    return [WireSecrecy(), NonceUniqueness(), SingleAcceptance(), Authenticity(), CommonKey()]


def siege_checkers() -> list[Checker]:
    """Fresh checkers of what it promises where nothing is wrong but an intruder at work."""
    return [SteadfastViews()]


def all_checkers() -> list[Checker]:
    """One fresh checker of each kind."""
    return [*ring_checkers(), *group_checkers(), *secure_checkers(), *siege_checkers()]


def robustness_checkers() -> list[Checker]:
    """Fresh checkers of what holds even when peers lie: no bound is broken, all find together."""
    return [BoundedQueues(), BoundedMemory(), Liveness()]


__all__ = [
    "Checker",
    "GroupIntegrity",
    "Liveness",
    "SelfDelivery",
    "Violation",
    "all_checkers",
    "group_checkers",
    "ring_checkers",
    "robustness_checkers",
    "secure_checkers",
    "siege_checkers",
]
