"""Catalogue: every mutant, by the room of the product in which it is wrong."""

from typing import Final

from tests.mutants.cpg import CPG
from tests.mutants.membership import MEMBERSHIP
from tests.mutants.mutant import Mutant
from tests.mutants.ordering import ORDERING
from tests.mutants.packing import PACKING
from tests.mutants.recovery import RECOVERY
from tests.mutants.reload import RELOAD
from tests.mutants.secure import SECURE
from tests.mutants.sync import SYNC

ROOMS: Final[dict[str, tuple[Mutant, ...]]] = {
    "ordering": ORDERING,
    "recovery": RECOVERY,
    "membership": MEMBERSHIP,
    "packing": PACKING,
    "sync": SYNC,
    "cpg": CPG,
    "reload": RELOAD,
    "secure": SECURE,
}
MUTANTS: Final = {mutant.name: mutant for room in ROOMS.values() for mutant in room}
"""By name."""
ROOM_OF: Final = {mutant.name: name for name, room in ROOMS.items() for mutant in room}
"""The room of each mutant's name."""
