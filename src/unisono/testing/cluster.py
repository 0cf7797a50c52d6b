"""The simulated cluster that tests of users' programs run on.

Speaks:      `process`, `connect`, `spawn` for programs; crash, partition and the like for faults;
             `run` for the test.
Keeps:       a run is a function of its seed and of what the test does; every property that the
             simulator's checkers know is judged, while it runs and at its end.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from itertools import count
from random import Random
from typing import Any, Final, TypeVar

import unisono
from unisono.aio.backend import Connection, opener
from unisono.aio.node import TIMEOUT_SECONDS
from unisono.base.errors import UsageError
from unisono.base.ids import MS, SECOND, NodeId, Pid
from unisono.config.settings import RingSettings
from unisono.ipc.endpoint import Endpoint
from unisono.services import Engine
from unisono.sim import cluster as simulated
from unisono.sim.checkers import Violation, group_checkers, ring_checkers
from unisono.sim.clients import engine_settings
from unisono.sim.network import NetworkOptions
from unisono.sim.trace import format_record
from unisono.testing.desk import Desk
from unisono.testing.labels import Labels
from unisono.testing.loop import Stuck, VirtualLoop
from unisono.testing.process import Process

_T = TypeVar("_T")

FIRST_PID: Final = 1_001
SOCKET_DELAY_NS: Final = (5_000, 50_000)
"""A frame through a local socket takes between these, drawn from the seed."""
START_SPREAD_NS: Final = 50 * MS
FORM_NS_MAX: Final = 60 * SECOND
QUIET: Final = NetworkOptions()
EXCERPT_RECORDS: Final = 40
"""Records of the trace shown with a broken property."""
HOURS_MAX: Final = 24.0


class PropertyBroken(AssertionError):
    """The cluster itself broke a promise: an error of Unisono, not of the program under test."""


class Cluster:
    """`nodes` machines, numbered from 1, each with a daemon; `settings` are the ring's timers.

    Build it, say in a coroutine what programs and faults there are, and `run` that; once.
    """

    def __init__(self, nodes: int, *, seed: int = 1, settings: RingSettings | None = None) -> None:
        self.seed = seed
        node_ids = tuple(NodeId(number) for number in range(1, nodes + 1))
        self.nodes: tuple[int, ...] = node_ids
        """The machines' numbers, which are their node ids."""
        self._random = Random(f"{seed}/testing")
        self._world = simulated.Cluster(
            node_ids,
            seed=str(seed),
            settings=settings or RingSettings(),
            options=QUIET,
            checkers=ring_checkers() + group_checkers(),
            make_group=lambda node: Engine(engine_settings(node, node_ids, votequorum=True)),
        )
        labels = Labels()
        self._desks = {
            node: Desk(machine, labels, self._draw_arrival_ns)
            for node, machine in self._world.nodes.items()
        }
        self._pids = {node: count(FIRST_PID) for node in node_ids}
        self._processes: dict[str, Process] = {}
        self._loop: VirtualLoop | None = None

    # -- programs ----------------------------------------------------------------------------------

    def process(self, node: int) -> Process:
        """A process on that machine, for programs that are given an `instance`."""
        where = self._check(node)
        process = Process(self, where, Pid(next(self._pids[where])))
        self._processes[process.__fspath__()] = process
        return process

    def connect(
        self, node: int, *, reconnect: bool = False, timeout: float = TIMEOUT_SECONDS
    ) -> unisono.Node:
        """`unisono.connect` from a new process on that machine."""
        return self.process(node).connect(reconnect=reconnect, timeout=timeout)

    def spawn(
        self, node: int, program: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any
    ) -> Process:
        """Run `program(instance, *arguments)` as a new process on that machine.

        What it raises is raised by `Process.wait`, or, if nobody waits, at the end of the run.
        """
        process = self.process(node)
        process.start(program, arguments, self._context(process))
        return process

    # -- faults ------------------------------------------------------------------------------------

    def crash(self, node: int) -> None:
        """SIGKILL for the daemon: its clients lose their connections, its ring state stays."""
        self._world.kill(self._check(node))

    def stop(self, node: int) -> None:
        """SIGTERM for the daemon: it takes leave of the others."""
        self._world.leave(self._check(node))

    def power_off(self, node: int) -> None:
        """The whole machine is gone: the daemon, and every process on it."""
        self.crash(node)
        for process in list(self._processes.values()):
            if process.node == node and process.is_alive:
                process.kill()

    def start(self, node: int, *, keep_store: bool = True) -> None:
        """Start the daemon again, with the ring sequence that it has stored or without it."""
        self._world.start(self._check(node), keep_store=keep_store)

    def pause(self, node: int) -> None:
        """SIGSTOP for the daemon."""
        self._world.pause(self._check(node))

    def resume(self, node: int) -> None:
        """SIGCONT for the daemon."""
        self._world.resume(self._check(node))

    def partition(self, *sides: Sequence[int]) -> None:
        """Cut the network between the sides; a machine on none of them is alone."""
        self._world.partition([[self._check(node) for node in side] for side in sides])

    def cut(self, source: int, target: int) -> None:
        """Lose everything that `source` sends to `target`, in this direction only."""
        self._world.cut_one_way(self._check(source), self._check(target))

    def heal(self) -> None:
        """Join the network again, as it was before every cut."""
        self._world.heal()

    def weather(self, **options: float) -> None:
        """Change how the network loses, delays, reorders and doubles: `sim.NetworkOptions`."""
        self._world.weather(**options)

    # -- the run -----------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual seconds since the daemons started; the loop's `time()`."""
        return self._world.now / SECOND

    @property
    def digest(self) -> str:
        """A hash of all that has happened so far: equal for equal courses of events."""
        return self._world.trace.hexdigest()

    @property
    def last(self) -> list[str]:
        """What happened last, one line each."""
        records = list(self._world.trace.last)
        return [format_record(record) for record in records[-EXCERPT_RECORDS:]]

    def run(self, main: Coroutine[Any, Any, _T], *, hours: float = HOURS_MAX) -> _T:
        """Form the ring, run `main` in virtual time, and judge; what `main` returns.

        Raises what `main` or a spawned program raises; PropertyBroken; Stuck when `hours` of
        virtual time do not suffice.
        """
        if self._loop is not None:
            main.close()
            raise UsageError("a cluster runs once: build another")
        loop = self._loop = VirtualLoop(self._world.scheduler)
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                try:
                    self._form()
                    loop.end_ns = self._world.now + int(hours * 3600 * SECOND)
                    result = runner.run(main, context=self._context(None))
                    self._check_programs(None)
                    self._judge()
                except Violation as violation:
                    raise PropertyBroken(self._report(str(violation))) from violation
                except Stuck as stuck:
                    stuck.add_note(self._waiting(loop))
                    self._check_programs(stuck)
                    raise
                finally:
                    self._end(loop)
        except BaseException as error:
            error.add_note(f"at {self.now:.6f} virtual seconds of {self!r}")
            raise
        finally:
            main.close()
        return result

    def __repr__(self) -> str:
        return f"Cluster({len(self.nodes)}, seed={self.seed})"

    # -- for processes -----------------------------------------------------------------------------

    def desk(self, node: NodeId) -> Desk:
        """The daemon's end of the sockets of that machine."""
        return self._desks[node]

    def _context(self, process: Process | None) -> Context:
        """The context of a program: `unisono.connect` leads to these daemons."""

        async def connect(endpoint: Endpoint) -> Connection:
            path = "" if endpoint.path is None else str(endpoint.path.parent)
            owner = self._processes.get(path, process)
            if owner is not None:
                return await owner.open(endpoint)
            raise UsageError("which machine? use `cluster.connect(node)` or `cluster.spawn`")

        context = copy_context()
        context.run(opener.set, connect)
        return context

    # -- parts of a run ----------------------------------------------------------------------------

    def _form(self) -> None:
        world = self._world
        for node in self._desks:
            world.scheduler.at(self._random.randrange(START_SPREAD_NS), world.start, node)
        world.run_until(START_SPREAD_NS)
        if not world.run_until_together(FORM_NS_MAX):
            raise Violation("liveness", world.now, "the ring was not formed")

    def _judge(self) -> None:
        """End every fault, let the cluster come to rest, and let every checker conclude."""
        world = self._world
        deadline = world.calm(QUIET)
        world.run_until_together(deadline)
        world.run_until_settled(deadline + world.recovery_bound(QUIET))
        world.conclude()

    def _check_programs(self, cause: BaseException | None) -> None:
        """Raise what a spawned program raised and nobody waited for."""
        for process in self._processes.values():
            error = None if process.was_awaited else process.failure
            if error is not None:
                error.add_note(f"in process {process}")
                raise error from cause

    def _end(self, loop: VirtualLoop) -> None:
        """The world stops; programs that still run see their connections end."""
        loop.is_over = True
        for process in self._processes.values():
            process.kill()

    def _report(self, text: str) -> str:
        return "\n".join([text, *self.last])

    def _waiting(self, loop: VirtualLoop) -> str:
        """Where each task waits."""
        lines = []
        for task in sorted(asyncio.all_tasks(loop), key=hash):
            for frame in task.get_stack(limit=1):
                place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                lines.append(f"{task.get_name()} waits at {place}")
        return "\n".join(lines)

    def _check(self, node: int) -> NodeId:
        if node not in self._world.nodes:
            raise UsageError(f"no node {node} in {self!r}")
        return NodeId(node)

    def _draw_arrival_ns(self) -> int:
        return self._world.now + self._random.randint(*SOCKET_DELAY_NS)
