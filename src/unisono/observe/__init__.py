"""Observe: what administrators see of a running daemon: log lines and counters.

Speaks:      Corosync's log line formats; syslog.
Counterpart: corosync exec/logsys.c.
Keeps:       nothing that the network can trigger writes more lines than its bound.
Never:       is called by a machine: machines emit marks.
"""
