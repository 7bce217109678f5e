"""Ports for servers that tests start: several runs may do so at once, and connections come and go meanwhile."""

import random
import socket

# Below those that kernels give to whoever connects or asks for any (Linux from 32768, macOS from 49152), and above
# those that an installation takes by itself: between a look and its server's start nobody gets it by chance.
FIRST, LAST = 10_000, 32_000
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody uses now, given once."""
    while True:
        port = random.randint(FIRST, LAST)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
