"""Ports for tests: below the range from which the kernel takes ports for outgoing connections.

A port that was merely free a moment ago may meanwhile be the near end of a connection. These
are only taken by tests, and processes that test side by side begin at different places.
"""

import itertools
import os
import socket

FIRST, LAST = 11_000, 31_000
_numbers = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens, another at each call."""
    for number in itertools.islice(_numbers, LAST - FIRST):
        port = FIRST + number % (LAST - FIRST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")
