"""Local clients: libqb's IPC over shared memory and over datagrams, and our own framed stream.

Speaks:      connection set-up, transports, flow control; passes whole messages up and down unread.
Counterpart: libqb lib/ipc_setup.c, ipc_shm.c, ipc_socket.c, ringbuffer.c; corosync exec/ipc_glue.c.
Keeps:       what a client does to its files, sockets or headers ends that client and nobody else.
Never:       what a message means (services), who may connect (the handler's admit).
"""
