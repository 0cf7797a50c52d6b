"""The same files through Debian's `corosync -t`: it and we accept and refuse alike.

Where we are stricter on purpose, the case says so and the original's leniency is asserted too.
"""

import grp
import os
import pwd
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.config.texts import conf, node
from unisono.config import ConfigErrors, load
from unisono.config.hosts import StaticHost

pytestmark = pytest.mark.interop

COROSYNC_SECONDS_MAX = 20
HERE = node("127.0.0.1", 1)
SIX = node("::1", 1)


class SystemResolver:
    def resolve(self, name: str, ip_version: str) -> Sequence[str]:
        return [str(row[4][0]) for row in socket.getaddrinfo(name, None)]

    def user(self, name: str) -> int | None:
        return pwd.getpwnam(name).pw_uid

    def group(self, name: str) -> int | None:
        return grp.getgrnam(name).gr_gid


def good(totem: str = "", nodes: str = HERE, more: str = "", transport: str = "udpu") -> bytes:
    return conf(totem, nodes, more, transport).encode("utf-8", "surrogateescape")


def link(*lines: str) -> str:
    return "interface {\n" + "\n".join(lines) + "\n}"


ALIKE = {
    "plain": good(),
    "crlf": good().replace(b"\n", b"\r\n"),
    "no newline at the end": good().rstrip(b"\n"),
    "510 bytes": good("x: " + "y" * 507),
    "511 bytes": good("x: " + "y" * 508),
    "511 bytes at the end": good(more="xyz: " + "y" * 506).rstrip(b"\n"),
    "brace in value": good("cluster_name: a{b"),
    "closing brace in value": good("cluster_name: a}b"),
    "comment behind value": good("token: 1000 # x"),
    "equals sign": good("token = 5"),
    "empty text": good("cluster_name:"),
    "empty number": good("token:"),
    "plus": good("token: +1000"),
    "leading zeros": good("token: 0001000"),
    "hexadecimal": good("token: 0x400"),
    "unit": good("token: 1000ms"),
    "negative": good("token: -1"),
    "33 bits": good("token: 4294967296"),
    "vertical tab": good("token: \v1000"),
    "two carriage returns": good("token: 1000\r\r"),
    "no-break space": good("token: 1000\udca0"),
    "two colons": good("token:: 5"),
    "tabs": good("\ttoken\t:\t1000\t"),
    "zero": good("token: 0"),
    "least token but one": good("token: 125"),
    "least token": good("token: 126"),
    "consensus below join": good("consensus: 49"),
    "consensus equals join": good("consensus: 50"),
    "join above consensus": good("join: 3601"),
    "join at consensus": good("join: 3600"),
    "hold": good("hold: 13"),
    "token_warning": good("token_warning: 101"),
    "unknown key": good("two_node: 1"),
    "unknown section": good(more="foo {\nbar: 1\n}"),
    "colon before brace": good(more="foo: {\nbar: 1\n}"),
    "lone closing brace": good(more="}"),
    "blanks around brace": good(more="foo {\n  }  "),
    "never closed": good(more="foo {"),
    "text behind opening": good(more="foo { bar"),
    "text behind closing": good(more="foo {\n} x"),
    "one line": good(more="foo { bar: 1 }"),
    "no section name": good(more="{\n}"),
    "blank in key": good("clu ster: x"),
    "path of 1": good(more="a: b"),
    "path of 3": good(more="abc: b"),
    "path of 254": good("k" * 248 + ": 1"),
    "path of 255": good("k" * 249 + ": 1"),
    "long section path": good(more="a" * 200 + " {\n" + "b" * 60 + " {\n}\n}"),
    "NUL": good("tok\0en: 5"),
    "version 3": good().replace(b"version: 2", b"version: 3"),
    "no version": good().replace(b"version: 2", b""),
    "unknown transport": good(transport="tcp"),
    "crypto": good("crypto_cipher: aes256\ncrypto_hash: sha256"),
    "secauth": good("secauth: on"),
    "secauth overruled": good("secauth: on\ncrypto_cipher: none\ncrypto_hash: none"),
    "second link": good(nodes=node("127.0.0.1", 1, "name: a\nring1_addr: 127.0.0.1")),
    "link 8": good(nodes=node("127.0.0.1", 1, "ring8_addr: 127.0.0.1")),
    "ttl with udpu": good(link("ttl: 2")),
    "priority with udpu": good(link("knet_link_priority: 2")),
    "another link": good(link("linknumber: 1", "mcastport: 5000")),
    "another link, empty": good(link("linknumber: 1")),
    "port 0": good(link("mcastport: 0")),
    "udp without cluster_name": good(transport="udp"),
    "udp with cluster_name": good("cluster_name: x", transport="udp"),
    "mcastaddr is unicast": good(link("mcastaddr: 10.0.0.1"), transport="udp"),
    "mcastaddr": good(link("mcastaddr: 239.1.1.1"), transport="udp"),
    "mcastaddr of the other family": good(link("mcastaddr: ff15::1"), transport="udp"),
    "broadcast": good(link("broadcast: yes"), transport="udp"),
    "ipv6 asked for": good("ip_version: ipv6"),
    "unknown ip_version": good("ip_version: 4"),
    "ipv6 node": good(nodes=SIX),
    "ipv6 node over udp": good("cluster_name: x", SIX, transport="udp"),
    "ipv6 node without id": good(nodes=node("::1")),
    "ipv4 node without id": good(nodes=node("127.0.0.1")),
    "node id twice": good(nodes=HERE + node("127.0.0.2", 1)),
    "address twice": good(nodes=HERE + node("127.0.0.1", 2)),
    "no node is local": good(nodes=node("192.0.2.77", 1)),
    "name that does not resolve": good(nodes=node("no.such.name.invalid", 1)),
    "no nodes": good().replace(b"nodelist", b"nodelost"),
    "second node list": good(more="nodelist {\nnode {\nnodeid: 7\n}\n}"),
    "second totem": good(more="totem {\nversion: 2\n}"),
    "log word": good(more="logging {\nto_stderr: maybe\n}"),
    "log priority": good(more="logging {\nsyslog_priority: DEBUG\n}"),
    "log facility": good(more="logging {\nsyslog_facility: foo\n}"),
    "log debug yes": good(more="logging {\ndebug: yes\n}"),
    "log debug trace": good(more="logging {\ndebug: trace\n}"),
    "log fileline yes": good(more="logging {\nfileline: yes\n}"),
    "log function_name 1": good(more="logging {\nfunction_name: 1\n}"),
    "log timestamp yes": good(more="logging {\ntimestamp: yes\n}"),
    "log blackbox yes": good(more="logging {\nblackbox: yes\n}"),
    "log priority error": good(more="logging {\nlogfile_priority: error\n}"),
    "log priority foo": good(more="logging {\nlogfile_priority: foo\n}"),
    "log facility kern": good(more="logging {\nsyslog_facility: kern\n}"),
    "log keys of ours": good(more="logging {\nformat: json\nblackbox_bytes: 65536\n}"),
    "subsystem unknown": good(more="logging {\nlogger_subsys {\nsubsys: A.B\ndebug: on\n}\n}"),
    "subsystem debug yes": good(more="logging {\nlogger_subsys {\nsubsys: CPG\ndebug: yes\n}\n}"),
    "subsystem name too long": good(
        more=f"logging {{\nlogger_subsys {{\nsubsys: {'X' * 64}\ndebug: on\n}}\n}}"
    ),
    "log of a daemon": good(
        more="logging {\nlogging_daemon {\nname: corosync\nsubsys: CPG\ndebug: on\n}\n}"
    ),
    "log file without path": good(more="logging {\nto_logfile: yes\n}"),
    "subsystem without name": good(more="logging {\nlogger_subsys {\ndebug: off\n}\n}"),
    "subsystem with blank": good(more="logging {\nlogger_subsys {\nsubsys: A B\ndebug: off\n}\n}"),
    "subsystem": good(more="logging {\nlogger_subsys {\nsubsys: CPG\ndebug: off\n}\n}"),
    "user": good(more="uidgid {\nuid: root\n}"),
    "unknown user": good(more="uidgid {\nuid: nobody-here\n}"),
    "uidgid key": good(more="uidgid {\nuser: root\n}"),
    "uid -1": good(more="uidgid {\nuid: -1\n}"),
    "gid with plus": good(more="uidgid {\ngid: +5\n}"),
    "member": good(link("member {", "memberaddr: 127.0.0.1", "}")),
    "member key": good(link("member {", "address: 127.0.0.1", "}")),
    "ipc type": good(more="system {\nqb_ipc_type: tcp\n}"),
    "sched_rr": good(more="system {\nsched_rr: on\n}"),
    "link mode": good("link_mode: fast"),
    "two_node beyond a byte": good(more="quorum {\ntwo_node: 256\n}"),
}

STRICTER = {
    "node id 0 (reserved)": good(nodes=node("127.0.0.1", 0)),
    "netmtu of one byte": good("netmtu: 1"),
    "NUL at the start of a line": good("\0token: x"),
    "empty key": good(": 5"),
    "config_version -1": good("config_version: -1"),
    "neither yes nor no": good("block_unlisted_ips: maybe"),
    "unknown quorum provider": good(more="quorum {\nprovider: foo\n}"),
    "two_node beside a device": good(
        more="quorum {\nprovider: corosync_votequorum\ntwo_node: 1\ndevice {\nmodel: net\n}\n}"
    ),
}


def we_accept(data: bytes) -> bool:
    host = StaticHost((os.uname().nodename,), ("127.0.0.1/8", "::1/128"))
    try:
        load(data, "f", [], SystemResolver(), host)
    except ConfigErrors:
        return False
    return True


def corosync_accepts(data: bytes, path: Path) -> bool:
    path.write_bytes(data)
    command = ["corosync", "-t", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, timeout=COROSYNC_SECONDS_MAX, check=False)
    assert done.returncode in (0, 7, 8), done
    return done.returncode == 0


@pytest.mark.parametrize("name", ALIKE)
def test_load_when_corosync_decides_then_we_decide_alike(name: str, tmp_path: Path) -> None:
    assert we_accept(ALIKE[name]) == corosync_accepts(ALIKE[name], tmp_path / "corosync.conf")


@pytest.mark.parametrize("name", STRICTER)
def test_load_when_corosync_is_lenient_then_we_refuse_on_purpose(name: str, tmp_path: Path) -> None:
    assert corosync_accepts(STRICTER[name], tmp_path / "corosync.conf")
    assert not we_accept(STRICTER[name])
