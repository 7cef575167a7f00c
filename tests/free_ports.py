"""Ports for tests: below the range from which the kernel takes ports for outgoing connections.

A port that was merely free a moment ago may meanwhile be the near end of a connection. These
are only taken by tests, and processes that test side by side start at different places.
"""

import itertools
import os
import socket

FIRST, LAST = 11_000, 31_000
SHARES = 8
"""Into so many the range is divided: tests that run side by side never try the same port."""

_WORKER = int(os.getenv("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))  # noqa: TID251 - xdist's
_SHARE = (LAST - FIRST) // SHARES
_BEGIN = FIRST + _WORKER % SHARES * _SHARE
_numbers = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which no one listens, another at each call."""
    for number in itertools.islice(_numbers, _SHARE):
        port = _BEGIN + number % _SHARE
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")
