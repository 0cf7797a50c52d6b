"""Keyring: the rotation's files, its timer, and its answers to operators.

Speaks:      the five verbs of secure.rotation; KEYRING, PROGRESS and ANSWER of the native stream.
Counterpart: none; Corosync changes its key by a reload on all nodes at once (corosync-cfgtool -R).
Keeps:       keys are on the disk before any node hears that they are; of two files that change, the
             one is written first without which a crash between them would lock this node out.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from json import dumps
from pathlib import Path
from typing import Final, TypeAlias, assert_never

from unisono.base.errors import CsError
from unisono.base.group import Buffer, Marked, Multicast
from unisono.base.ids import MS, SECOND, ClientId, Nanos, NodeId
from unisono.base.keyring import KeyringAsked, KeyringDelivered, KeyringView
from unisono.base.limits import KEYRING_SECONDS_MAX
from unisono.config.settings import SecureSettings
from unisono.linux.key_file import (
    next_path,
    previous_path,
    remove_key_file,
    retired_path,
    write_key_file,
)
from unisono.secure.authkeys import Authkey, Authkeys
from unisono.secure.events import Adopted, KeysChanged, KeyTold, Tell
from unisono.secure.orders import Answered, Command, Effect, Progress, Stored, StoreKeys
from unisono.secure.rotation import Rotation
from unisono.services.access import may_order
from unisono.wire import native

Event: TypeAlias = KeyringView | KeyringDelivered | KeyringAsked
_NOBODY: Final = "only root and the daemon's own user may change keys"


class KeyFiles:
    """The key file, and beside it the next key, the previous one, and the removed ones' names."""

    __slots__ = ("_path", "_problem", "_stored")

    def __init__(self, secure: SecureSettings, stored: Authkeys) -> None:
        """`stored` is what was read from them."""
        self._path = Path(secure.key_file)
        self._problem = ""
        if secure.key:
            self._problem = (
                "the key stands in the configuration (totem.key): "
                f"write it to {self._path} and remove that line"
            )
        self._stored = stored

    def store(self, keys: Authkeys) -> str:
        """Write what differs; why it could not be done, or nothing."""
        if self._problem:
            return self._problem
        try:
            self._write(keys)
        except OSError as error:
            return f"{error.filename or self._path}: {error.strerror}"
        self._stored = keys
        return ""

    def _write(self, keys: Authkeys) -> None:
        # Removed names first: a key that is on the disk still is not accepted after a crash.
        # The previous key before the active one: no moment without a key that others accept.
        before, path = self._stored, self._path
        if keys.retired != before.retired:
            text = "".join(f"{kid.hex()}\n" for kid in keys.retired)
            write_key_file(retired_path(path), text.encode(), replace=True)
        if keys.previous is not None and keys.previous != before.previous:
            write_key_file(previous_path(path), keys.previous.raw, replace=True)
        if keys.active != before.active:
            write_key_file(path, keys.active.raw, replace=True)
        if keys.next is not None and keys.next != before.next:
            write_key_file(next_path(path), keys.next.raw, replace=True)
        _remove_if_none(keys.next, next_path(path))
        _remove_if_none(keys.previous, previous_path(path))


def _remove_if_none(key: Authkey | None, path: Path) -> None:
    if key is None:
        remove_key_file(path)


class KeyringDesk:
    """The driver of one node's rotation."""

    __slots__ = (
        "_clock", "_files", "_loop", "_mark", "_multicast", "_on_failure", "_reply", "_rotation",
        "_timer", "secure",
    )  # fmt: skip

    def __init__(
        self,
        rotation: Rotation,
        files: KeyFiles,
        *,
        multicast: Callable[[Multicast, Nanos], None],
        reply: Callable[[ClientId, Buffer], None],
        mark: Callable[[Marked], None],
        on_failure: Callable[[Exception], None],
        clock: Callable[[], int],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`secure` takes requests for the secure transport; it is set once that is open."""
        self._rotation = rotation
        self._files = files
        self._multicast = multicast
        self._reply = reply
        self._mark = mark
        self._on_failure = on_failure
        self._clock = clock
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self.secure: Callable[[Tell | KeysChanged], None] = lambda _request: None

    # -- what happens ------------------------------------------------------------------------------

    def take(self, event: Event, now: Nanos) -> None:
        """An effect of the services, at its place in their order."""
        if isinstance(event, KeyringAsked):
            self._on_asked(event, now)
        else:
            self._rotation.receive(event, now)
        self._finish(now)

    def told(self, event: Adopted | KeyTold) -> None:
        """What the secure transport found out."""
        now = Nanos(self._clock())
        self._rotation.submit(event, now)
        self._finish(now)

    def reconfigure(self, nodes: Sequence[NodeId]) -> None:
        """Other nodes are in the configuration."""
        self._rotation.reconfigure(nodes)

    def close(self) -> None:
        """Nothing is due any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_asked(self, asked: KeyringAsked, now: Nanos) -> None:
        is_change = asked.verb != native.Verb.SHOW
        if is_change and not may_order(asked.credentials, os.geteuid()):
            answer = Answered(asked.client, asked.request, CsError.ACCESS, {"text": _NOBODY})
            self._carry_out(answer, now)
            return
        timeout = Nanos(min(asked.timeout_ms * MS, KEYRING_SECONDS_MAX * SECOND))
        command = Command(
            asked.client, asked.request, asked.verb, asked.argument, asked.is_forced, timeout
        )
        self._rotation.submit(command, now)

    # -- what is to be done ------------------------------------------------------------------------

    def _finish(self, now: Nanos) -> None:
        """Carry out everything, then set the timer."""
        while effects := self._rotation.drain():
            for effect in effects:
                self._carry_out(effect, now)
        due = self._rotation.deadline()
        self.close()
        self._timer = None
        if due is not None:
            self._timer = self._loop.call_at(max(due, now) / SECOND, self._on_timer)

    def _on_timer(self) -> None:
        try:
            now = Nanos(self._clock())
            self._rotation.expire(now)
            self._finish(now)
        except Exception as error:  # noqa: BLE001  nothing may go on half done
            self._on_failure(error)

    def _carry_out(self, effect: Effect, now: Nanos) -> None:
        match effect:
            case Multicast():
                self._multicast(effect, now)
            case StoreKeys():
                problem = self._files.store(effect.keys)
                self._rotation.submit(Stored(effect.keys, problem), now)
            case Tell() | KeysChanged():
                self.secure(effect)
            case Progress():
                frame = native.encode_progress(effect.request, _encode(effect.body))
                self._reply(effect.client, frame)
            case Answered():
                body = _encode(effect.body)
                self._reply(effect.client, native.encode_answer(effect.request, body, effect.error))
            case Marked():
                self._mark(effect)
            case _:
                assert_never(effect)


def _encode(body: dict[str, object]) -> bytes:
    return dumps(body, separators=(",", ":")).encode()
