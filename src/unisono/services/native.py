"""Native clients: our own stream with blocks, on the same groups as libcpg's clients.

Speaks:      the native stream (wire.native); the group "unisono" on the ring (wire.service.native).
Counterpart: corosync exec/cpg.c, for the meaning.
Keeps:       a block is not looked into as long as every member of the ring is Unisono; all ignore
             one that was ordered on any other ring, and its sender sends the messages as CPG.
"""

from collections.abc import Callable
from json import dumps
from typing import Any, Final

from unisono.base.clients import Credentials, Disconnect, DumpAsked, Notify
from unisono.base.errors import CsError, WireError
from unisono.base.group import Buffer, Delivered, Guarantee, Multicast
from unisono.base.ids import ClientId, NodeId, Pid
from unisono.base.keyring import KeyringAsked, KeyringDelivered
from unisono.base.limits import CPG_ATOMIC_BYTES_MAX
from unisono.base.marks import Mark
from unisono.services.access import may_order
from unisono.services.cluster import Cluster
from unisono.services.cpg import Cpg
from unisono.services.groups import Group
from unisono.services.member import GroupChange, LocalMember
from unisono.services.reload import Reload
from unisono.services.sync import Sync
from unisono.wire import native as stream
from unisono.wire.block import count_block, decode_block
from unisono.wire.ipc.cpg import Fragment
from unisono.wire.service import native as ring
from unisono.wire.service.cpg import McastHeaders, PartialMcast
from unisono.wire.service.header import GROUP_NATIVE


class Native:
    """Private ring messages of this node, and the blocks that are on their way."""

    __slots__ = ("_cluster", "_cpg", "_sync", "_status", "delivered", "in_flight", "reload")

    def __init__(
        self,
        cluster: Cluster,
        cpg: Cpg,
        sync: Sync,
        reload: Reload,
        status: Callable[[], dict[str, object]],
    ) -> None:
        self._cluster = cluster
        self._cpg = cpg
        self._sync = sync
        self._status = status
        self.reload = reload
        self.in_flight = 0
        """Own blocks that are not yet ordered."""
        self.delivered = 0
        """Blocks of groups seen."""

    @property
    def holds(self) -> bool:
        """Whether clients must wait: blocks queued on an all-native ring are being sent again."""
        return self.in_flight > 0 and not self._cluster.native

    def connect(self, client: ClientId, credentials: Credentials) -> "NativeClient":
        """A new connection."""
        return NativeClient(self._cluster, self._cpg, self, client, credentials)

    def status_json(self) -> bytes:
        """The daemon's status, for whoever asks."""
        return dumps(self._status(), separators=(",", ":")).encode()

    # -- out ---------------------------------------------------------------------------------------

    def send(self, member: LocalMember, block: memoryview, guarantee: Guarantee) -> None:
        """Send a client's block, whole or as CPG messages. WireError."""
        if member.headers is None:
            return
        if not self._cluster.native:
            self._send_cpg(member.headers, decode_block(block), guarantee)
        elif count_block(block):
            member.blocks.append(guarantee)
            self.in_flight += 1
            payload = ring.encode_block(member.name, member.pid, block)
            self._cluster.effects.append(Multicast(GROUP_NATIVE, payload, guarantee))

    def _send_cpg(
        self, headers: McastHeaders, payloads: list[memoryview], guarantee: Guarantee
    ) -> None:
        for payload in payloads:
            length = len(payload)
            if length <= CPG_ATOMIC_BYTES_MAX:
                self._cluster.multicast(headers.header(length) + payload, guarantee)
                continue
            for fragment, piece in _fragments(payload):
                head = headers.partial_header(length, len(piece), fragment)
                self._cluster.multicast(head + piece, guarantee)

    # -- in ----------------------------------------------------------------------------------------

    def receive(self, event: Delivered) -> None:
        """One message of the group "unisono". WireError."""
        message = ring.decode_native(event.payload)
        if isinstance(message, ring.Hello):
            self._sync.hello(event.origin, message.ring)
            return
        if isinstance(message, ring.Keyring):
            if self._cluster.has_keyring:
                effect = KeyringDelivered(event.origin, bytes(message.body))
                self._cluster.effects.append(effect)
            return
        if isinstance(message, ring.Reload):
            self.reload.on_native(event.origin, message.body)
            return
        is_valid = event.ring == self._cluster.native_ring
        if event.origin == self._cluster.node_id:
            self._settle(message, is_valid)
        if is_valid:
            self._deliver(event.origin, message)
        else:
            self._cluster.mark(Mark.BLOCK_STALE, event.origin, message.pid)

    def _settle(self, message: ring.Block, is_valid: bool) -> None:
        """An own block is ordered; when the ring had a Corosync member by then, send it again."""
        member = self._cpg.local(message.name, message.pid)
        if member is None or not member.blocks:
            return
        guarantee = member.blocks.popleft()
        self.in_flight -= 1
        try:
            if not is_valid:
                self._cluster.mark(Mark.BLOCK_RESENT, member.client)
                headers = McastHeaders(member.name, member.pid, self._cluster.node_id)
                self._send_cpg(headers, decode_block(message.block), guarantee)
        finally:
            self._cpg.block_ordered(member)

    def _deliver(self, origin: NodeId, message: ring.Block) -> None:
        self.delivered += 1
        group = self._cpg.groups.by_name.get(message.name)
        if group is None or origin not in group.nodes:
            self._cluster.mark(Mark.SENDER_UNKNOWN, origin, message.pid)
            return
        block = message.block
        if group.native:
            effects = self._cluster.effects
            pieces: list[Buffer] = [stream.block_header(origin, message.pid, len(block)), block]
            for client in group.native:
                effects.append(Notify(client, pieces))
        if group.libcpg:
            for payload in decode_block(block):
                self._deliver_libcpg(group, origin, message.pid, payload)

    def _deliver_libcpg(self, group: Group, origin: NodeId, pid: Pid, payload: memoryview) -> None:
        length = len(payload)
        if length <= CPG_ATOMIC_BYTES_MAX:
            self._cpg.deliver_libcpg(group, origin, pid, payload)
            return
        for fragment, piece in _fragments(payload):
            partial = PartialMcast(b"", length, pid, fragment, piece)
            self._cpg.deliver_partial(group, origin, partial)


class NativeClient(LocalMember):
    """One native connection."""

    __slots__ = ("_cluster", "_cpg", "_credentials", "_is_greeted", "_native")

    def __init__(
        self,
        cluster: Cluster,
        cpg: Cpg,
        native: Native,
        client: ClientId,
        credentials: Credentials,
    ) -> None:
        super().__init__(client, credentials)
        self._credentials = credentials
        self._cluster = cluster
        self._cpg = cpg
        self._native = native
        self._is_greeted = False
        cpg.members[client] = self

    # -- from the client ---------------------------------------------------------------------------

    def request(self, message: memoryview) -> None:
        """Take one frame. WireError disconnects the client."""
        frame = stream.decode_to_daemon(message)
        if isinstance(frame, stream.Send):
            guarantee = Guarantee.SAFE if frame.safe else Guarantee.AGREED
            self._native.send(self, frame.block, guarantee)
        elif isinstance(frame, stream.Hello):
            self._on_hello(frame)
        elif not self._is_greeted:
            raise WireError("the first frame must be HELLO")
        elif isinstance(frame, stream.Join):
            error = self._cpg.join(self, frame.name)
            if error is CsError.OK:
                self.wants_rings = frame.rings
            self._reply(stream.encode_reply(stream.Kind.JOIN, error))
        elif isinstance(frame, stream.Leave):
            self._reply(stream.encode_reply(stream.Kind.LEAVE, self._cpg.leave(self)))
        elif isinstance(frame, stream.Keyring):
            self._on_keyring(frame)
        else:
            self._on_query(frame)

    def gone(self) -> None:
        """The connection ended."""
        self._cpg.depart(self)

    def _reply(self, frame: bytes) -> None:
        self._cluster.reply(self.client, frame)

    def _on_hello(self, frame: stream.Hello) -> None:
        cluster = self._cluster
        if frame.version != stream.VERSION:
            reason = f"native protocol version {frame.version} is not {stream.VERSION}"
            cluster.effects.append(Disconnect(self.client, reason))
            return
        self._is_greeted = True
        self._reply(stream.encode_welcome(cluster.node_id, self.pid, cluster.ring))

    def _on_query(self, frame: stream.Query) -> None:
        if frame.what == stream.What.DUMP:
            asked = DumpAsked(self.client, self._credentials, frame.request)
            self._cluster.effects.append(asked)
        elif frame.what == stream.What.RELOAD:
            self._on_reload(frame.request)
        else:
            self._on_question(frame)

    def _on_reload(self, request: int) -> None:
        def answer(error: CsError, outcome: dict[str, Any]) -> None:
            self._reply(stream.encode_answer(request, dumps(outcome).encode(), error))

        if may_order(self._credentials, self._cluster.owner):
            self._native.reload.ask(answer)
        else:
            self._reply(stream.encode_answer(request, b"", CsError.ACCESS))

    def _on_question(self, frame: stream.Query) -> None:
        body, error = b"", CsError.OK
        if frame.what == stream.What.STATUS:
            body = self._native.status_json()
        elif frame.what == stream.What.MEMBERS:
            group = self._cpg.groups.by_name.get(frame.argument)
            members = group.members if group is not None else []
            body = stream.view_body([stream.Member(*one) for one in members])
        else:
            error = CsError.NOT_SUPPORTED
        self._reply(stream.encode_answer(frame.request, body, error))

    def _on_keyring(self, frame: stream.Keyring) -> None:
        """Those who hold the keys answer."""
        cluster = self._cluster
        if not cluster.has_keyring:
            self._reply(stream.encode_answer(frame.request, b"", CsError.NOT_SUPPORTED))
            return
        cluster.effects.append(
            KeyringAsked(
                self.client,
                self._credentials,
                frame.request,
                frame.verb,
                frame.is_forced,
                frame.timeout_ms,
                frame.argument,
            )
        )

    # -- to the client -----------------------------------------------------------------------------

    def attach(self, group: Group) -> None:
        """Deliveries as BLOCK frames."""
        group.native.append(self.client)

    def detach(self, group: Group) -> None:
        """No more of them."""
        if self.client in group.native:
            group.native.remove(self.client)

    def group_changed(self, change: GroupChange) -> None:
        """A VIEW frame."""
        self._cluster.notify(self.client, change.as_view())

    def ring_changed(self, *, joined: bool) -> None:
        """A RING frame, to who asked for it and is in its group."""
        del joined
        if self.wants_rings:
            self._cluster.notify(
                self.client, stream.encode_ring(self._cluster.ring, self._cluster.members)
            )


def _fragments(payload: memoryview) -> list[tuple[Fragment, memoryview]]:
    """Pieces of at most CPG_ATOMIC_BYTES_MAX of a payload that is longer than that."""
    step: Final = CPG_ATOMIC_BYTES_MAX
    pieces = [payload[at : at + step] for at in range(0, len(payload), step)]
    kinds = [Fragment.FIRST] + [Fragment.CONTINUED] * (len(pieces) - 2) + [Fragment.LAST]
    return list(zip(kinds, pieces, strict=True))
