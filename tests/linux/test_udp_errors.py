"""The error queue: real errors on loopback, and what an ICMP message may not make us believe."""

import contextlib
import errno
import select
import socket
import struct

import pytest

from unisono.linux import udp_errors
from unisono.linux.sockets import never_fragment, open_udp
from unisono.linux.udp_errors import READ_MAX, Complaint, queue_errors, read_errors

WAIT_MS = 5_000
CLOSED_PORT = 29_876


@pytest.fixture(params=["127.9.0.1", "::1"], ids=["v4", "v6"])
def sender(request):
    with open_udp((request.param, 0)) as sock:
        never_fragment(sock)
        queue_errors(sock)
        yield sock


def await_error(sock):
    poll = select.poll()
    poll.register(sock, 0)
    assert poll.poll(WAIT_MS) == [(sock.fileno(), select.POLLERR)]


def test_closed_port_is_told_with_its_address(sender):
    host = sender.getsockname()[0]
    sender.sendto(b"anybody?", (host, CLOSED_PORT))
    await_error(sender)
    assert [(error.complaint, error.address[:2]) for error in read_errors(sender)] == [
        (Complaint.PORT_CLOSED, (host, CLOSED_PORT))
    ]
    assert list(read_errors(sender)) == []


def test_datagram_that_the_device_does_not_take_is_told_with_its_mtu(sender):
    with pytest.raises(OSError, match="too long"):
        sender.sendto(bytes(65_520), (sender.getsockname()[0], CLOSED_PORT))
    (error,) = read_errors(sender)
    assert (error.complaint, error.mtu_bytes) == (Complaint.TOO_LARGE, 65_536)


def test_errors_are_read_in_bounded_numbers(sender):
    for _ in range(READ_MAX + 5):
        with contextlib.suppress(ConnectionRefusedError):
            sender.sendto(b"", (sender.getsockname()[0], CLOSED_PORT))
        with contextlib.suppress(ConnectionRefusedError):
            sender.sendto(b"", (sender.getsockname()[0], CLOSED_PORT))
    assert len(list(read_errors(sender))) == READ_MAX


@pytest.mark.parametrize(
    ("number", "origin", "kind", "code", "complaint"),
    [
        (errno.ECONNREFUSED, 2, 3, 3, Complaint.PORT_CLOSED),
        (errno.ECONNREFUSED, 3, 1, 4, Complaint.PORT_CLOSED),
        (errno.EMSGSIZE, 1, 0, 0, Complaint.TOO_LARGE),
        (errno.EMSGSIZE, 2, 3, 4, Complaint.OTHER),  # a router, or whoever says to be one
        (errno.EMSGSIZE, 3, 2, 0, Complaint.OTHER),
        (errno.EHOSTUNREACH, 2, 3, 1, Complaint.OTHER),
    ],
)
def test_only_this_host_is_believed_about_sizes(number, origin, kind, code, complaint):
    data = struct.pack("=IBBBBII", number, origin, kind, code, 0, 576, 0)
    found = udp_errors._understood(data, ("127.9.0.1", 1))
    assert found.complaint is complaint
    assert found.mtu_bytes == (576 if complaint is Complaint.TOO_LARGE else 0)


def test_ancillary_room_fits_the_largest_complainer():
    assert socket.CMSG_SPACE(16 + 28) == udp_errors._ANCILLARY_BYTES
