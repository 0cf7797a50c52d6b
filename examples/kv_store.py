"""A replicated key-value store: every process that runs this holds the same dictionary.

    python examples/kv_store.py [INSTANCE]     then type: set KEY VALUE | get KEY | delete KEY | all

Commands travel through the group and are obeyed where they come back: in the same order everywhere,
reads included. Who has no copy asks for one. The question arrives at the same moment for everybody,
so the answer is the dictionary of that moment; what was ordered since, the newcomer adds itself.
When two partitions meet, the side of the smallest member keeps its copy, even if that is one that
was just started alone: a store that must not forget would let the larger side win.
"""

import json
import sys
import threading
from itertools import chain
from typing import Any

from unisono import Gap, Member, Message, Reason, View, blocking


class Store:
    """One replica; `data` is None while it has no copy."""

    def __init__(self, group: blocking.Group) -> None:
        self.group = group
        self.data: dict[str, str] | None = None
        self.ready = threading.Event()
        self.asked: dict[Member, int] = {}  # questions that have no answer yet, by number
        self.holders: set[Member] = set()  # who has a copy (without one: who got it since we asked)
        self.since: list[tuple[Member, list[str]]] = []  # commands since we asked
        self.number = 0
        self.asking = False  # our question is on its way: it counts in the view where it arrives

    def send(self, *message: object) -> None:
        self.group.send(json.dumps(message).encode())

    def run(self) -> None:
        for event in self.group:
            match event:
                case View(members, joined, left):
                    print("members:", *members, flush=True)
                    self.asked.clear()
                    self.holders -= left.keys() | joined.keys()
                    if joined.get(min(members)) is Reason.NODEUP:
                        self.begin(None)  # partitions met, and ours is not the one that stays
                    if self.data is None and not self.asking:
                        self.number += 1
                        self.asking = True
                        self.send("ask", self.number)
                case Gap():
                    self.asking = False
                    self.begin(None)
                case Message(sender, data):
                    self.on_message(sender, *json.loads(data))

    def on_message(self, sender: Member, kind: str, *words: Any) -> None:
        match kind, words:
            case "do", command:
                self.since.append((sender, list(command)))
                if self.data is not None:
                    self.begin(self.data)
            case "ask", (number,):
                self.asked[sender] = number
                if sender == self.group.me:
                    self.since, self.holders, self.asking = [], set(), False
                if self.asked.keys() == set(self.group.members):  # nobody has a copy: start empty
                    self.since, self.holders, self.asked = [], set(self.asked), {}
                    self.begin({})
                elif self.data is not None and self.group.me == min(self.holders):
                    self.send("answer", sender, number, self.data, list(self.holders))
            case "answer", (to, number, copy, holders):
                newcomer = Member(*to)
                if self.asked.get(newcomer) == number:  # else a view came between: it asks again
                    del self.asked[newcomer]
                    self.holders.add(newcomer)
                    if newcomer == self.group.me:
                        self.holders |= {Member(*each) for each in holders}
                        self.begin(copy)

    def begin(self, data: dict[str, str] | None) -> None:
        """Go on from here: obey what was ordered since `data` was true, or wait for a copy."""
        self.data, commands, self.since = data, self.since, []
        if data is None:
            self.ready.clear()
            return
        for sender, command in commands:
            self.obey(data, sender == self.group.me, command)
        if not self.ready.is_set():
            print(f"ready, {len(data)} keys", flush=True)
            self.ready.set()

    def obey(self, data: dict[str, str], mine: bool, command: list[str]) -> None:
        match command:
            case ["set", key, value]:
                data[key] = value
            case ["delete", key]:
                data.pop(key, None)
            case ["get", key] if mine:
                print(key, "=", data.get(key, "(nothing)"), flush=True)
            case ["all"] if mine:
                print(json.dumps(data, sort_keys=True), flush=True)
            case ["bye"] if mine:
                self.group.leave()  # the loop in `run` ends


def type_commands(store: Store) -> None:
    for line in chain(sys.stdin, ["bye"]):
        store.ready.wait()
        store.send("do", *line.strip().split(maxsplit=2))


def main(instance: str | None = None) -> None:
    with blocking.connect(instance, reconnect=True) as node, node.group("kv-store") as group:
        store = Store(group)
        threading.Thread(target=type_commands, args=[store], daemon=True).start()
        store.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
