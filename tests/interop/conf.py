"""corosync.conf(5) texts for laboratory hosts: one text, read by both kinds of daemon."""

from collections.abc import Mapping, Sequence

from tests.interop.netns import Network

Section = Mapping[str, object]


def _block(name: str, keys: Section) -> str:
    lines = "".join(f"  {key}: {value}\n" for key, value in keys.items() if value is not None)
    return f"{name} {{\n{lines}}}\n"


def _node(n: int, family: int) -> str:
    address = Network.addresses(n)[0 if family == 4 else 1]
    return f"  node {{\n    name: host{n}\n    nodeid: {n}\n    ring0_addr: {address}\n  }}\n"


def corosync_conf(
    nodes: Sequence[int],
    transport: str,
    family: int,
    totem: Section | None = None,
    system: Section | None = None,
    logging: Section | None = None,
) -> str:
    """One link, no encryption, votequorum; `totem`, `system` and `logging` add to or replace the
    defaults; the value None leaves a key out.

    Over udp there is no interface section: the multicast address comes from the cluster name,
    and both kinds of daemon must derive the same one.
    """
    ring = {
        "version": 2,
        "cluster_name": "unison",
        "transport": transport,
        "ip_version": f"ipv{family}",
        "crypto_cipher": "none",
        "crypto_hash": "none",
        **(totem or {}),
    }
    log = {"to_stderr": "yes", "to_syslog": "no", "to_logfile": "no", "timestamp": "hires"}
    return (
        _block("totem", ring)
        + f"nodelist {{\n{''.join(_node(n, family) for n in nodes)}}}\n"
        + _block("logging", {**log, **(logging or {})})
        + _block("quorum", {"provider": "corosync_votequorum"})
        + _block("system", system or {})
    )
