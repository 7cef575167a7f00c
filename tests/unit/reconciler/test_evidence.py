"""Whose process holds the port of a silent bot."""

import os
import socket

import pytest

from trading_ops.domain.agent_liveness import PortOwner
from trading_ops.holds.agent_probe import holder, port_owner, user_of
from trading_ops.listener import owners


@pytest.mark.parametrize(
    ("found", "own", "is_it"),
    [
        ({1000}, 1000, PortOwner.OWN),
        ({1000, 65534}, 1000, PortOwner.OWN),
        ({65534}, 1000, PortOwner.FOREIGN),
        (set(), 1000, PortOwner.UNKNOWN),  # forwarded by packet rules, to a container
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


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_closed_port_of_this_host_is_known_from_its_kernel() -> None:
    """Only together with the refused connection: packet rules may forward to a container."""
    address = f"127.0.0.1:{closed_port()}"
    assert port_owner(address, None, refused=True) is PortOwner.NONE
    assert port_owner(address, os.getpid(), refused=True) is PortOwner.NONE
    assert port_owner(address, os.getpid(), refused=False) is PortOwner.UNKNOWN


def test_a_listener_outweighs_a_refused_connection() -> None:
    """A new process began to listen after the probe."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert port_owner(address, os.getpid(), refused=True) is PortOwner.OWN
        assert port_owner(address, None, refused=True) is PortOwner.UNKNOWN


@pytest.mark.parametrize("host", ["192.0.2.7", "bots.example", "[2001:db8::7]"])
def test_the_kernel_of_this_host_knows_nothing_of_another_hosts_port(host: str) -> None:
    """A listener here on the same port is another process; there, a firewall may have refused."""
    with socket.create_server(("", 0)) as server:
        address = f"{host}:{server.getsockname()[1]}"
        assert port_owner(address, 2**22 + 1, refused=False) is PortOwner.UNKNOWN
        assert port_owner(address, os.getpid(), refused=False) is PortOwner.UNKNOWN
        assert port_owner(address, os.getpid(), refused=True) is PortOwner.REFUSED
