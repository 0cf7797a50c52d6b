"""Client: the core of the library, the same for asyncio and for blocking programs.

Speaks:      the native stream with blocks to our daemon, libqb CPG to a stock Corosync.
Counterpart: corosync lib/cpg.c.
Keeps:       the order of messages and views; what is buffered is bounded; cores do no I/O.
Never:       waits (aio and blocking do), or imports the daemon.
"""
