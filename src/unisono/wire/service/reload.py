"""What members say to each other when the configuration is to be read again.

Speaks:      the body of a native ring message of kind reload: an order (8 bytes), or a report on
             what a node has read (12 bytes and JSON).
Counterpart: corosync exec/cfg.c has one message, reload_config, and each node for itself.
Keeps:       a report is bounded; what it contains was checked for its form, and is only shown.
"""

import json
from enum import IntEnum
from struct import Struct
from typing import Any, Final

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.base.group import Buffer
from unisono.base.ids import NodeId
from unisono.base.limits import RELOAD_REPORT_BYTES_MAX

_ORDER: Final = Struct("<B3xI")
_REPORT: Final = Struct("<BB2xII")
assert _ORDER.size == 8
assert _REPORT.size == 12
_KIND_REPORT: Final = 64
_LISTS: Final = ("applied", "refused", "problems")


class Step(IntEnum):
    """What the node that leads a reload wants of all."""

    CHECK = 1
    """Read the own file, and report."""
    APPLY = 2
    """What was reported as good holds from here on."""
    DROP = 3
    """Somebody's file is not good: everything stays as it is."""


@event
class Order:
    """A step of the sender's reload of this number."""

    step: Step
    number: int


@event
class Report:
    """What one node's file is, for the reload `number` of node `leader`."""

    leader: NodeId
    number: int
    is_good: bool
    body: dict[str, Any]
    """`applied`, `refused`: lists of [directive, before, after]; `problems`: list of text."""


def encode_order(step: Step, number: int) -> bytes:
    """An order, 8 bytes."""
    return _ORDER.pack(step, number)


def encode_report(report: Report) -> bytes:
    """A report; lists that are too long for it are cut, and say so."""
    head = _REPORT.pack(_KIND_REPORT, report.is_good, report.number, report.leader)
    body = dict(report.body)
    data = json.dumps(body).encode()
    while len(data) > RELOAD_REPORT_BYTES_MAX:
        longest = max(_LISTS, key=lambda name: len(json.dumps(body.get(name, ""))))
        kept = body[longest][: len(body[longest]) // 2]
        body = {**body, longest: kept, "is_cut": True}
        data = json.dumps(body).encode()
    return head + data


def decode_reload(message: Buffer) -> Order | Report:
    """Either of them. WireError."""
    if len(message) == _ORDER.size:
        step, number = _ORDER.unpack(message)
        if step not in Step.__members__.values():
            raise WireError(f"step {step} of a reload")
        return Order(Step(step), number)
    if not _REPORT.size < len(message) <= _REPORT.size + RELOAD_REPORT_BYTES_MAX:
        raise WireError(f"reload message of {len(message)} bytes")
    kind, is_good, number, leader = _REPORT.unpack_from(message)
    if kind != _KIND_REPORT:
        raise WireError(f"reload message of kind {kind}")
    body = _decode_body(bytes(message[_REPORT.size :]))
    return Report(NodeId(leader), number, bool(is_good), body)


def _decode_body(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"report on a configuration: {error}") from error
    if not isinstance(body, dict):
        raise WireError("report on a configuration: no object")
    found: dict[str, Any] = {"is_cut": bool(body.get("is_cut"))}
    for name in _LISTS:
        entries = body.get(name, [])
        is_entry = _is_text if name == "problems" else _is_change
        if not isinstance(entries, list) or not all(map(is_entry, entries)):
            raise WireError(f"report on a configuration: {name}")
        found[name] = entries
    return found


def _is_text(entry: object) -> bool:
    return isinstance(entry, str)


def _is_change(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) == 3 and all(map(_is_text, entry))
