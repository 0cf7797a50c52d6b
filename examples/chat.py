"""A chat: everybody sees the same lines in the same order, and who comes and goes.

python examples/chat.py NAME [INSTANCE]
"""

import sys
import threading

from unisono import Message, View, blocking


def listen(group: blocking.Group) -> None:
    """Print what happens until the group is left."""
    for event in group:
        match event:
            case Message(data=data):
                print(data.decode(errors="replace"), flush=True)
            case View(members, joined, left):
                for member in joined:
                    print(f"* {member} came", flush=True)
                for member, reason in left.items():
                    print(f"* {member} went ({reason.name.lower()})", flush=True)
                print(f"* {len(members)} here", flush=True)


def main(name: str, instance: str | None = None) -> None:
    with blocking.connect(instance) as node, node.group("chat") as group:
        listener = threading.Thread(target=listen, args=[group])
        listener.start()
        try:
            for line in sys.stdin:
                group.send(f"{name}: {line.rstrip()}".encode())
        finally:
            group.leave()  # ends the listener's loop
            listener.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
