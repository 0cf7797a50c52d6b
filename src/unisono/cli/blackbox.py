"""`unisono blackbox`: what a daemon did last, from its own dumps and from libqb's.

Counterpart: qb-blackbox(8) of libqb, whose lines look the same; corosync-blackbox(8).
Keeps:       entries go to standard output, all else to standard error; a damaged dump is shown as
             far as it is whole, and the exit status is 2.
"""

import argparse
import json
import os
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from unisono.base.errors import CsError, UnisonoError, WireError
from unisono.base.event import event
from unisono.base.limits import LIBQB_DUMP_BYTES_MAX
from unisono.client.core import cs_error
from unisono.client.discovery import find_instance
from unisono.client.questions import REQUEST, put
from unisono.linux.dump_directory import list_dumps
from unisono.linux.life import boot_id, start_ticks
from unisono.observe.playback import play
from unisono.wire import native
from unisono.wire.blackbox.dump import Dump, decode_dump, is_dump
from unisono.wire.blackbox.dump_file import DIED
from unisono.wire.blackbox.entry import PRIORITIES, Entry
from unisono.wire.blackbox.libqb import decode_libqb, encode_libqb, is_libqb

STATUS_NO_DUMP: Final = 1
STATUS_DAMAGED: Final = 2
STATE_DIRECTORY: Final = Path("/var/lib/corosync")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun",
                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # fmt: skip
_UNPRINTABLE: Final = dict.fromkeys((*range(32), *range(127, 160)), "?")
_NANOS: Final = 1_000_000_000
_NANOS_OF_MILLI: Final = 1_000_000
_SECONDS_MAX: Final = 1 << 33
_EXPORT_MODE: Final = 0o600


class NoDump(UnisonoError):
    """There is nothing to show; the text says why."""


@event
class Reading:
    """A dump as it was read, whoever wrote it; `about` says whose it is."""

    kind: str
    entries: list[Entry]
    faults: list[str]
    warnings: list[str]
    about: dict[str, Any]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unisono blackbox", description=__doc__.split("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="a dump (default: the newest one)")
    parser.add_argument(
        "--instance",
        type=Path,
        metavar="DIR",
        help="directory of the instance (default: UNISONO_INSTANCE, else this machine's daemon)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--libqb", type=Path, metavar="OUT", help="write the entries to a new file for qb-blackbox"
    )
    parser.add_argument("--request", action="store_true", help="let the running daemon dump first")
    return parser


REQUEST_SECONDS_MAX: Final = 30.0
REFUSALS: Final[dict[int, str]] = {
    CsError.ACCESS: "only root and the daemon's own user may have dumps",
    CsError.TRY_AGAIN: "a dump was made a moment ago; try again in a second",
    CsError.NOT_SUPPORTED: "its flight recorder is off (logging.blackbox), or has no keeper",
}


def request_dump(instance: Path | None) -> Path:
    """Let the daemon of `instance` write a dump now; its path. UnisonoError."""
    question = native.encode_query(REQUEST, native.What.DUMP)
    for said in put(instance, question, seconds=REQUEST_SECONDS_MAX):
        if isinstance(said, native.Answer):
            body = bytes(said.body)
            if said.error != CsError.OK:
                text = REFUSALS.get(said.error, os.fsdecode(body))
                raise NoDump(f"the daemon: {text or cs_error(said.error).name}")
            return Path(os.fsdecode(body))
    raise NoDump("the daemon gave no answer")


def newest_dump(directory: Path) -> Path:
    """The newest dump in a state directory; NoDump."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NoDump(f"{directory}: {error.strerror}") from error
    try:
        dumps = list_dumps(descriptor)
    finally:
        os.close(descriptor)
    if not dumps:
        raise NoDump(f"{directory} has no dump: no daemon has died there")
    return directory / dumps[-1][0]


def read_file(path: Path) -> bytes:
    """The bytes of a dump; NoDump when it cannot be one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NoDump(f"{path} is not a regular file")
            return file.read(LIBQB_DUMP_BYTES_MAX + 1)
    except OSError as error:
        raise NoDump(f"{path}: {error.strerror}") from error


def read(data: bytes) -> Reading:
    """A dump of either kind; WireError when it is none, or nothing of it can be believed."""
    if is_dump(data):
        dump = decode_dump(data)
        warnings = [] if dump.header.boot_id == boot_id() else [FOREIGN_BOOT]
        faults = dump.damage.words()
        return Reading("unisono", play(dump), faults, warnings, _about(dump))
    if is_libqb(data):
        entries, damage = decode_libqb(data)
        return Reading("libqb", entries, damage.words(), [], {})
    raise WireError("this is neither a dump of unisono nor one of libqb")


FOREIGN_BOOT: Final = "this dump was made before the host was started last, or on another host"


def _about(dump: Dump) -> dict[str, Any]:
    header = dump.header
    same_boot = header.boot_id == boot_id()
    return {
        "pid": header.pid,
        "node_id": header.node_id,
        "boot_id": header.boot_id.hex(),
        "this_boot": same_boot,
        "running": same_boot and start_ticks(header.pid) == header.start_ticks != 0,
        "why": "died" if dump.why == DIED else "requested",
        "signal": dump.signal,
    }


def describe(entry: Entry) -> str:
    """One line, as qb-blackbox prints it; what could upset a terminal is replaced."""
    text = entry.text.rstrip("\n")  # many callers of libqb end their texts so
    line = (
        f"{PRIORITIES[entry.priority]:<7} {_stamp(entry.when_ns)} "
        f"{entry.function}({entry.line}):{entry.tag}: {text}"
    )
    return line.translate(_UNPRINTABLE)


def _stamp(when_ns: int) -> str:
    seconds, nanos = divmod(when_ns, _NANOS)
    if not 0 <= seconds < _SECONDS_MAX:
        return "??? ?? ??:??:??.???"
    when = time.localtime(seconds)
    clock = f"{when.tm_hour:02d}:{when.tm_min:02d}:{when.tm_sec:02d}"
    return f"{_MONTHS[when.tm_mon - 1]} {when.tm_mday:02d} {clock}.{nanos // _NANOS_OF_MILLI:03d}"


def _tell(text: str) -> None:
    print(f"unisono blackbox: {text}", file=sys.stderr)


def _headline(path: Path, reading: Reading) -> str:
    if not reading.about:
        return f"{path}: {len(reading.entries)} entries of libqb"
    about = reading.about
    end = "asked for while it ran"
    if about["why"] == "died":
        end = f"it died of {about['signal']}" if about["signal"] else "it ended without a word"
    now = ", it runs now" if about["running"] else ""
    count = len(reading.entries)
    return f"{path}: {count} entries of pid {about['pid']} on node {about['node_id']}; {end}{now}"


def _print(path: Path, reading: Reading, *, as_json: bool) -> None:
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")  # a dump's text may be more than the terminal's encoding
    if as_json:
        fields = ("when_ns", "priority", "function", "line", "tag", "text")
        entries = [{name: getattr(entry, name) for name in fields} for entry in reading.entries]
        whole = {
            "file": str(path),
            "kind": reading.kind,
            **reading.about,
            "damage": reading.faults,
            "entries": entries,
        }
        print(json.dumps(whole, indent=1))
        return
    sys.stdout.writelines(f"{describe(entry)}\n" for entry in reading.entries)


def _export(path: Path, entries: list[Entry]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, _EXPORT_MODE), "wb") as file:
            file.write(encode_libqb(entries))
    except OSError as error:
        raise NoDump(f"{path}: {error.strerror}") from error


def _find(instance: Path | None, *, request: bool) -> Path:
    return request_dump(instance) if request else newest_dump(instance or STATE_DIRECTORY)


def _run(given: argparse.Namespace) -> int:
    path: Path = given.file or _find(find_instance(given.instance), request=given.request)
    data = read_file(path)
    try:
        reading = read(data)
    except WireError as fault:
        _tell(f"{path}: {fault}")
        return STATUS_DAMAGED
    _tell(_headline(path, reading))
    for warning in reading.warnings:
        _tell(f"warning: {warning}")
    if given.libqb:
        _export(given.libqb, reading.entries)
    else:
        _print(path, reading, as_json=given.json)
    for each in reading.faults:
        _tell(f"damaged: {each}")
    return STATUS_DAMAGED if reading.faults else 0


def run(arguments: Sequence[str]) -> int:
    """Show a dump: 0 if it is whole, 1 if there is none, 2 if it is damaged."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.file and (given.request or given.instance):
        parser.error("FILE says which dump is meant: neither --request nor --instance goes with it")
    try:
        return _run(given)
    except UnisonoError as reason:
        _tell(str(reason))
        return STATUS_NO_DUMP
