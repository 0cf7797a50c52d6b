"""Configuration texts for the tests of this directory, and a host to read them on."""

from unisono.config import ConfigErrors, Loaded, load
from unisono.config.hosts import StaticHost, StaticResolver

HOST = StaticHost(names=("host.example.org",), addresses=("127.0.0.1/8", "192.0.2.1/24", "::1/128"))
NAMES = StaticResolver(
    hosts={
        "two": ("192.0.2.2",),
        "both": ("192.0.2.3", "2001:db8::3"),
        "six": ("2001:db8::6",),
        "own-alias": ("192.0.2.1",),
    },
    users={"alice": 1000},
    groups={"haclient": 189},
)


def node(address: str, node_id: int | None = None, more: str = "") -> str:
    """One node section."""
    lines = [f"ring0_addr: {address}"] if address else []
    lines += [f"nodeid: {node_id}"] if node_id is not None else []
    return "node {\n" + "\n".join([*lines, *more.splitlines()]) + "\n}\n"


def conf(totem: str = "", nodes: str = "", more: str = "", transport: str = "udpu") -> str:
    """A whole file; by default it loads on HOST as node 1 of 1."""
    nodes = nodes or node("192.0.2.1", 1)
    head = f"totem {{\nversion: 2\ntransport: {transport}\n{totem}\n}}\n"
    return f"{head}nodelist {{\n{nodes}}}\n{more}\n"


def errors_of(text: str | bytes, host: StaticHost = HOST) -> list[str]:
    """Why `text` is refused; empty when it is not."""
    try:
        read(text, host)
    except ConfigErrors as refusal:
        return refusal.errors
    return []


def read(
    text: str | bytes, host: StaticHost = HOST, extra: list[tuple[str, str]] | None = None
) -> Loaded:
    """Load `text` as the file `f`."""
    return load(text, "f", extra or [], NAMES, host)
