"""Leader election: of all processes that run this, exactly one leads (in each partition).

    python examples/leader_election.py [INSTANCE]

No votes are needed: everybody sees the same views in the same order. The one who came first leads;
who was there before me is known from my first view, and when all of those are gone, I lead.
"""

import asyncio
import sys

import unisono


class Candidate:
    """One candidate: `elders` were there before it."""

    def __init__(self, me: unisono.Member) -> None:
        self.me = me
        self.elders: set[unisono.Member] | None = None
        self.leads = False

    def on_view(self, view: unisono.View) -> bool:
        """Whether this view makes me the leader."""
        if self.elders is None:
            self.elders = set(view.members) - {self.me}
        self.elders -= view.left.keys()
        if view.joined.get(min(view.members)) is unisono.Reason.NODEUP:
            self.elders |= view.joined.keys()  # partitions met: the smallest member's side is older
        led, self.leads = self.leads, not self.elders
        return self.leads and not led


async def main(instance: str | None = None) -> None:
    async with unisono.connect(instance) as node, node.group("election") as group:
        candidate = Candidate(group.me)
        async for event in group:
            match event:
                case unisono.View():
                    print("members:", *event.members, flush=True)
                    if candidate.on_view(event):
                        await group.send(b"I lead")
                case unisono.Message(sender):
                    print(sender, "leads" + (" (that is me)" if sender == group.me else ""))
                    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
