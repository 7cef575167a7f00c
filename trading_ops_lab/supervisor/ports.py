"""Checks that every address of the registry is free before anything is started."""

import socket
from collections.abc import Collection

from trading_ops.config.targets import split_address
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import SetupError


def check_ports(registry: Registry, adopted: Collection[str] = ()) -> None:
    """Try every address on which the supervisor and its processes will listen.

    Args:
        registry: has the addresses.
        adopted: units that run already.

    Raises:
        SetupError: one is in use; names its holder if known, and the fix.
    """
    for target in registry:
        if target.service and target.service.unit in adopted:
            continue
        if target.service or target.kind is Kind.SUPERVISOR:  # the others already run
            check_port(target)


def check_port(target: Target) -> None:
    """Try the addresses of one target.

    Raises:
        SetupError: one is in use; names its holder if known, and the fix.
    """
    for key, address in (("address", target.address), ("faults", target.faults)):
        if address and not is_free(address):
            raise SetupError(
                f"{address} is taken by {describe_holder(address)}: stop it, or change "
                f"`{key}` of target {target.name} in targets.yml"
            )


def is_free(address: str) -> bool:
    """Return whether a server can listen there now; closing connections do not matter."""
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, port))
            server.listen(1)
        except OSError:
            return False
    return True


def describe_holder(address: str) -> str:
    """Name the process that listens there, if this user may see it."""
    import psutil  # noqa: PLC0415 - only when something is wrong

    _, port = split_address(address)
    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and getattr(connection.laddr, "port", None) == port and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return "another process"
