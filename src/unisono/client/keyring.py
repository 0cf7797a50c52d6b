"""Keyring: one question about authkeys to the local daemon, and what it says until the last word.

Speaks:      KEYRING of the native stream (wire.native).
Keeps:       the key goes to a daemon that is root's or ours, and nowhere else; bytes are not shown.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from unisono.base.errors import CsError, WireError
from unisono.client.core import cs_error
from unisono.client.questions import REQUEST, put
from unisono.wire import native


class Said(NamedTuple):
    """What the daemon says: progress, or the answer; `error` is CsError.OK for progress."""

    is_answer: bool
    error: CsError
    body: dict[str, Any]


def ask(
    directory: Path | None,
    verb: native.Verb,
    argument: bytes = b"",
    *,
    force: bool = False,
    seconds: float,
) -> Iterator[Said]:
    """Progress, then the answer, which is the last; the daemon waits for others for `seconds`.

    ConnectionLost without a daemon; ClusterError ACCESS, SECURITY, VERSION, TIMEOUT.
    """
    question = native.encode_keyring(
        REQUEST, verb, argument, force=force, timeout_ms=round(seconds * 1000)
    )
    for said in put(directory, question, seconds=seconds):
        is_answer = isinstance(said, native.Answer)
        error = cs_error(said.error) if isinstance(said, native.Answer) else CsError.OK
        yield Said(is_answer, error, _decode(said.body))


def _decode(body: memoryview) -> dict[str, Any]:
    try:
        return dict(json.loads(bytes(body) or b"{}"))
    except ValueError as reason:
        raise WireError(f"the daemon's answer is not JSON: {reason}") from reason
