"""Mutants of process groups: who is in, who is told, who gets the messages."""

from typing import Final

from tests.mutants.mutant import Mutant
from unisono.services.cpg import Cpg
from unisono.services.groups import Groups
from unisono.services.native import Native

CPG: Final = (
    Mutant(
        "the-dead-stay",
        "Processes of nodes that left are not taken out with their nodes.",
        Cpg,
        "_remove_downs",
        "if member.node_id not in stayed:",
        "if member.node_id not in stayed and member.node_id in members:",
    ),
    Mutant(
        "downlist-says-procdown",
        "Processes that went with their node are said to have died alone.",
        Cpg,
        "_remove_downs",
        "Reason.NODEDOWN",
        "Reason.PROCDOWN",
    ),
    Mutant(
        "lists-of-newcomers-unread",
        "Only the lists of nodes that stayed are read.",
        Cpg,
        "_add_ups",
        "told.keys() & members - {self._cluster.node_id}",
        "told.keys() & self._joinlists.survivors - {self._cluster.node_id}",
    ),
    Mutant(
        "joinlist-told-twice",
        "Processes of a list that are known already are announced again.",
        Cpg,
        "_add_ups",
        "group = self.groups.add(name, node_id, pid)",
        "group = self.groups.add(name, node_id, pid) or self.groups.by_name.get(name)",
    ),
    Mutant(
        "death-not-told",
        "The end of a client that died is not told to the other nodes.",
        Cpg,
        "depart",
        "self._start_leave(member, Reason.PROCDOWN)",
        "pass",
    ),
    Mutant(
        "leave-in-the-middle",
        "The leave of a client that died is sent at once, also while the services agree.",
        Cpg,
        "_send_leave",
        "if self._is_agreed:",
        "if self._is_agreed or reason == Reason.PROCDOWN:",
    ),
    Mutant(
        "waiting-leaves-lost",
        "Leaves that wait for the end of a synchronisation are dropped at its end.",
        Cpg,
        "set_agreed",
        "self._cluster.multicast(leave)",
        "pass",
    ),
    Mutant(
        "own-list-lacks-the-last",
        "A node leaves out the last of its own processes when it tells the others.",
        Cpg,
        "sync_process",
        "wire.encode_joinlist(processes)",
        "wire.encode_joinlist(processes[:-1] or processes)",
    ),
    Mutant(
        "leaver-still-gets",
        "A client whose leave is delivered still gets the messages of its group.",
        Cpg,
        "on_procleave",
        "own.detach(group)",
        "pass",
    ),
    Mutant(
        "change-not-told-to-native",
        "Only libcpg's clients hear of joins and leaves of others, when there are any.",
        Cpg,
        "_announce",
        "(*group.libcpg, *group.native)",
        "(group.libcpg or group.native)",
    ),
    Mutant(
        "node-forgotten-too-early",
        "When one of two members of a node leaves, messages of the other are refused.",
        Groups,
        "remove",
        "if left:",
        "if left > 1:",
    ),
    Mutant(
        "first-client-gets-the-block",
        "A block goes to the first native client of a node only.",
        Native,
        "_deliver",
        "for client in group.native:",
        "for client in group.native[:1]:",
    ),
    Mutant(
        "first-client-gets-the-message",
        "A message goes to the first libcpg client of a node only.",
        Cpg,
        "deliver_libcpg",
        "for client in group.libcpg:",
        "for client in group.libcpg[:1]:",
    ),
)
