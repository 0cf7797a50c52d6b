"""`unisono`: one command, sub-commands that are imported when they are called."""

import os
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple

EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_PIPE_CLOSED: Final = 141
"""What a shell reports for SIGPIPE: nobody reads any more, which is no error of ours."""


class Command(NamedTuple):
    """A sub-command: a module of this room with `run(arguments) -> int`, or a program to exec."""

    summary: str
    module: str = ""
    program: str = ""


COMMANDS: Final[dict[str, Command]] = {
    "keygen": Command("a new authkey, and its fingerprint", module="keygen"),
    "keyring": Command("show and change the keys of a running cluster", module="keyring"),
    "blackbox": Command("what a daemon did last, also after it died", module="blackbox"),
    "reload": Command("read the configuration again, on every node", module="reload"),
    "status": Command("members, ring, groups and rates of a daemon", module="status"),
    "metrics": Command("numbers for Prometheus, once or over HTTP", module="metrics.command"),
    "demo": Command("three daemons, three replicas, one of them killed", module="demo.command"),
    "sim": Command("the ring in the simulator", program="unisono-sim"),
    "version": Command("print the version", module="version"),
}


def usage() -> str:
    """The help text."""
    rows = "\n".join(f"  {name:<10} {command.summary}" for name, command in COMMANDS.items())
    return (
        f"usage: unisono COMMAND [ARGUMENT ...]\n\n{rows}\n\n"
        "`unisono COMMAND --help` tells more about one. The daemon itself is `unisonod`."
    )


def find_program(name: str) -> str | None:
    """Path of a program of this installation, else of the search path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def _execute(name: str, arguments: Sequence[str]) -> int:
    program = find_program(name)
    if program is None:
        print(f"unisono: {name} is not installed", file=sys.stderr)
        return EXIT_USAGE
    os.execv(program, [name, *arguments])


def _run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0 if argv else EXIT_USAGE
    name = "version" if argv[0] in {"-V", "--version"} else argv[0]
    command = COMMANDS.get(name)
    if command is None:
        print(f"unisono: no command {name!r}\n\n{usage()}", file=sys.stderr)
        return EXIT_USAGE
    if command.program:
        return _execute(command.program, argv[1:])
    run = import_module(f"unisono.cli.{command.module}").run
    return int(run(list(argv[1:])))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sub-command that `argv` (default: the process's) names; its exit status."""
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    return status


if __name__ == "__main__":
    sys.exit(main())
