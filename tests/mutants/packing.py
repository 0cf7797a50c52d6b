"""Mutants of packing, reassembly and delivery: what becomes of messages on their way."""

from typing import Final

from tests.mutants.mutant import Mutant
from unisono.totem.delivery import Delivery
from unisono.totem.machine import Totem
from unisono.totem.packing import SendQueue, _Waiting
from unisono.totem.reassembly import Assembler

PACKING: Final = (
    Mutant(
        "fragment-one-byte-late",
        "A later fragment begins one byte late and ends one byte late.",
        _Waiting,
        "cut",
        "[start - head : end - head]",
        "[start - head + 1 : end - head + 1]",
    ),
    Mutant(
        "exact-fit-is-lost",
        "A message that fills what is left of a packet exactly is taken off the queue, not sent.",
        SendQueue,
        "next_packet",
        "        safe = safe or message.safe\n",
        "        if lengths and room == end - offset + LENGTH_BYTES:\n"
        "            break\n"
        "        safe = safe or message.safe\n",
    ),
    Mutant(
        "fragment-number-is-one",
        "Every continuation says that it continues fragment one.",
        SendQueue,
        "next_packet",
        "continuation = self._fragment",
        "continuation = min(1, self._fragment)",
    ),
    Mutant(
        "fragment-number-zero",
        "Fragment numbers wrap to zero, which says that nothing follows.",
        SendQueue,
        "next_packet",
        "self._fragment % FRAGMENT_NUMBER_MAX + 1",
        "(self._fragment + 1) % (FRAGMENT_NUMBER_MAX + 1)",
    ),
    Mutant(
        "half-a-message-for-joiners",
        "A message that was begun on the old ring goes on in the new one, also among natives.",
        Totem,
        "_finish_sync",
        "self._queue.restart_partial()",
        "pass",
    ),
    Mutant(
        "own-packet-opened-twice",
        "An own packet is handed out from memory, and then once more through reassembly.",
        Delivery,
        "_open",
        "        return\n    assembler",
        "    assembler",
    ),
    Mutant(
        "own-packet-backwards",
        "The messages of an own packet are handed out in the wrong order.",
        Delivery,
        "_open",
        "in message.complete:",
        "in message.complete[::-1]:",
    ),
    Mutant(
        "one-buffer-for-sync",
        "Synchronisation has no reassembly buffers of its own.",
        Delivery,
        "_install",
        "self._assembler = self._sync",
        "pass",
    ),
    Mutant(
        "normal-buffers-cleared",
        "The normal buffers are emptied at each configuration, though their senders go on.",
        Delivery,
        "_install",
        "self._sync.clear()",
        "self._normal.clear()",
    ),
    Mutant(
        "one-buffer-for-all-senders",
        "A continuation is added to whatever message is unfinished, whoever sent it.",
        Assembler,
        "accept",
        "self._unfinished.pop(origin, None)",
        "self._unfinished.popitem()[1] if self._unfinished else None",
    ),
    Mutant(
        "old-beginning-is-kept",
        "A message that begins anew is put behind the beginning that came before.",
        Assembler,
        "accept",
        "        self.orphans += 1\n        unfinished = None\n    if fragmented:",
        "        self.orphans += 1\n    if fragmented:",
    ),
)
