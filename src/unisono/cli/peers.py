"""Peers: what `unisono status` says of the transport: links, keys, and what is wrong with them.

Keeps:       fingerprints of keys only; everything here is said by the daemon.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

SECURE: Final = "ust"
_PLAIN: Final = {
    "udp": "udp multicast, unauthenticated: for rings with Corosync members",
    "udpu": "udp unicast, unauthenticated: for rings with Corosync members",
}

Transport = Mapping[str, Any]


def describe_transport(transport: Transport) -> str:
    """Kind and keys, in one line."""
    kind = str(transport.get("kind"))
    if kind != SECURE:
        return _PLAIN.get(kind, kind)
    text = f"{kind}, key {transport.get('key')}"
    for name, meaning in (("key_next", "next"), ("key_previous", "previous")):
        if transport.get(name):
            text += f", {meaning} {transport[name]}"
    return text


def describe_peers(transport: Transport) -> Iterator[str]:
    """Every peer with its links, then the complaints of the last minute, line by line."""
    if transport.get("kind") != SECURE:
        return
    yield "peers"
    for peer in transport.get("peers", ()):
        name = f"node {peer['node']}"
        if not peer["session"] or peer["gone"]:
            yield f"  {name:<10} {'gone' if peer['gone'] else 'no session'}"
            continue
        for link in peer["links"]:
            yield f"  {name:<10} {_link_text(link)}"
            name = ""
        if _is_other_key(transport, peer):
            yield f"  {name:<10} session made with key {peer['key']}, which is none of ours"
    if complaints := transport.get("complaints"):
        yield "complaints"
        yield from (f"  {complaint_text(complaint)}" for complaint in complaints)


def faults(transport: Transport) -> int:
    """How many things are wrong with keys: complaints, and live peers that have another key."""
    peers = [peer for peer in transport.get("peers", ()) if _is_other_key(transport, peer)]
    return len(peers) + len(transport.get("complaints", ()))


def complaint_text(complaint: Mapping[str, Any]) -> str:
    """A complaint in the words of the log."""
    node = complaint.get("node")
    text = (
        f"Invalid digest from {complaint['source']} link={complaint['link']} "
        f"claims-node={node if node is not None else 'unknown'} reason={complaint['reason']}"
    )
    if complaint.get("theirs"):
        text += f" theirs={complaint['theirs']} ours={complaint['ours']}"
    return f"{text} packets={complaint['packets']} {complaint['seconds_ago']} s ago"


def _link_text(link: Mapping[str, Any]) -> str:
    state = "up" if link["up"] else "DOWN, one way" if link["one_way"] else "DOWN"
    latency = f"{link['latency_us'] / 1000:.2f} ms" if link["latency_us"] else "-"
    text = f"link {link['link']}  {state:<5} {latency:>9}  MTU {link['mtu']}"
    return text + (f"  {link['losses']} pings lost" if link["losses"] else "")


def _is_other_key(transport: Transport, peer: Mapping[str, Any]) -> bool:
    """Whether a peer that is up has a session under a key that this node does not hold."""
    ours = {transport.get(name) for name in ("key", "key_next", "key_previous")}
    is_up = any(link["up"] for link in peer["links"])
    return bool(is_up and peer["key"] and peer["key"] not in ours)
