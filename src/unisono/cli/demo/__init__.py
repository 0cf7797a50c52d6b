"""The demonstration: a replicated key-value store on three daemons, one of which is killed.

Speaks:      the public Python API only; what it does any program can do.
Keeps:       a run leaves no process and no file behind, however it ends.
"""
