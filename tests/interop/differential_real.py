"""A laboratory as a stage: real daemons of either kind, libcpg programs, namespaces.

Keeps:       waits end on what clients report; ends only the processes that it started.
"""

import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.interop import netns
from tests.interop.cpg_client import CpgClient
from tests.interop.differential_stage import Event, Mark, Message, Ring, Sending, View
from tests.interop.lab import Lab, LabError

GROUP: Final = "choir"
CLIENT: Final = str(Path(__file__).with_name("differential_client.py"))
WAIT_SECONDS_MAX: Final = 25
SMALL_BYTES_MAX: Final = 700
"""Tokens are smaller; messages for whom `deafen` matters are larger."""
_DEAF: Final = f"""
table inet lab {{
  chain input {{
    type filter hook input priority 0;
    iifname "eth0" meta l4proto udp udp length > {SMALL_BYTES_MAX} drop
  }}
}}
"""


class RealStage:
    """`kinds` as Lab takes them: c for Corosync, u for unisonod, one letter a host."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._clients: dict[str, CpgClient] = {}
        self._events: dict[str, list[Event]] = {}
        self._names: dict[tuple[int, int], str] = {}
        self._deaf: list[int] = []

    def close(self) -> None:
        """End the clients; the laboratory ends the rest."""
        for client in self._clients.values():
            client.kill()
        self._clients.clear()

    # -- what is reported -------------------------------------------------------------------------

    def events(self, name: str) -> list[Event]:
        return self._events[name]

    def _feed(self, name: str) -> None:
        """Take in what the client has printed; a client that ended is no longer read."""
        client = self._clients[name]
        is_open = client.feed()
        for raw in client.events:
            self._events[name] += self._decode(raw)
        client.events.clear()
        if not is_open:
            client.kill()
            del self._clients[name]

    def _decode(self, raw: dict[str, Any]) -> list[Event]:
        match raw["ev"]:
            case "view":
                members = tuple(sorted(self._name(each) for each in raw["members"]))
                joined = tuple((self._name(each), each[2]) for each in raw["joined"])
                left = tuple((self._name(each), each[2]) for each in raw["left"])
                return [View(members, joined, left)]
            case "ring":
                return [Ring((raw["rep"], raw["seq"]), tuple(sorted(raw["members"])))]
            case "message":
                assert self._name(raw["sender"]) == raw["name"], raw
                return [Message(raw["name"], raw["number"], raw["size"], raw["whole"])]
            case "mark":
                return [Mark(raw["name"], raw["number"])]
            case _:
                return []

    def _name(self, address: list[int]) -> str:
        return self._names[address[0], address[1]]

    # -- verbs ------------------------------------------------------------------------------------

    def start(self, node: int) -> None:
        self.lab.start(node, client=False)

    def stop(self, node: int) -> None:
        status = self.lab.stop(node)
        assert status == 0, f"daemon {node} ended with {status}"

    def kill(self, node: int) -> None:
        self.lab.kill(node)

    def open(self, name: str, node: int) -> None:
        argv = [sys.executable, "-I", "-S", CLIENT, name, GROUP]
        client = CpgClient(node, self.lab.network.host(node).command(*argv))
        self._clients[name] = client
        self._events[name] = []
        self._names[node, client.pid] = name

    def send(self, name: str, sending: Sending) -> None:
        first, count, size, gap_us, safe = sending
        guarantee = "safe" if safe else "agreed"
        self._clients[name].say(f"send {first} {count} {size} {gap_us} {guarantee}")

    def mark(self, name: str, number: int) -> None:
        self._clients[name].say(f"mark {number}")

    def leave(self, name: str) -> None:
        self._clients[name].say("leave")

    def die(self, name: str) -> None:
        self._clients.pop(name).kill()

    def cut(self, sides: list[list[int]]) -> None:
        assert len(sides) == 2, "the laboratory has two bridges"
        self.lab.network.partition(*sides[1])

    def heal(self) -> None:
        self.lab.network.heal()

    def deafen(self, node: int) -> None:
        self._deaf.append(node)
        netns.run([*self._nft(node), "-f", "-"], _DEAF)

    def hear(self) -> None:
        for node in self._deaf:
            netns.run([*self._nft(node), "flush", "ruleset"])
        self._deaf.clear()

    def _nft(self, node: int) -> list[str]:
        return ["nsenter", "-t", str(self.lab.network.host(node).pid), "--net", "--", "nft"]

    # -- time -------------------------------------------------------------------------------------

    def linger(self, ms: int) -> None:
        end = time.monotonic() + ms / 1_000
        while (left := end - time.monotonic()) > 0:
            self._read(left)

    def wait(self, what: str, is_true: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_SECONDS_MAX
        while not is_true():
            for node, daemon in self.lab.daemons.items():
                if daemon.poll() is not None:
                    status = daemon.returncode
                    raise LabError(f"daemon {node} exited {status}: {what}\n{self._describe()}")
            left = end - time.monotonic()
            if left <= 0:
                raise LabError(f"never came to: {what}\n{self._describe()}")
            self._read(min(left, 0.5))

    def _read(self, seconds: float) -> None:
        names = {client.fileno(): name for name, client in self._clients.items()}
        ready, _, _ = select.select(list(names), [], [], seconds)
        for fd in ready:
            self._feed(names[fd])

    def _describe(self) -> str:
        seen = [
            f"{name}: {event}" for name, events in self._events.items() for event in events[-6:]
        ]
        return "\n".join([*seen, self.lab.describe()])
