"""A total order in memory: several engines, scripted configurations, clients that speak bytes.

What totem does with its two send queues is done here: during a synchronisation messages go to the
queue that is emptied first, what was queued before waits until the services agree, and what an
aborted synchronisation left unsent is sent at the start of the next one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import NamedTuple, Protocol

from unisono.base.clients import (
    ClientConnected,
    ClientGone,
    ClientRequest,
    Credentials,
    Disconnect,
    Notify,
    ReopenLogs,
    Reply,
    Service,
    ShutDown,
)
from unisono.base.group import (
    ConfigurationChanged,
    ConfigurationKind,
    Delivered,
    Guarantee,
    Marked,
    Multicast,
    SyncFinished,
)
from unisono.base.ids import ClientId, Nanos, NodeId, Pid, RingId, RingSeq, Seq
from unisono.base.marks import Mark
from unisono.config.changes import Changes
from unisono.config.reload import ReadConfiguration, SettingsChanged
from unisono.config.settings import (
    UDPU,
    NodeSettings,
    QuorumSettings,
    Settings,
    TransportSettings,
)
from unisono.services import Engine
from unisono.services.cluster import Cluster, Effect
from unisono.services.engine import Request
from unisono.services.sync import Sync
from unisono.wire import native as stream
from unisono.wire.block import decode_block, encode_block
from unisono.wire.ipc import cpg as ipc
from unisono.wire.ipc.qb import check_reply, message_id
from unisono.wire.service.header import GROUP_NATIVE, GROUP_SYNC

NOW = Nanos(0)
ROUNDS_MAX = 20_000


class View(NamedTuple):
    """A change as a client was told of it: (node, pid) and (node, pid, reason)."""

    members: tuple[tuple[int, int], ...]
    left: tuple[tuple[int, int, int], ...]
    joined: tuple[tuple[int, int, int], ...]


class Message(NamedTuple):
    node: int
    pid: int
    data: bytes


class Ring(NamedTuple):
    ring: RingId
    members: tuple[int, ...]


def settings(
    node_id: int,
    nodes: int = 4,
    *,
    version: int = 7,
    quorum: QuorumSettings | None = None,
) -> Settings:
    """Settings of one node of a cluster with node ids 1 to `nodes`."""
    return Settings(
        node_id=NodeId(node_id),
        nodes=tuple(
            NodeSettings(NodeId(one), f"node{one}", (f"10.77.0.{one}",))
            for one in range(1, nodes + 1)
        ),
        transport=TransportSettings(kind=UDPU, bind_address=f"10.77.0.{node_id}"),
        cluster_name="totlab",
        config_version=version,
        quorum=quorum or QuorumSettings(votequorum=True),
    )


class Machine(Protocol):
    def receive(self, event: Delivered | ConfigurationChanged, now: Nanos) -> None: ...
    def drain(self) -> list[Effect]: ...


class _Quiet:
    """A service of somebody else: nothing but barriers."""

    def __init__(self, service: int) -> None:
        self.service = service

    def sync_init(self, survivors: frozenset[NodeId]) -> None: ...
    def sync_process(self) -> None: ...
    def sync_activate(self) -> None: ...
    def sync_abort(self) -> None: ...


class Stranger:
    """A member with other services, which says service_build and barriers and nothing else."""

    def __init__(self, node_id: int, services: Iterable[int]) -> None:
        self.cluster = Cluster(settings(node_id))
        self.sync = Sync(self.cluster, [_Quiet(one) for one in services])

    def receive(self, event: Delivered | ConfigurationChanged, now: Nanos) -> None:
        if isinstance(event, ConfigurationChanged):
            self.sync.change(event)
        elif event.group == GROUP_SYNC:
            self.sync.receive(event.origin, event.payload)

    def drain(self) -> list[Effect]:
        effects, self.cluster.effects = self.cluster.effects, []
        return effects


class Node:
    """One engine with its queues and its clients."""

    def __init__(self, node_id: int, machine: Machine, *, is_stock: bool = False) -> None:
        self.id = NodeId(node_id)
        self.machine = machine
        self.is_stock = is_stock
        """A Corosync daemon: our private group neither leaves nor enters it."""
        self.urgent: deque[Multicast] = deque()
        self.queue: deque[Multicast] = deque()
        self.is_syncing = True
        self.ring: RingId | None = None
        self.old_members: tuple[NodeId, ...] = ()
        self.clients: dict[ClientId, Client] = {}
        self.marks: list[Marked] = []
        self.finished: list[SyncFinished] = []
        self.shut_down: ShutDown | None = None
        self.readings: list[int] = []
        """Tickets of configuration files that are to be read."""
        self.changed: list[Changes] = []
        self.reopened = 0

    def submit(self, request: Request) -> None:
        self.engine.submit(request, NOW)
        self.carry_out()

    @property
    def engine(self) -> Engine:
        assert isinstance(self.machine, Engine)
        return self.machine

    def receive(self, event: Delivered | ConfigurationChanged) -> None:
        if isinstance(event, ConfigurationChanged):
            self.is_syncing = True
        self.machine.receive(event, NOW)
        self.carry_out()

    def carry_out(self) -> None:
        for effect in self.machine.drain():
            match effect:
                case Multicast():
                    if not (self.is_stock and effect.group == GROUP_NATIVE):
                        payload = bytes(effect.payload)
                        kept = Multicast(effect.group, payload, effect.guarantee)
                        (self.urgent if self.is_syncing else self.queue).append(kept)
                case SyncFinished():
                    assert effect.ring == self.ring
                    self.is_syncing = False
                    self.finished.append(effect)
                case Reply():
                    self.clients[effect.client].on_reply(bytes(effect.message))
                case Notify():
                    self.clients[effect.client].on_event(b"".join(effect.pieces))
                case Disconnect():
                    self.clients[effect.client].is_dropped = True
                case ShutDown():
                    self.shut_down = effect
                case Marked():
                    self.marks.append(effect)
                case ReadConfiguration():
                    self.readings.append(effect.ticket)
                case SettingsChanged():
                    self.changed.append(effect.changes)
                case ReopenLogs():
                    self.reopened += 1

    def next(self) -> Multicast | None:
        """What a token visit of this node would send."""
        if self.urgent:
            return self.urgent.popleft()
        return self.queue.popleft() if self.queue and not self.is_syncing else None

    def marked(self, mark: Mark) -> list[Marked]:
        return [one for one in self.marks if one.mark is mark]


class Bus:
    """Nodes, and the rings that they form."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = {node.id: node for node in nodes}
        self.rings: dict[RingId, tuple[NodeId, ...]] = {}
        self._seq = 0
        self._turn = 0
        self._message = count(1)
        self.clients = count(1)
        self.sent: list[tuple[RingId, NodeId, Multicast]] = []

    def form(self, *components: Iterable[int], tail: int = 0) -> None:
        """Install one new ring for each component; nodes in none stay as they are, and silent.

        `tail` messages of each component's members are still ordered on the old ring, between the
        transitional and the regular configuration.
        """
        for component in components:
            members = tuple(NodeId(one) for one in sorted(component))
            self._seq += 4
            ring = RingId(members[0], RingSeq(self._seq))
            self._transit(ring, members, tail)
            self.rings = {
                old: tuple(one for one in ids if one not in members)
                for old, ids in self.rings.items()
            }
            self.rings[ring] = members
            for one in members:
                node = self.nodes[one]
                joined = tuple(other for other in members if other not in node.old_members)
                node.old_members, node.ring = members, ring
                node.receive(
                    ConfigurationChanged(ConfigurationKind.REGULAR, ring, members, (), joined)
                )

    def _transit(self, ring: RingId, members: tuple[NodeId, ...], tail: int) -> None:
        together: dict[RingId | None, list[Node]] = {}
        for one in members:
            together.setdefault(self.nodes[one].ring, []).append(self.nodes[one])
        for old, nodes in together.items():
            stayed = tuple(node.id for node in nodes)
            if old is None:
                for node in nodes:
                    self._transitional(node, ring, (node.id,))
                continue
            messages = list(self._some(nodes, tail))
            for node in nodes:
                self._transitional(node, ring, stayed)
            for origin, message in messages:
                self._deliver(old, nodes, origin, message)

    @staticmethod
    def _transitional(node: Node, ring: RingId, stayed: tuple[NodeId, ...]) -> None:
        left = tuple(one for one in node.old_members if one not in stayed)
        node.receive(ConfigurationChanged(ConfigurationKind.TRANSITIONAL, ring, stayed, left, ()))

    def _some(self, nodes: list[Node], limit: int) -> Iterator[tuple[Node, Multicast]]:
        for node in nodes:
            for _ in range(limit):
                message = node.next()
                if message is not None:
                    yield node, message

    def _deliver(self, ring: RingId, nodes: list[Node], origin: Node, message: Multicast) -> None:
        seq = Seq(next(self._message))
        self.sent.append((ring, origin.id, message))
        for node in nodes:
            if node.is_stock and message.group == GROUP_NATIVE:
                continue
            view = memoryview(bytes(message.payload))
            node.receive(Delivered(origin.id, message.group, view, ring, seq))

    def step(self) -> bool:
        """Order and deliver one message of some ring; False when nobody has any to send."""
        order = sorted(self.nodes)
        for offset in range(len(order)):
            node = self.nodes[order[(self._turn + offset) % len(order)]]
            members = self.rings.get(node.ring, ()) if node.ring is not None else ()
            if node.id not in members:
                continue
            message = node.next()
            if message is not None:
                self._turn = (self._turn + offset + 1) % len(order)
                assert node.ring is not None
                everyone = [self.nodes[one] for one in members]
                self._deliver(node.ring, everyone, node, message)
                return True
        return False

    def steps(self, limit: int) -> int:
        """At most `limit` messages; how many there were."""
        return next((done for done in range(limit) if not self.step()), limit)

    def settle(self) -> int:
        """Until nobody has anything to say."""
        done = self.steps(ROUNDS_MAX)
        assert done < ROUNDS_MAX, "the services never stop talking"
        return done

    def crash(self, node_id: int, machine: Machine) -> None:
        """The daemon dies with its clients and starts anew, in no ring."""
        old = self.nodes[NodeId(node_id)]
        self.rings = {
            ring: tuple(one for one in ids if one != node_id) for ring, ids in self.rings.items()
        }
        self.nodes[old.id] = Node(node_id, machine, is_stock=old.is_stock)

    def libcpg(self, node_id: int, pid: int | None = None) -> "LibcpgClient":
        return LibcpgClient(self, self.nodes[NodeId(node_id)], pid)

    def native(self, node_id: int, pid: int | None = None) -> "NativeClient":
        return NativeClient(self, self.nodes[NodeId(node_id)], pid)


def cluster(
    nodes: int = 3,
    *,
    stock: Iterable[int] = (),
    version: Callable[[int], int] = lambda _: 7,
    quorum: QuorumSettings | None = None,
) -> Bus:
    """Nodes 1 to `nodes` in one ring, synchronised."""
    stock = set(stock)
    bus = Bus(
        Node(
            one,
            Engine(settings(one, nodes, version=version(one), quorum=quorum)),
            is_stock=one in stock,
        )
        for one in range(1, nodes + 1)
    )
    bus.form(bus.nodes)
    bus.settle()
    return bus


class Client:
    """A local client; events are decoded as they come."""

    service: Service
    group = b""
    """The group that a test put it into, for tests that keep books."""

    def __init__(self, bus: Bus, node: Node, pid: int | None = None) -> None:
        self.id = ClientId(next(bus.clients))
        self.node = node
        self.pid = Pid(pid if pid is not None else 1000 + self.id)
        self.replies: list[bytes] = []
        self.events: list[View | Message | Ring] = []
        self.is_dropped = False
        node.clients[self.id] = self
        who = Credentials(self.pid, 0, 0)
        node.engine.submit(ClientConnected(self.id, self.service, who), NOW)
        node.carry_out()

    def ask(self, request: bytes) -> bytes | None:
        """Submit; the reply, when there was one at once."""
        known = len(self.replies)
        self.node.engine.submit(ClientRequest(self.id, memoryview(request)), NOW)
        self.node.carry_out()
        return self.replies[-1] if len(self.replies) > known else None

    def die(self) -> None:
        self.node.engine.submit(ClientGone(self.id), NOW)
        self.node.carry_out()

    def on_reply(self, message: bytes) -> None:
        self.replies.append(message)

    def on_event(self, message: bytes) -> None:
        raise AssertionError("this client expects no events")

    @property
    def views(self) -> list[View]:
        return [one for one in self.events if isinstance(one, View)]

    @property
    def messages(self) -> list[Message]:
        return [one for one in self.events if isinstance(one, Message)]

    @property
    def rings(self) -> list[Ring]:
        return [one for one in self.events if isinstance(one, Ring)]

    @property
    def members(self) -> tuple[tuple[int, int], ...]:
        return self.views[-1].members

    @property
    def key(self) -> tuple[int, int]:
        return (self.node.id, self.pid)


def _view(members: Iterable[ipc.Member | stream.Member], left: object, joined: object) -> View:
    def full(part: object) -> tuple[tuple[int, int, int], ...]:
        assert isinstance(part, list)
        return tuple(tuple(one) for one in part)

    return View(tuple((one.node_id, one.pid) for one in members), full(left), full(joined))


class LibcpgClient(Client):
    """As libcpg speaks."""

    service = Service.CPG

    def __init__(self, bus: Bus, node: Node, pid: int | None = None) -> None:
        super().__init__(bus, node, pid)
        self.partial: dict[tuple[int, int], bytes] = {}
        self.fragments: list[ipc.PartialDeliver] = []

    def on_event(self, message: bytes) -> None:
        view = memoryview(message)
        match message_id(view):
            case ipc.Response.CONFCHG:
                change = ipc.decode_confchg(view)
                self.events.append(_view(change.members, change.left, change.joined))
            case ipc.Response.DELIVER:
                one = ipc.decode_deliver(view)
                self.events.append(Message(one.node_id, one.pid, bytes(one.payload)))
            case ipc.Response.PARTIAL_DELIVER:
                self._fragment(ipc.decode_partial_deliver(view))
            case ipc.Response.TOTEM_CONFCHG:
                ring = ipc.decode_totem_confchg(view)
                self.events.append(Ring(ring.ring, tuple(ring.members)))
            case unknown:
                raise AssertionError(unknown)

    def _fragment(self, part: ipc.PartialDeliver) -> None:
        self.fragments.append(part)
        key = (part.node_id, part.pid)
        before = b"" if part.fragment == ipc.Fragment.FIRST else self.partial.get(key, b"")
        self.partial[key] = before + part.payload
        if part.fragment == ipc.Fragment.LAST:
            whole = self.partial.pop(key)
            if len(whole) == part.message_bytes:
                self.events.append(Message(*key, whole))

    def join(self, name: bytes, flags: int = 0, pid: int | None = None) -> int:
        return self._error(ipc.encode_join(name, self.pid if pid is None else pid, flags))

    def leave(self, name: bytes) -> int:
        return self._error(ipc.encode_leave(name, self.pid))

    def _error(self, request: bytes) -> int:
        reply = self.ask(request)
        assert reply is not None
        return check_reply(memoryview(reply), 24)

    def send(self, data: bytes, guarantee: int = ipc.GUARANTEE_AGREED) -> None:
        assert self.ask(ipc.encode_mcast(data, guarantee)) is None

    def send_partial(self, data: bytes, whole: int, fragment: int) -> int:
        part = ipc.PartialMcast(ipc.GUARANTEE_AGREED, whole, fragment, memoryview(data))
        return self._error(ipc.encode_partial_mcast(part))


class NativeClient(Client):
    """As our own library speaks."""

    service = Service.NATIVE

    def __init__(self, bus: Bus, node: Node, pid: int | None = None) -> None:
        super().__init__(bus, node, pid)
        self.blocks: list[stream.Block] = []
        self.decodes_blocks = True
        self.welcome: stream.ToClient | None = None
        self.greet()

    def greet(self) -> None:
        self.welcome = self.answer(stream.encode_hello())

    def on_event(self, message: bytes) -> None:
        match stream.decode_to_client(memoryview(message)):
            case stream.View() as view:
                self.events.append(_view(view.members, view.left, view.joined))
            case stream.Ring() as ring:
                self.events.append(Ring(ring.ring, tuple(ring.members)))
            case stream.Block() as block:
                self.blocks.append(block)
                for data in decode_block(block.block) if self.decodes_blocks else ():
                    self.events.append(Message(block.node_id, block.pid, bytes(data)))
            case unknown:
                raise AssertionError(unknown)

    def answer(self, frame: bytes) -> stream.ToClient:
        reply = self.ask(frame)
        assert reply is not None
        return stream.decode_to_client(memoryview(reply))

    def join(self, name: bytes, *, rings: bool = False) -> int:
        return self._error(stream.encode_join(name, rings=rings))

    def leave(self, name: bytes = b"") -> int:
        return self._error(stream.encode_leave())

    def _error(self, frame: bytes) -> int:
        reply = self.answer(frame)
        assert isinstance(reply, stream.Reply)
        return reply.error

    def send(self, *data: bytes, guarantee: Guarantee = Guarantee.AGREED) -> None:
        block = encode_block(data)
        frame = stream.encode_send(block, safe=guarantee is Guarantee.SAFE)
        assert self.ask(frame) is None
