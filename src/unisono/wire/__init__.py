"""Wire: bytes to objects and back, for every format that leaves or enters the process.

Speaks:      Totem ring datagrams, process-group packets, service messages, libqb IPC, the native
             stream.
Counterpart: corosync exec/totemsrp.c, totempg.c, cpg.c, sync.c; libqb ipc_int.h.
Keeps:       a decoder raises WireError and nothing else, for every input.
Never:       state, policy, defaults.
"""
