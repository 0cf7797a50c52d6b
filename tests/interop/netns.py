"""Hosts for a laboratory: namespaces on one bridge, gone when the process that keeps them ends.

Speaks:      `Network` with numbered hosts; `command()` makes an argv that runs inside a host.
Counterpart: ip-netns(8), unshare(1), nsenter(1), setpriv(1), nft(8).
Keeps:       namespaces have no names: a process holds each, reading a pipe from this one, so
             nothing can collide between test workers and nothing outlives them, even SIGKILL.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PRIVATE_DIRECTORIES: Final = (
    "/run",
    "/dev/shm",
    "/var/lib/corosync",
    "/etc/corosync",
    "/var/log",
)
_HOST_SETUP: Final = """
set -e
for directory in %s; do mkdir -p $directory; mount -t tmpfs -o mode=755 lab $directory; done
chmod 1777 /dev/shm
mkdir -p /var/log/corosync
hostname %s
[ -z "%s" ] || { printf '%%b' '%s' > /run/hosts; mount --bind /run/hosts /etc/hosts; }
echo ready
exec cat
"""
_LOSS_RULES: Final = """
table inet lab {
  chain input {
    type filter hook input priority 0;
    iifname "eth0" meta l4proto udp numgen random mod 1000 < %d drop
  }
}
"""


class NetworkError(Exception):
    """A namespace tool failed; carries its output."""


def run(argv: Sequence[str], text: str = "") -> str:
    """Run a tool to its end and return its output; NetworkError when it fails."""
    done = subprocess.run(argv, check=False, input=text, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise NetworkError(f"{' '.join(argv)}\n{text}\n{done.stdout}{done.stderr}")
    return done.stdout


class Namespace:
    """A process that holds a set of namespaces for as long as its standard input stays open."""

    def __init__(self, name: str, directories: Sequence[str] = (), hosts_file: str = "") -> None:
        script = _HOST_SETUP % (" ".join(directories) or "/run", name, hosts_file, hosts_file)
        kinds = ["--net", "--mount", "--uts", "--propagation", "private"]
        self._keeper = subprocess.Popen(
            ["unshare", *kinds, "--", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            text=True,
        )
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline() != "ready\n":
            self.close()
            raise NetworkError(f"no namespace for {name}")
        self.pid = self._keeper.pid

    def path(self, inside: str) -> Path:
        """Where this process finds the file that the host calls `inside`."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def command(self, *argv: str) -> list[str]:
        """`argv` run inside the host, ended when the thread that starts it ends."""
        enter = ["nsenter", "-t", str(self.pid), "--net", "--mount", "--uts", "--"]
        return [*enter, "setpriv", "--pdeathsig", "KILL", *argv]

    def ip(self, commands: str) -> None:
        """Run a batch of commands, one a line, by ip(8)."""
        run(["nsenter", "-t", str(self.pid), "--net", "--", "ip", "-batch", "-"], commands)

    def close(self) -> None:
        """Let the holder end; the namespaces go with the last process in them."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        self._keeper.stdout.close()
        self._keeper.wait(10)


class Network:
    """`count` hosts, numbered from 1, on a bridge; a second bridge is there for partitions."""

    def __init__(self, count: int, mtu: int = 1500) -> None:
        self.numbers = range(1, count + 1)
        self._namespaces: dict[int, Namespace] = {}
        try:
            self._switch = Namespace("switch")
            names = "".join(
                rf"{address}\thost{n}\n" for n in self.numbers for address in self.addresses(n)
            )
            for n in self.numbers:
                self._namespaces[n] = Namespace(f"host{n}", PRIVATE_DIRECTORIES, names)
            self._connect(mtu)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def addresses(n: int) -> tuple[str, str]:
        """IPv4 and IPv6 address of host `n`."""
        return f"10.77.0.{n}", f"fd77::{n:x}"

    def host(self, n: int) -> Namespace:
        return self._namespaces[n]

    @property
    def switch(self) -> Namespace:
        """Where the bridges are: whoever sits there sees everything."""
        return self._switch

    def _connect(self, mtu: int) -> None:
        lines = []
        for bridge in ("side0", "side1"):
            lines.append(f"link add {bridge} type bridge mcast_snooping 0")
            lines.append(f"link set {bridge} mtu {mtu} up")
        for n, host in self._namespaces.items():
            lines.append(f"link add port{n} mtu {mtu} type veth peer name eth0 netns {host.pid}")
            lines.append(f"link set port{n} master side0 up")
        self._switch.ip("\n".join(lines))
        for n, host in self._namespaces.items():
            ipv4, ipv6 = self.addresses(n)
            host.ip(
                f"link set lo up\nlink set eth0 mtu {mtu} up\n"
                f"addr add {ipv4}/24 dev eth0\naddr add {ipv6}/64 dev eth0 nodad\n"
                "route add 224.0.0.0/4 dev eth0\n"
            )

    def partition(self, *others: int) -> None:
        """Cut these hosts off from the rest; they still hear each other."""
        self._plug(1, others)

    def heal(self) -> None:
        """Every host on one bridge again."""
        self._plug(0, self.numbers)

    def _plug(self, side: int, hosts: Sequence[int]) -> None:
        self._switch.ip("\n".join(f"link set port{n} master side{side}" for n in hosts))

    def lose(self, n: int, fraction: float) -> None:
        """Drop this share of the UDP datagrams that reach host `n` from the wire, at random."""
        nft = ["nsenter", "-t", str(self.host(n).pid), "--net", "--", "nft"]
        run([*nft, "flush", "ruleset"])
        if fraction:
            run([*nft, "-f", "-"], _LOSS_RULES % round(fraction * 1000))

    def capture(self, file: Path) -> "subprocess.Popen[bytes]":
        """Start tcpdump on the bridge; the caller ends it."""
        argv = [
            "tcpdump",
            "-Z",
            "root",
            "-U",
            "--immediate-mode",
            "-i",
            "side0",
            "-w",
            str(file),
            "udp",
        ]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(self._switch.command(*argv), stdout=quiet, stderr=quiet)

    def close(self) -> None:
        """Remove everything. Processes in the hosts must have ended; repeats are harmless."""
        for namespace in [*self._namespaces.values(), *filter(None, [vars(self).get("_switch")])]:
            namespace.close()
        self._namespaces.clear()
