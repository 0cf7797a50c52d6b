"""Service messages: what the executives of a ring say to each other inside totem's groups.

Speaks:      the groups "a" (CMAP, CFG, CPG, VOTEQUORUM), "sync", and our private "unisono".
Counterpart: corosync exec/{sync,cpg,votequorum,cmap,cfg}.c, structs req_exec_*; native is ours.
Keeps:       `decode_x` raises WireError and nothing else; `encode_x` zero-fills every padding.
Never:       what a message means (services).
"""
