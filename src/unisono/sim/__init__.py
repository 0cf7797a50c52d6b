"""Sim: the ring and its services under virtual time, a hostile network, and checkers that notice.

Speaks:      seeds and scenario scripts in; a merged trace, a verdict, the command to repeat.
Counterpart: TigerBeetle's VOPR, FoundationDB's simulation, etcd raft's rafttest.
Keeps:       same seed, same trace: no wall clock, no dice but `random.Random(seed)`, no hash order.
Never:       opens a socket; only rooms without I/O are driven here, exactly as the executive does.
"""
