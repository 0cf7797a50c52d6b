"""Linux: the only room that touches kernel calls and C libraries by number.

Speaks:      socket options, fork and locks, allocator and memory locking, interface addresses,
             credentials, semaphores.
Keeps:       asking is separate from needing: what is refused comes back as a value.
Never:       decides, logs or waits for events.
"""
