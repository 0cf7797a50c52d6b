"""`unisono keygen`: a new authkey and its fingerprint, or a node's key pair (`--node`)."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from unisono.base.errors import ConfigError, UsageError
from unisono.base.limits import CONFIG_BYTES_MAX
from unisono.config.document import Block, read_document
from unisono.config.environment import Subject, choose
from unisono.config.grammar import parse
from unisono.config.problems import Report
from unisono.config.security import encode_public_key
from unisono.crypto.keys import AUTHKEY_BYTES_MAX, AUTHKEY_BYTES_MIN, derive
from unisono.crypto.noise import KEY_BYTES
from unisono.linux.key_file import read_key_file, write_key_file

KEY_BYTES_DEFAULT: Final = 256
EXIT_BAD_OPTION: Final = 1
EXIT_NOT_CREATED: Final = 2
EXIT_NOT_WRITTEN: Final = 4


class _Parser(argparse.ArgumentParser):
    """Ends with corosync-keygen's status for a wrong option."""

    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return
        self.print_usage(sys.stderr)
        self.exit(EXIT_BAD_OPTION, f"{self.prog}: {message}\n")


def _size(text: str) -> int:
    allowed = f"{AUTHKEY_BYTES_MIN} to {AUTHKEY_BYTES_MAX}"
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"found {text}; allowed: {allowed}")
    if not AUTHKEY_BYTES_MIN <= int(text) <= AUTHKEY_BYTES_MAX:
        raise argparse.ArgumentTypeError(f"found {text}; allowed: {allowed}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="unisono keygen",
        description="Make the key that every node of a cluster holds, readable by its owner only. "
        "Exit status 0; 1 bad option or source, 2 the file cannot be made, 4 or written.",
    )
    parser.add_argument("-k", "--key-file", type=Path, metavar="FILE", help="where the key goes")
    parser.add_argument(
        "-s",
        "--size",
        type=_size,
        metavar="BYTES",
        help=f"{AUTHKEY_BYTES_MIN} to {AUTHKEY_BYTES_MAX} (default {KEY_BYTES_DEFAULT})",
    )
    parser.add_argument(
        "-r", "--random-file", type=Path, metavar="FILE", help="take the bytes from here"
    )
    parser.add_argument("-l", "--less-secure", action="store_true", help="accepted, does nothing")
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="configuration that names the cluster"
    )
    parser.add_argument("--cluster", metavar="NAME", help="the cluster's name, without a file")
    parser.add_argument("--force", action="store_true", help="replace a key that exists")
    parser.add_argument(
        "--node",
        action="store_true",
        help="make the private key of this node instead, and print its line for the node list",
    )
    return parser


def _totem_of(file: Path) -> Block | None:
    """The totem section of a configuration, faults elsewhere in it aside; None without one."""
    try:
        with file.open("rb") as stream:
            text = stream.read(CONFIG_BYTES_MAX + 1)
    except OSError:
        return None
    document = read_document(parse(text, str(file)), Report(str(file)))
    return document.section("totem")


def _take(source: Path | None, size: int) -> bytes:
    """`size` bytes of `source`, else of the kernel. OSError; UsageError when there are too few."""
    if source is None:
        return os.urandom(size)
    with source.open("rb") as stream:
        key = stream.read(size)
    if len(key) < size:
        raise UsageError(f"{source} has only {len(key)} of {size} bytes")
    return key


def run(arguments: Sequence[str]) -> int:
    """Make the key; its exit status is corosync-keygen's."""
    parser = _parser()
    options = parser.parse_args(arguments)
    config = Path(choose(Subject.MAIN_FILE, os.environ, argument=_text(options.config)).path)
    if options.node and options.size is not None:
        parser.error(f"--size is not for --node: a private key has {KEY_BYTES} bytes")
    return _run_node(options, config) if options.node else _run_cluster(options, config)


def _run_cluster(options: argparse.Namespace, config: Path) -> int:
    path = Path(choose(Subject.KEY_FILE, os.environ, argument=_text(options.key_file)).path)
    size = options.size or KEY_BYTES_DEFAULT
    try:
        key = _take(options.random_file, size)
    except (OSError, UsageError) as error:
        print(f"unisono keygen: no key: {error}", file=sys.stderr)
        return EXIT_BAD_OPTION
    if status := _write(
        path,
        key,
        "a new key there would cut this node off from nodes that hold the old one",
        replace=options.force,
    ):
        return status
    print(f"wrote {size} bytes to {path}, mode 0400")
    totem = _totem_of(config)
    name = totem.text("cluster_name") if totem is not None else None
    name = options.cluster if options.cluster is not None else name
    if name is None:
        print(f"fingerprint: depends on the cluster's name; {config} has none, give --cluster NAME")
    else:
        print(f"fingerprint in cluster {name!r}: {derive(key, name).fingerprint}")
    print("copy it to every node over a safe way (scp -p), and keep it from everybody else")
    return 0


def _run_node(options: argparse.Namespace, config: Path) -> int:
    """A key pair: the private half stays here, the public half is a line for every node's file."""
    totem = _totem_of(config) or Block("totem")
    path = options.key_file or Path(totem.text("ust_private_key_file"))
    try:
        key = _take(options.random_file, KEY_BYTES)
    except (OSError, UsageError) as error:
        print(f"unisono keygen: no key: {error}", file=sys.stderr)
        return EXIT_BAD_OPTION
    if status := _write(
        path,
        key,
        "the node list of the other nodes names its public key",
        replace=options.force,
    ):
        _show_public(path)
        return status
    print(f"wrote {KEY_BYTES} bytes to {path}, mode 0400; it never leaves this node")
    print("put this line into this node's block of the node list, in the file of every node:")
    print(f"    ust_pubkey: {_public_key(key)}")
    return 0


def _show_public(path: Path) -> None:
    """The line of a key that exists, for whoever has lost it."""
    try:
        key = read_key_file(path, KEY_BYTES)
    except ConfigError:
        return
    if len(key) == KEY_BYTES:
        print(f"    ust_pubkey: {_public_key(key)}")


def _public_key(key: bytes) -> str:
    public = X25519PrivateKey.from_private_bytes(key).public_key()
    return encode_public_key(public.public_bytes_raw())


def _write(path: Path, key: bytes, reason: str, *, replace: bool) -> int:
    """Write a key; exit status, 0 when it is there."""
    try:
        write_key_file(path, key, replace=replace)
    except FileExistsError:
        print(
            f"unisono keygen: {path} exists; {reason}. With --force it is replaced.",
            file=sys.stderr,
        )
        return EXIT_NOT_CREATED
    except OSError as error:
        print(f"unisono keygen: cannot write {path}: {error.strerror}", file=sys.stderr)
        return EXIT_NOT_WRITTEN if path.parent.is_dir() else EXIT_NOT_CREATED
    return 0


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
