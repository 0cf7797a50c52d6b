"""A replicated key-value store: every process that runs this holds the same dictionary.

    python examples/kv_store.py              then type: set KEY VALUE, get KEY, delete KEY, all

Changes travel through the group and are applied where they come back, so all replicas apply them
in the same order. Who has no copy yet asks for one: the moment at which its question arrives is
the same for everybody, so the answer is the dictionary of that moment, and the newcomer applies
what was ordered since. After a partition the side of the smallest member keeps its copy.
"""

import argparse
import asyncio
import json
import sys
import threading

import unisono


class Store:
    """One replica. `data` is None while it has no copy."""

    def __init__(self, group: unisono.Group) -> None:
        self.group = group
        self.data: dict[str, str] | None = None
        self.ready = asyncio.Event()
        self.holders: set[unisono.Member] = set()  # those who have a copy, if we have one
        self.asked: dict[unisono.Member, int] = {}  # whose question, by number, has no answer yet
        self.since: list[list[str]] = []  # changes since our question
        self.question = 0

    async def send(self, **message: object) -> None:
        await self.group.send(json.dumps(message).encode())

    async def run(self) -> None:
        async for event in self.group:
            match event:
                case unisono.Message(sender, data):
                    await self.on_message(sender, json.loads(data))
                case unisono.View():
                    await self.on_view(event)
                case unisono.Gap():
                    self.data = None

    async def on_view(self, view: unisono.View) -> None:
        print("members:", *view.members, flush=True)
        self.asked.clear()
        self.holders -= view.left.keys() | view.joined.keys()
        if view.joined.get(min(view.members)) is unisono.Reason.NODEUP:
            self.data = None  # two partitions met, and ours is not the one that stays
        if self.data is None:
            self.ready.clear()
            self.question += 1
            await self.send(ask=self.question)

    async def on_message(self, sender: unisono.Member, message: dict) -> None:
        match message:
            case {"change": change}:
                self.apply(change)
            case {"ask": number}:
                self.asked[sender] = number
                if sender == self.group.me:
                    self.since = []
                if self.asked.keys() == set(self.group.members):  # nobody has a copy: begin anew
                    self.begin({}, set(self.asked))
                elif self.data is not None and self.group.me == min(self.holders):
                    copy = {"data": self.data, "holders": list(self.holders)}
                    await self.send(answer=number, to=sender, copy=copy)
            case {"answer": number, "to": to, "copy": copy}:
                newcomer = unisono.Member(*to)
                if self.asked.get(newcomer) == number:  # else a view came between; it asks again
                    del self.asked[newcomer]
                    if newcomer == self.group.me:
                        self.begin(copy["data"], {unisono.Member(*each) for each in copy["holders"]})
                    self.holders.add(newcomer)

    def begin(self, data: dict[str, str], holders: set[unisono.Member]) -> None:
        self.data, self.holders, self.asked = data, holders, {}
        for change in self.since:
            self.apply(change)
        self.ready.set()
        print(f"ready with {len(data)} keys", flush=True)

    def apply(self, change: list[str]) -> None:
        if self.data is None:
            self.since.append(change)
            return
        match change:
            case ["set", key, value]:
                self.data[key] = value
            case ["delete", key]:
                self.data.pop(key, None)

    async def obey(self, line: str) -> None:
        await self.ready.wait()
        assert self.data is not None
        match line.split(maxsplit=2):
            case ["set", _, _] | ["delete", _] as change:
                await self.send(change=change)
            case ["get", key]:
                print(key, "=", self.data.get(key, "(nothing)"), flush=True)
            case ["all"]:
                print(json.dumps(self.data, sort_keys=True), flush=True)
            case _:
                print("set KEY VALUE | get KEY | delete KEY | all", flush=True)


def read_lines(lines: asyncio.Queue[str]) -> None:
    """Put what is typed into the queue, then an empty line at the end."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        while line := sys.stdin.readline():
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instance", help="directory of the daemon's instance")
    parser.add_argument("--group", default="kv-store")
    options = parser.parse_args()
    lines: asyncio.Queue[str] = asyncio.Queue()
    read_lines(lines)
    async with unisono.connect(options.instance, reconnect=True) as node:
        async with node.group(options.group) as group, asyncio.TaskGroup() as tasks:
            store = Store(group)
            following = tasks.create_task(store.run())
            while line := await lines.get():
                await store.obey(line)
            following.cancel()


if __name__ == "__main__":
    asyncio.run(main())
