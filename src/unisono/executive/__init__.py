"""Executive: the daemon `unisonod`; the only room that wires machines to drivers.

Speaks:      corosync(8)'s options that matter today, signals, the ring-id file.
Counterpart: corosync exec/main.c.
Keeps:       one process, one loop, no threads; effects are carried out in the order given.
Never:       decides what a datagram or a request means (totem, services).
"""
