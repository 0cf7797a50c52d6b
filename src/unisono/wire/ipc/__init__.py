"""Local IPC on the wire: the bytes of libqb's connection set-up and of each service's messages.

Speaks:      requests, replies and events of CPG, CFG, QUORUM and CMAP; one file per service.
Counterpart: libqb lib/ipc_int.h; corosync include/corosync/ipc_{cpg,cfg,quorum,cmap}.h.
Keeps:       `decode_x` raises WireError and nothing else; `encode_x` zero-fills every padding.
Never:       sockets, shared memory (ipc), what a message means (services).
"""
