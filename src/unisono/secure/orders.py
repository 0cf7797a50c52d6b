"""Orders: what an operator asks of the rotation, what it answers, and what it wants carried out."""

from typing import TypeAlias

from unisono.base.errors import CsError
from unisono.base.event import event
from unisono.base.group import Marked, Multicast
from unisono.base.ids import ClientId, Nanos
from unisono.base.keyring import KeyringDelivered, KeyringView
from unisono.secure.authkeys import Authkeys
from unisono.secure.events import Adopted, KeysChanged, KeyTold, Tell

# -- requests -----------------------------------------------------------------------------------


@event
class Command:
    """An operator's command; `verb` and `argument` as in the KEYRING frame (wire.native)."""

    client: ClientId
    request: int
    verb: int
    argument: bytes
    is_forced: bool
    timeout_ns: Nanos

    def __repr__(self) -> str:
        return f"Command({self.client}, {self.verb}, {len(self.argument)} bytes)"


@event
class Stored:
    """What became of a StoreKeys: `problem` is empty, or why the files are not written."""

    keys: Authkeys
    problem: str = ""


Request: TypeAlias = Command | Stored | Adopted | KeyTold
Event: TypeAlias = KeyringView | KeyringDelivered

# -- effects ------------------------------------------------------------------------------------


@event
class StoreKeys:
    """Write these to the disk before any later effect is carried out, and answer with `Stored`."""

    keys: Authkeys


@event
class Progress:
    """How far a command has come."""

    client: ClientId
    request: int
    body: dict[str, object]


@event
class Answered:
    """The end of a command; `body["text"]` is for people and says what to do about an error."""

    client: ClientId
    request: int
    error: CsError
    body: dict[str, object]


Effect: TypeAlias = Multicast | StoreKeys | KeysChanged | Tell | Progress | Answered | Marked
