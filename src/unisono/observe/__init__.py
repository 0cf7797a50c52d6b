"""Observe: what administrators see of a running daemon: log lines and counters.

Speaks:      Corosync's log line formats, JSON lines; syslog.
Counterpart: corosync exec/logsys.c.
Keeps:       nothing that the network can trigger writes more lines than its bound; no target of
             the log ever holds up the ring: each has a thread and a bounded queue.
Never:       is called by a machine: machines emit marks.
"""
