"""`unisono metrics`: arguments, the text once, or the server until a signal."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from unisono.base.errors import UnisonoError
from unisono.linux.listening import Listener
from unisono.linux.notify import Notifier

STATUS_FAILED: Final = 1
_MISSING: Final = "the metrics extra is not installed: pip install 'unisono[metrics]'"


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(
        prog="unisono metrics",
        description="The daemon's numbers for Prometheus: once on standard output, or served. Exit "
        f"status {STATUS_FAILED} when no daemon answers; a server goes on and says unisono_up 0.",
    )
    parser.add_argument(
        "--instance",
        type=Path,
        metavar="DIR",
        help="directory of the instance (default: UNISONO_INSTANCE, else this machine's daemon)",
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        help="serve GET /metrics there: unix:PATH, 127.0.0.1:PORT or [::1]:PORT",
    )
    return parser


def _tell(text: str) -> None:
    print(f"unisono metrics: {text}", file=sys.stderr, flush=True)


def run(arguments: Sequence[str]) -> int:
    """Print or serve: 0, or 1 with the reason in words."""
    given = parser().parse_args(arguments)
    try:
        import prometheus_client  # noqa: F401  this is the question: is it there?
    except ImportError:
        _tell(_MISSING)
        return STATUS_FAILED
    if given.listen is None:
        return asyncio.run(_print_once(given.instance))
    try:
        listener = Listener(given.listen)
    except UnisonoError as reason:
        _tell(str(reason))
        return STATUS_FAILED
    try:
        asyncio.run(_serve(given.instance, listener))
    finally:
        listener.close()
    return 0


async def _print_once(instance: Path | None) -> int:
    from unisono.cli.metrics.asking import measure_daemon
    from unisono.cli.metrics.exposition import expose
    from unisono.observe.metric_table import measure_silence

    status = 0
    try:
        measured = await measure_daemon(instance)
    except UnisonoError as reason:
        _tell(str(reason))
        status, measured = STATUS_FAILED, measure_silence()
    sys.stdout.write(expose(measured)[0].decode())
    return status


async def _serve(instance: Path | None, listener: Listener) -> None:
    """Serve until SIGTERM or SIGINT."""
    from unisono.cli.metrics.asking import Asking
    from unisono.cli.metrics.exposition import expose
    from unisono.cli.metrics.server import PATH, Server

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    manager = Notifier(os.environ)
    async with asyncio.TaskGroup() as tasks:
        asking = Asking(instance, tasks, _tell)

        async def page(accept: str) -> tuple[bytes, str]:
            return expose(await asking.answer(), accept)

        server = Server(listener.socket, page, tasks)
        _tell(f"serving {listener.where}{PATH}")
        manager.ready(f"Serving {listener.where}{PATH}")
        await stop.wait()
        manager.stopping()
        server.close()
        asking.close()
