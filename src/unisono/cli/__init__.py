"""Commands for people: the umbrella `unisono` and what it offers.

Speaks:      argument lists, terminals and exit statuses; to daemons only through the client doors.
Counterpart: corosync tools/; their drop-in names come to this room, too.
Keeps:       a command imports what it needs when it is called: start-up time is felt.
Never:       imports the daemon or the simulator; these are reached by exec.
"""
