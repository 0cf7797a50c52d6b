"""VOTEQUORUM on the ring: votes, expected votes and flags of each node, and their changes.

Speaks:      nodeinfo, reconfigure, qdevice_reg, qdevice_reconfigure (service 5).
Counterpart: corosync exec/votequorum.c, structs req_exec_quorum_*.
"""

from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.base.ids import NodeId
from unisono.wire.service import header
from unisono.wire.service.header import RingService, make_id

NODEINFO: Final = make_id(RingService.VOTEQUORUM, 0)
RECONFIGURE: Final = make_id(RingService.VOTEQUORUM, 1)
QDEVICE_REG: Final = make_id(RingService.VOTEQUORUM, 2)
QDEVICE_RECONFIGURE: Final = make_id(RingService.VOTEQUORUM, 3)


class NodeFlag(IntFlag):
    """Flags of a nodeinfo (NODE_FLAGS_*)."""

    QUORATE = 1
    LEAVING = 2
    WAIT_FOR_ALL_STATUS = 4
    FIRST = 8
    QDEVICE_REGISTERED = 16
    QDEVICE_ALIVE = 32
    QDEVICE_CAST_VOTE = 64
    QDEVICE_MASTER_WINS = 128


class Parameter(IntEnum):
    """What a reconfigure changes (RECONFIG_PARAM_*)."""

    EXPECTED_VOTES = 1
    NODE_VOTES = 2
    CANCEL_WAIT_FOR_ALL = 3


QDEVICE_NODE: Final = NodeId(0)
"""Node id of the pseudo node that stands for the quorum device."""
_NODEINFO: Final = Struct("<i4xi4xIIII")
_RECONFIGURE: Final = Struct("<i4xi4xIIB3x4x")
_QDEVICE_REG: Final = Struct("<i4xi4xI255s5x")
_QDEVICE_RECONFIGURE: Final = Struct("<i4xi4x255s255s2x")
assert _NODEINFO.size == 32
assert _RECONFIGURE.size == 32
assert _QDEVICE_REG.size == 280
assert _QDEVICE_RECONFIGURE.size == 528


@event
class NodeInfo:
    """Votes of the sender, or (node id 0) of its quorum device."""

    node_id: NodeId
    votes: int
    expected_votes: int
    flags: int


@event
class Reconfigure:
    """An administrator changed `parameter` (a Parameter) to `value`."""

    node_id: NodeId
    value: int
    parameter: int


@event
class QdeviceReg:
    """The sender's quorum device was registered (1) or unregistered (0)."""

    operation: int
    name: bytes


@event
class QdeviceReconfigure:
    """The quorum device changed its name."""

    old_name: bytes
    new_name: bytes


def encode_nodeinfo(info: NodeInfo) -> bytes:
    """nodeinfo, 32 bytes. Send one's own before any with node id 0, or every peer stops."""
    return _NODEINFO.pack(NODEINFO, 32, info.node_id, info.votes, info.expected_votes, info.flags)


def decode_nodeinfo(message: memoryview) -> NodeInfo:
    """nodeinfo; unknown flags are kept."""
    header.check(message, _NODEINFO.size)
    _, _, node_id, votes, expected_votes, flags = _NODEINFO.unpack_from(message)
    return NodeInfo(NodeId(node_id), votes, expected_votes, flags)


def encode_reconfigure(change: Reconfigure) -> bytes:
    """Reconfigure, 32 bytes."""
    return _RECONFIGURE.pack(RECONFIGURE, 32, change.node_id, change.value, change.parameter)


def decode_reconfigure(message: memoryview) -> Reconfigure:
    """Reconfigure; the parameter may be unknown."""
    header.check(message, _RECONFIGURE.size)
    _, _, node_id, value, parameter = _RECONFIGURE.unpack_from(message)
    return Reconfigure(NodeId(node_id), value, parameter)


def encode_qdevice_reg(change: QdeviceReg) -> bytes:
    """qdevice_reg, 280 bytes."""
    return _QDEVICE_REG.pack(QDEVICE_REG, 280, change.operation, change.name)


def decode_qdevice_reg(message: memoryview) -> QdeviceReg:
    """qdevice_reg; the name ends at its first NUL."""
    header.check(message, _QDEVICE_REG.size)
    _, _, operation, name = _QDEVICE_REG.unpack_from(message)
    if operation > 1:
        raise WireError(f"qdevice_reg of operation {operation}")
    return QdeviceReg(operation, name.partition(b"\0")[0])


def encode_qdevice_reconfigure(change: QdeviceReconfigure) -> bytes:
    """qdevice_reconfigure, 528 bytes."""
    return _QDEVICE_RECONFIGURE.pack(QDEVICE_RECONFIGURE, 528, change.old_name, change.new_name)


def decode_qdevice_reconfigure(message: memoryview) -> QdeviceReconfigure:
    """qdevice_reconfigure; names end at their first NUL."""
    header.check(message, _QDEVICE_RECONFIGURE.size)
    _, _, old_name, new_name = _QDEVICE_RECONFIGURE.unpack_from(message)
    return QdeviceReconfigure(old_name.partition(b"\0")[0], new_name.partition(b"\0")[0])
