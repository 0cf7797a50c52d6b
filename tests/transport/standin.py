"""A machine that puts one byte before each datagram: the sockets without the secrets."""

from unisono.base.group import SendAll, SendTo
from unisono.config.settings import UST, LinkSettings, SecureSettings, TransportSettings
from unisono.secure.events import Adopted, Arrived, Begin, PathLimit, Transmit

ENVELOPE = b"\x55"


class StandIn:
    """The five verbs, and a record of what was asked; sends over every link in `links`."""

    def __init__(self, me, others, links=(0,)):
        self.me = me
        self.others = others
        self.links = links
        self.effects = []
        self.requests = []
        self.sources = []
        self.expired = []
        self.due = None
        self.on_submit = None

    def submit(self, request, now):
        self.requests.append(request)
        if self.on_submit is not None:
            self.on_submit(request)
        match request:
            case Begin():  # all others are there
                self.effects += [Adopted(node, b"", False) for node in self.others]
            case SendTo():
                self.send((request.target,), [request.datagram])
            case SendAll():
                self.send(self.others, request.datagrams)

    def send(self, nodes, datagrams):
        ways = tuple((node, link) for link in self.links for node in nodes)
        self.effects.append(Transmit(ways, [ENVELOPE + datagram for datagram in datagrams]))

    def receive(self, batch, source, node, link, now):
        self.sources.append((source, node, link))
        frames = [packet[1:] for packet in batch if packet[:1] == ENVELOPE]
        if node is not None and frames:
            self.effects.append(Arrived(node, frames))

    def expire(self, now):
        self.expired.append(now)
        self.due = None

    def deadline(self):
        return self.due

    def drain(self):
        effects, self.effects = self.effects, []
        return effects

    def status(self, now):
        return {"peers": []}

    def asked(self, kind):
        return [request for request in self.requests if isinstance(request, kind)]

    def limits(self):
        return [(request.link, request.bytes) for request in self.asked(PathLimit)]


def secure_transport(*ports):
    """Settings of `transport: ust` with a link per port."""
    links = tuple(LinkSettings(number, port) for number, port in enumerate(ports))
    return TransportSettings(UST, "", port=ports[0], secure=SecureSettings(links=links))
