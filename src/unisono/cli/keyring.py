"""`unisono keyring`: show and change the authkeys of a running cluster."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from unisono.base.errors import CsError, UnisonoError, UsageError
from unisono.base.limits import KEYRING_SECONDS_MAX
from unisono.client.discovery import find_instance
from unisono.client.keyring import Said, ask
from unisono.crypto.keys import AUTHKEY_BYTES_MAX
from unisono.linux.key_file import read_key_file
from unisono.wire.native import Verb

SECONDS_DEFAULT: Final = 30.0
KEY_BYTES: Final = 256
EXIT_REFUSED: Final = 1
Body = Mapping[str, Any]


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= KEYRING_SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text}: above 0, at most {KEYRING_SECONDS_MAX}")
    return value


def _fingerprint(text: str) -> bytes:
    try:
        kid = bytes.fromhex(text)
    except ValueError:
        kid = b""
    if len(kid) != 4:
        raise argparse.ArgumentTypeError(f"{text}: a fingerprint has 8 hexadecimal digits")
    return kid


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--instance",
        type=Path,
        metavar="DIR",
        help="directory of the instance (default: UNISONO_INSTANCE, else this machine's daemon)",
    )
    common.add_argument("--json", action="store_true", help="print the daemon's answer as JSON")
    change = argparse.ArgumentParser(add_help=False, parents=[common])
    change.add_argument(
        "--timeout",
        type=_seconds,
        default=SECONDS_DEFAULT,
        metavar="SECONDS",
        help=f"wait so long for the other nodes (default {SECONDS_DEFAULT:g})",
    )
    change.add_argument("--force", action="store_true", help="also where caution forbids it")
    parser = argparse.ArgumentParser(
        prog="unisono keyring",
        description="Change the cluster's key while it runs: install the new one, use it, remove "
        "the old one. Exit status 1 when it is refused, or some node has not acknowledged it.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("show", parents=[common], help="keys and who holds them, as fingerprints")
    install = verbs.add_parser("install", parents=[change], help="give all nodes the next key")
    source = install.add_mutually_exclusive_group()
    source.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="the key; without it, go on telling"
    )
    source.add_argument("--generate", action="store_true", help=f"a new one, {KEY_BYTES} bytes")
    use = verbs.add_parser("use", parents=[change], help="begin with the next key everywhere")
    remove = verbs.add_parser("remove", parents=[change], help="refuse the previous key")
    for verb, what in ((use, "next"), (remove, "previous")):
        verb.add_argument(
            "kid",
            nargs="?",
            type=_fingerprint,
            default=b"",
            metavar="FINGERPRINT",
            help=f"of the key (default: the {what} one)",
        )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Ask the daemon, tell how far it is, and end with its answer."""
    given = _parser().parse_args(arguments)
    verb = Verb[given.verb.upper()]
    try:
        answer = _converse(given, verb)
    except UnisonoError as reason:
        print(f"unisono keyring: {reason}", file=sys.stderr)
        return EXIT_REFUSED
    if given.json:
        print(json.dumps(answer.body, indent=2))
    elif answer.error is CsError.OK:
        print("\n".join(_DESCRIBE[verb](answer.body)))
    if answer.error is not CsError.OK:
        print(f"unisono keyring: {_refusal(answer)}", file=sys.stderr)
        return EXIT_REFUSED
    return 0


def _converse(given: argparse.Namespace, verb: Verb) -> Said:
    """The answer; what comes before it is printed. UnisonoError."""
    seconds = SECONDS_DEFAULT if verb is Verb.SHOW else given.timeout
    force = verb is not Verb.SHOW and given.force
    argument = _key(given) if verb is Verb.INSTALL else getattr(given, "kid", b"")
    said = Said(True, CsError.LIBRARY, {})
    for said in ask(find_instance(given.instance), verb, argument, force=force, seconds=seconds):
        if not said.is_answer and not given.json:
            missing = _nodes(said.body.get("missing"))
            print(f"{said.body['kid']}: acknowledged by {_nodes(said.body.get('done'))}, "
                  f"not yet by {missing}", flush=True)  # fmt: skip
    return said


def _key(given: argparse.Namespace) -> bytes:
    """The key to install; empty to go on with the one that is being installed. UnisonoError."""
    if given.generate:
        return os.urandom(KEY_BYTES)
    if given.file is None:
        return b""
    key = read_key_file(given.file, AUTHKEY_BYTES_MAX)
    if not key:
        raise UsageError(f"{given.file} is empty")
    return key


def _refusal(answer: Said) -> str:
    if answer.error is CsError.NOT_SUPPORTED and not answer.body:
        return "this daemon's transport has no keys: totem.transport must be ust"
    text = str(answer.body.get("text") or answer.error.name)
    missing = answer.body.get("missing")
    return f"{text}: {_nodes(missing)}" if missing else text


# -- for people ------------------------------------------------------------------------------------


def _describe_show(body: Body) -> Iterator[str]:
    for role in ("active", "next", "previous"):
        if body.get(role):
            yield f"{role:<10}{body[role]}"
    if body.get("retired"):
        yield f"{'removed':<10}{' '.join(body['retired'])}"
    yield f"{'node':<10}{'active':<10}{'next':<10}previous"
    for row in body["nodes"]:
        kids = "".join(f"{row.get(role) or '-':<10}" for role in ("active", "next", "previous"))
        absent = "" if row["is_present"] else "absent; last word" if "active" in row else "absent"
        yield f"{row['node']:<10}{kids}{absent}".rstrip()
    if not body["is_settled"]:
        yield "not every node that is present holds the same keys yet"


def _describe_install(body: Body) -> Iterator[str]:
    yield f"{body['kid']} is installed on {_nodes(body['done'])}; next: unisono keyring use"
    yield from _describe_absent(body)


def _describe_use(body: Body) -> Iterator[str]:
    yield f"{body['kid']} is active on {_nodes(body['done'])}; the one before is still accepted"
    yield from _describe_absent(body)
    if not body["absent"]:
        yield "next: unisono keyring remove"


def _describe_absent(body: Body) -> Iterator[str]:
    if body["absent"]:
        yield f"{_nodes(body['absent'])} absent: told when back, as long as the old key is there"


def _describe_remove(body: Body) -> Iterator[str]:
    yield f"{body['kid']} is removed from {_nodes(body['done'])} and refused from now on"
    if body["by_hand"]:
        yield (
            f"{_nodes(body['by_hand'])} absent and perhaps without the present key: "
            "copy the key file there by hand"
        )


_DESCRIBE: Final[dict[Verb, Callable[[Body], Iterator[str]]]] = {
    Verb.SHOW: _describe_show,
    Verb.INSTALL: _describe_install,
    Verb.USE: _describe_use,
    Verb.REMOVE: _describe_remove,
}


def _nodes(nodes: Sequence[int] | None) -> str:
    if not nodes:
        return "nobody"
    return f"node{'s' if len(nodes) > 1 else ''} {' '.join(map(str, nodes))}"
