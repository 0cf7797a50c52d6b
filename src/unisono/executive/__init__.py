"""Executive: the daemon `unisonod`; the only room that wires machines to drivers.

Speaks:      corosync(8)'s options that matter today, signals, the ring-id file.
Counterpart: corosync exec/main.c.
Keeps:       one process, one loop; effects are carried out in the order given. Threads only wait
             for disks and name servers: a log's targets, the configuration, addresses.
Never:       decides what a datagram or a request means (totem, services).
"""
