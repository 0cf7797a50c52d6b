"""unisonod: the command line, the start and the end of the daemon.

Speaks:      corosync(8)'s options that matter today; SIGTERM, SIGINT, SIGQUIT leave the ring.
Counterpart: corosync exec/main.c; exit statuses as in its exec/util.h where they fit.
Keeps:       `-v` touches nothing, `-t` only reads; every refusal is a line and an exit status.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NoReturn

from unisono.base.errors import ConfigError
from unisono.base.group import Marked
from unisono.base.marks import Mark
from unisono.config.load import Loaded
from unisono.config.problems import ConfigErrors
from unisono.config.settings import UDP, UDPU, UST, Settings
from unisono.executive.advice import reason
from unisono.executive.announce import Announcer
from unisono.executive.collector import IdleCollector
from unisono.executive.configuration import (
    Files,
    read_configuration,
    reader_of,
    with_absolute_paths,
)
from unisono.executive.instance import Instance
from unisono.executive.keys import check_keys
from unisono.executive.node import STATUS_FATAL, STATUS_RING_STORE, Node
from unisono.executive.ring_store import RingStoreError
from unisono.linux.memory import forbid_core_files, keep_freed_memory, lock_memory
from unisono.linux.notify import Notifier
from unisono.linux.process import (
    AlreadyRunning,
    NoNullDevice,
    PidFile,
    ReadyPipe,
    daemonise,
    hold_signals,
    is_privilege_raised,
    raise_priority,
    release_signals,
)
from unisono.linux.sockets import is_bindable, socket_address
from unisono.observe.lines import Level
from unisono.observe.logs import Log

STATUS_BAD: Final = 1
STATUS_FORK: Final = 4
STATUS_NO_STATE_DIR: Final = 16
STATUS_PID_FILE: Final = 17
STATUS_RUNNING: Final = 18
STATUS_NULL_DEVICE: Final = 19
ADDRESS_ATTEMPTS_MAX: Final = 10
ADDRESS_PAUSE_SECONDS: Final = 0.1
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_IGNORED_SIGNALS: Final = (signal.SIGUSR1, signal.SIGUSR2)
"""Their defaults would kill a member of the ring; they mean nothing."""
_HELD_SIGNALS: Final = (*_STOP_SIGNALS, signal.SIGHUP, *_IGNORED_SIGNALS)
"""They wait while the daemon is made and unmade: nobody would remove what is there already."""
_TRANSPORT_NAMES: Final = {UST: "UST", UDPU: "UDP/IP Unicast", UDP: "UDP/IP Multicast"}


class Refused(Exception):
    """The daemon cannot start: text for the administrator and exit status."""

    def __init__(self, text: str, status: int = STATUS_BAD) -> None:
        super().__init__(text)
        self.status = status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(STATUS_BAD, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `unisonod`; the exit status."""
    options = _parser().parse_args(arguments)
    if options.version:
        print(f"unisonod {version('unisono')}")
        return 0
    ready: ReadyPipe | None = None
    notifier = Notifier(os.environ)
    for number in _STOP_SIGNALS:  # until the loop takes them over
        signal.signal(number, signal.default_int_handler)
    try:
        release_signals(_STOP_SIGNALS)  # held while all this was loaded
        if is_privilege_raised():
            raise Refused("refusing to run set-uid or set-gid")
        loaded, file = read_configuration(options.config, options.node_id)
        if options.test:
            return _report_test(loaded, file)
        instance = Instance(Path(options.instance).absolute() if options.instance else None)
        directory = _prepare(instance, loaded.settings)
        # Before the daemon changes its directory:
        config_file = Path(file).absolute()
        directory_of_start = Path.cwd()
        loaded = with_absolute_paths(loaded, directory_of_start)
        files = config_file, reader_of(config_file, options.node_id, directory_of_start)
        hold_signals(_HELD_SIGNALS)
        if not options.foreground:
            ready = _detach(directory)
        return _run_locked(loaded, files, instance, ready, notifier)
    except ConfigErrors as error:
        return _refuse(ready, STATUS_BAD, "\n".join(error.errors))
    except ConfigError as error:
        return _refuse(ready, STATUS_BAD, f"unisonod: {error}")
    except RingStoreError as error:
        return _refuse(ready, STATUS_RING_STORE, f"unisonod: {error}")
    except Refused as error:
        return _refuse(ready, error.status, f"unisonod: {error}")
    except KeyboardInterrupt:
        return _refuse(ready, STATUS_BAD, "unisonod: interrupted while starting")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="unisonod", description="Cluster engine: ring, groups, membership.")
    add = parser.add_argument
    add("-f", dest="foreground", action="store_true", help="stay in the foreground")
    add("-c", dest="config", metavar="FILE", help="configuration (/etc/corosync/corosync.conf)")
    add("-t", dest="test", action="store_true", help="test the configuration and exit")
    add("-v", dest="version", action="store_true", help="print the version and exit")
    add("--instance", metavar="DIR", help="directory of sockets and state, to run several")
    add("--node-id", type=int, metavar="N", help="which node of the nodelist this is")
    return parser


def _report_test(loaded: Loaded, file: str) -> int:
    for warning in loaded.warnings:
        print(f"{warning} (warning)", file=sys.stderr)
    if errors := check_keys(loaded.settings, Path(file)):
        raise Refused("\nunisonod: ".join(errors))
    print(f"{file}: good")
    return 0


def _refuse(ready: ReadyPipe | None, status: int, text: str) -> int:
    if ready is not None:
        ready.tell(status, text)
    else:
        print(text, file=sys.stderr)
    return status


def _detach(directory: str) -> ReadyPipe:
    """Go into the background; only the daemon returns."""
    try:
        return daemonise(directory)
    except NoNullDevice as error:
        raise Refused(str(error), STATUS_NULL_DEVICE) from error
    except OSError as error:
        raise Refused(f"cannot go into the background: {error.strerror}", STATUS_FORK) from error


def _prepare(instance: Instance, settings: Settings) -> str:
    """Make the instance's directory; the state directory, which must exist."""
    try:
        instance.prepare()
    except OSError as error:
        text = f"instance directory {instance.directory}: {reason(error)}"
        raise Refused(text, STATUS_NO_STATE_DIR) from error
    directory = instance.state_dir(settings)
    if not Path(directory).is_dir():
        text = f"state directory {directory} is missing; create it, or set system.state_dir"
        raise Refused(text, STATUS_NO_STATE_DIR)
    return str(Path(directory).absolute())


def _run_locked(
    loaded: Loaded,
    files: Files,
    instance: Instance,
    ready: ReadyPipe | None,
    notifier: Notifier,
) -> int:
    try:
        pid_file = PidFile(str(instance.pid_file))
    except AlreadyRunning as error:
        raise Refused(str(error), STATUS_RUNNING) from error
    except OSError as error:
        text = f"cannot write {instance.pid_file}: {reason(error)}"
        raise Refused(text, STATUS_PID_FILE) from error
    try:
        log = Log(loaded.settings.logging, node_id=loaded.settings.node_id)
    except OSError as error:
        pid_file.remove()
        raise Refused(f"cannot open the log file: {error}") from error
    keep_freed_memory()
    if loaded.settings.transport.secure is not None and (refused := forbid_core_files()):
        log.write(Level.WARNING, "MAIN", f"Core files may show keys: {refused}")
    try:
        return asyncio.run(_serve(loaded, files, instance, log, (ready, notifier)))
    finally:
        log.close()
        pid_file.remove()


async def _serve(
    loaded: Loaded,
    files: Files,
    instance: Instance,
    log: Log,
    starter: tuple[ReadyPipe | None, Notifier],
) -> int:
    """Run one node until it has stopped; its exit status. ConfigError, RingStoreError at start."""
    settings = loaded.settings
    log.write(Level.NOTICE, "MAIN", f"Unisono Cluster Engine {version('unisono')} starting up")
    for choice in loaded.choices:
        log.write(Level.DEBUG, "MAIN", f"Using {choice}")
    for warning in loaded.warnings:
        log.write(Level.WARNING, "MAIN", warning)
    kind = _TRANSPORT_NAMES[settings.transport.kind]
    log.write(Level.NOTICE, "TOTEM", f"Initializing transport ({kind}).")
    node = Node(settings, instance, log, config_file=files[0], load=files[1])
    loop = asyncio.get_running_loop()
    announcer = Announcer(*starter, loop, flush=log.flush)
    collector = IdleCollector(loop, node.work)
    try:
        _watch(loop, node, announcer, log)
        release_signals(_HELD_SIGNALS)
        await _address_there(settings, node.stopped)
        if not node.stopped.done():
            node.recording.open()  # its keeper must not inherit our priority
            _ask_for_more(settings, node)
            node.start()
            announcer.follow(node.formed)
            collector.start()
        status = await node.stopped
        announcer.close(status)
        return status
    finally:
        hold_signals(_HELD_SIGNALS)  # the loop leaves them to their defaults, which kill
        collector.stop()
        node.close()


async def _address_there(settings: Settings, stopped: "asyncio.Future[int]") -> None:
    """Give an address that was configured a moment ago time to become usable; then go on anyway."""
    own = next(node for node in settings.nodes if node.node_id == settings.node_id)
    addresses = [socket_address(address, 0) for address in own.addresses if address]
    for _ in range(ADDRESS_ATTEMPTS_MAX):
        if stopped.done() or all(map(is_bindable, addresses)):
            return
        await asyncio.sleep(ADDRESS_PAUSE_SECONDS)


def _ask_for_more(settings: Settings, node: Node) -> None:
    """Priority and locked memory: better with them, and good enough without."""
    if refused := raise_priority(real_time=settings.sched_rr):
        node.mark(Marked(Mark.PRIORITY_REFUSED, text=refused))
    if refused := lock_memory():
        node.mark(Marked(Mark.MEMORY_LOCK_REFUSED, text=refused))


def _watch(loop: asyncio.AbstractEventLoop, node: Node, announcer: Announcer, log: Log) -> None:
    def on_stop() -> None:
        announcer.stopping()
        node.stop("Node was shut down by a signal")

    def on_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(context["message"])
        log.failure("MAIN", error)
        node.stop(f"Stopping: {error}", status=STATUS_FATAL, clean=False)

    loop.set_exception_handler(on_error)
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, on_stop)
    loop.add_signal_handler(signal.SIGHUP, node.hang_up)
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
