import os
import socket
from collections.abc import Iterator

import pytest

from tests.unit.stack.registries import changed
from trading_ops.domain.target import Registry
from trading_ops.errors import SetupError
from trading_ops_lab.supervisor.ports import check_ports, describe_holder, is_free


@pytest.fixture
def taken() -> Iterator[str]:
    """An address on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_taken_address_names_holder_and_target(taken: str) -> None:
    """The error says who has it and which line to change."""
    with pytest.raises(SetupError) as raised:
        # The venue is the first in the file, so no other address is looked at.
        check_ports(changed(("127.0.0.1:8401", taken)))
    message = str(raised.value)
    assert f"{taken} is taken by process {os.getpid()}" in message
    assert "change `address` of target paper in targets.yml" in message


def test_a_bot_that_others_run_may_listen_already(taken: str) -> None:
    """Without `service` it is not ours to start; with it, its port must be free."""
    before = "  - name: exporter\n"
    entry = f"  - name: mybot\n    kind: bot\n    venue: paper\n    address: {taken}\n"
    service = "    service: {manager: supervisor, unit: mine}\n"

    def alone(text: str) -> Registry:
        return Registry(
            tuple(change for change in changed((before, text + before)) if change.name == "mybot")
        )

    check_ports(alone(entry))
    with pytest.raises(SetupError, match="of target mybot"):
        check_ports(alone(entry + service))


def test_a_prometheus_that_others_run_may_listen_already(taken: str) -> None:
    """Anyone who has one keeps it: its entry has no `service`."""
    own = "    address: 127.0.0.1:9090\n    service: {manager: supervisor, unit: prometheus}\n"

    def alone(entry: str) -> Registry:
        return Registry(
            tuple(change for change in changed((own, entry)) if change.name == "prometheus")
        )

    check_ports(alone(f"    address: {taken}\n"))
    with pytest.raises(SetupError, match="of target prometheus"):
        check_ports(alone(own.replace("127.0.0.1:9090", taken)))


def test_no_one_is_named_when_no_one_is_found() -> None:
    """A holder that the system hides is “another process”."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"127.0.0.1:{server.getsockname()[1]}"
    assert describe_holder(free) == "another process"


def test_a_closing_connection_does_not_take_the_address() -> None:
    """What waits in TIME_WAIT after a server's end hinders no new one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address) as client:
            accepted, _ = server.accept()
            accepted.close()  # this side closes first, so it is the one that lingers
            client.recv(1)
    assert is_free(f"127.0.0.1:{address[1]}")


def test_a_listener_takes_the_address(taken: str) -> None:
    """An address on which someone listens is not free."""
    assert not is_free(taken)
