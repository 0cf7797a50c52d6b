"""A libcpg program that reports every message, for comparisons; commands on stdin, JSON lines out.

    differential_client.py NAME GROUP

    send FIRST COUNT SIZE GAP_US agreed|safe   messages FIRST, FIRST + 1, ... of SIZE bytes
    mark NUMBER                                an ordered mark, behind all that was sent before
    leave                                      leave the group

Speaks:      libcpg.so.4 by ctypes, so the same program runs before Corosync and before Unisono.
Keeps:       commands are carried out one after the other; end of file is the end.
"""

import ctypes
import json
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Final

HEAD: Final = Struct("<4s8s3I")
MAGIC: Final = b"diff"
DATA, MARK = 1, 2
CS_OK, CS_ERR_TRY_AGAIN = 1, 6
CPG_MODEL_V1, DELIVER_INITIAL_TOTEM_CONF, DISPATCH_ALL = 1, 1, 2
GUARANTEES: Final = {"agreed": 2, "safe": 3}
CONNECT_SECONDS_MAX: Final = 30
RETRY_SECONDS: Final = 0.002


def payload(name: str, kind: int, number: int, size: int = 0) -> bytes:
    """The bytes of one message of client `name`; no two are equal."""
    head = HEAD.pack(MAGIC, name.encode(), kind, number, max(size, HEAD.size))
    pattern = (number * 2654435761 + 1 & 0xFFFF_FFFF).to_bytes(4, "little") + name.encode()
    left = max(size, HEAD.size) - HEAD.size
    return head + (pattern * (left // len(pattern) + 1))[:left]


class Name(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint32), ("value", ctypes.c_char * 128))


class Address(ctypes.Structure):
    _fields_ = (("node", ctypes.c_uint32), ("pid", ctypes.c_uint32), ("reason", ctypes.c_uint32))


class RingId(ctypes.Structure):
    _fields_ = (("rep", ctypes.c_uint32), ("seq", ctypes.c_uint64))


class Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


_Handle = ctypes.c_uint64
_Name = ctypes.POINTER(Name)
_Addresses = ctypes.POINTER(Address)
_Numbers = ctypes.POINTER(ctypes.c_uint32)
_size = ctypes.c_size_t
_Deliver = ctypes.CFUNCTYPE(
    None, _Handle, _Name, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p, _size
)
_Change = ctypes.CFUNCTYPE(
    None, _Handle, _Name, _Addresses, _size, _Addresses, _size, _Addresses, _size
)
_RingChange = ctypes.CFUNCTYPE(None, _Handle, RingId, ctypes.c_uint32, _Numbers)


class Model(ctypes.Structure):
    _fields_ = (
        ("model", ctypes.c_int),
        ("on_message", _Deliver),
        ("on_view", _Change),
        ("on_ring", _RingChange),
        ("flags", ctypes.c_uint),
    )


def say(kind: str, **fields: object) -> None:
    print(json.dumps({"ev": kind, **fields}), flush=True)


def end(what: str, status: int) -> None:
    """The daemon is gone, or refuses: that is the last word."""
    say("lost", what=what, code=status)
    raise SystemExit(4)


def on_message(_: int, __: object, node: int, pid: int, message: int, size: int) -> None:
    data = ctypes.string_at(message, size)
    _, name, kind, number, _ = HEAD.unpack_from(data)
    name = name.rstrip(b"\0").decode()
    is_whole = data == payload(name, kind, number, size)
    event = "message" if kind == DATA else "mark"
    say(event, sender=[node, pid], name=name, number=number, size=size, whole=is_whole)


def _addresses(entries: "ctypes._Pointer[Address]", count: int) -> list[list[int]]:
    return [[each.node, each.pid, each.reason] for each in entries[:count]]


def on_view(_: int, __: object, m: object, mn: int, l: object, ln: int, j: object, jn: int) -> None:  # noqa: E741  # members, left, joined: libcpg's order
    lists = {"members": _addresses(m, mn), "left": _addresses(l, ln), "joined": _addresses(j, jn)}
    say("view", **lists)


def on_ring(_: int, ring: RingId, count: int, members: "ctypes._Pointer[ctypes.c_uint32]") -> None:
    say("ring", rep=ring.rep, seq=ring.seq, members=members[:count])


class Client:
    """One connection, one group, and the commands that wait."""

    def __init__(self, name: str, group: str) -> None:
        self.name = name
        self._group = Name(len(group), group.encode())
        self._cpg = ctypes.CDLL("libcpg.so.4")
        self._handle = _Handle()
        self._model = Model(
            CPG_MODEL_V1,
            _Deliver(on_message),
            _Change(on_view),
            _RingChange(on_ring),
            DELIVER_INITIAL_TOTEM_CONF,
        )
        self._commands: deque[list[str]] = deque()
        self._unread = b""
        self._not_before = 0.0

    def connect(self) -> int:
        """Connect and join; returns the descriptor to watch."""
        self._until_ok("initialize", self._initialize, may_start=True)
        self._until_ok("join", self._join)
        fd = ctypes.c_int()
        self._cpg.cpg_fd_get(self._handle, ctypes.byref(fd))
        return fd.value

    def _initialize(self) -> int:
        model = ctypes.byref(self._model)
        return self._cpg.cpg_model_initialize(ctypes.byref(self._handle), CPG_MODEL_V1, model, None)

    def _join(self) -> int:
        return self._cpg.cpg_join(self._handle, ctypes.byref(self._group))

    def _leave(self) -> int:
        return self._cpg.cpg_leave(self._handle, ctypes.byref(self._group))

    def _until_ok(self, what: str, call: Callable[[], int], *, may_start: bool = False) -> None:
        """Repeat while the daemon says try again; `may_start`: whatever it says, it may start."""
        limit = time.monotonic() + CONNECT_SECONDS_MAX
        while (status := call()) != CS_OK:
            if time.monotonic() > limit or not (may_start or status == CS_ERR_TRY_AGAIN):
                end(what, status)
            time.sleep(RETRY_SECONDS)

    def run(self) -> None:
        """Until the end of the input, or of the daemon."""
        fd = self.connect()
        while True:
            pause = self._obey()
            readable, _, _ = select.select([fd, 0], [], [], pause)
            if fd in readable:
                status = self._cpg.cpg_dispatch(self._handle, DISPATCH_ALL)
                if status not in (CS_OK, CS_ERR_TRY_AGAIN):
                    end("dispatch", status)
            if 0 in readable and not self._read():
                return

    def _read(self) -> bool:
        data = os.read(0, 1 << 16)
        *lines, self._unread = (self._unread + data).split(b"\n")
        self._commands += [line.decode().split() for line in lines]
        return bool(data)

    def _obey(self) -> float | None:
        """Carry out what is due; returns how long to sleep, None for as long as it is quiet."""
        while self._commands:
            wait = self._not_before - time.monotonic()
            if wait > 0:
                return wait
            match self._commands[0]:
                case ["send", first, count, size, gap_us, guarantee]:
                    data = payload(self.name, DATA, int(first), int(size))
                    if not self._multicast(data, GUARANTEES[guarantee]):
                        return RETRY_SECONDS
                    rest = [str(int(first) + 1), str(int(count) - 1), size, gap_us, guarantee]
                    self._commands[0] = ["send", *rest]
                    self._not_before = time.monotonic() + int(gap_us) / 1e6
                    if int(count) > 1:
                        continue
                case ["mark", number]:
                    if not self._multicast(payload(self.name, MARK, int(number)), 2):
                        return RETRY_SECONDS
                case ["leave"]:
                    self._until_ok("leave", self._leave)
            self._commands.popleft()
        return None

    def _multicast(self, data: bytes, guarantee: int) -> bool:
        """True when the daemon took it, False when it asks to try again."""
        piece = Piece(data, len(data))
        status = self._cpg.cpg_mcast_joined(self._handle, guarantee, ctypes.byref(piece), 1)
        if status not in (CS_OK, CS_ERR_TRY_AGAIN):
            end("mcast", status)
        return status == CS_OK


if __name__ == "__main__":
    Client(*sys.argv[1:]).run()
