"""Whose process holds the port of a silent bot."""

import os
import socket

import pytest

from trading_ops.domain.agent_liveness import PortOwner
from trading_ops.holds.agent_probe import holder, user_of
from trading_ops.listener import owners


@pytest.mark.parametrize(
    ("found", "own", "is_it"),
    [
        ({1000}, 1000, PortOwner.OWN),
        ({1000, 65534}, 1000, PortOwner.OWN),
        ({65534}, 1000, PortOwner.FOREIGN),
        (set(), 1000, PortOwner.UNKNOWN),
        ({65534}, None, PortOwner.UNKNOWN),
        (None, 1000, PortOwner.UNKNOWN),
    ],
)
def test_holder(found: set[int] | None, own: int | None, is_it: PortOwner) -> None:
    """Only a listener that is certainly another user's is foreign."""
    assert holder(None if found is None else frozenset(found), own) is is_it


def test_a_real_listener_is_the_users_own() -> None:
    """And a process that is gone has no user."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert holder(owners("127.0.0.1", port), user_of(os.getpid())) is PortOwner.OWN
    assert user_of(2**22 + 1) is None
