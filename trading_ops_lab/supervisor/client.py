"""The command line's client of the supervisor. Standard library only: it must start fast."""

import http.client
import json
from typing import Any

from trading_ops.cli import local_stack
from trading_ops.cli.local_stack import address_file, holder
from trading_ops.config.settings import Settings
from trading_ops.config.targets import split_address
from trading_ops.errors import ConfigError, NotRunning, StackError
from trading_ops.listener import refusal, trusted_users

ANSWER_SECONDS = 5.0
STOP_ANSWER_SECONDS = 30.0
"""Timeout of a stop, which is answered once the unit is down."""


def not_running(settings: Settings) -> NotRunning:
    """Return the error that names the processes left by a dead supervisor, if any."""
    from trading_ops_lab.supervisor.orphans import leftovers  # noqa: PLC0415 - only when it is dead

    if left := sorted({leftover.mark.unit for leftover in leftovers(settings.var)}):
        return NotRunning(
            f"the supervisor of this folder ({settings.var}) is dead, but its processes keep "
            f"running ({', '.join(left)}): adopt them with `trading-ops up`, or end them with "
            "`trading-ops down`"
        )
    return local_stack.not_running(settings)


class SupervisorClient:
    """Client of the supervisor of the stack in a var folder."""

    def __init__(self, settings: Settings) -> None:
        """Set the folder; the supervisor's address is in a file there."""
        self._settings = settings

    def overview(self) -> dict[str, Any]:
        """Return the stack's phase and its processes.

        Raises:
            NotRunning: no stack runs there.
            StackError: it does not answer.
        """
        return self._ask("GET", "/processes")

    def shut_down(self) -> None:
        """Ask the stack to drain and stop; returns at once.

        Raises:
            NotRunning: no stack runs there.
            StackError: it does not answer.
        """
        self._ask("POST", "/shutdown")

    def stop(self, unit: str) -> dict[str, Any]:
        """Stop one process and return its state; only `start` starts it again."""
        return self._ask("POST", f"/processes/{unit}/stop", STOP_ANSWER_SECONDS)

    def start(self, unit: str) -> dict[str, Any]:
        """Start one process and return its state."""
        return self._ask("POST", f"/processes/{unit}/start")

    def restart(self, unit: str, *, incarnation: str | None, attempt_id: str) -> dict[str, Any]:
        """Restart one incarnation of a process gracefully; return the outcome."""
        order = {"attempt_id": attempt_id, "fence": None, "incarnation": incarnation}
        return self._ask("POST", f"/processes/{unit}/restart", STOP_ANSWER_SECONDS, order)

    def update(
        self, unit: str, *, python: str, incarnation: str, attempt_id: str, within_seconds: float
    ) -> dict[str, Any]:
        """Start an update of a process; `attempt` returns the outcome."""
        order = {
            "attempt_id": attempt_id,
            "incarnation": incarnation,
            "python": python,
            "within_seconds": within_seconds,
        }
        return self._ask("POST", f"/processes/{unit}/update", order=order)

    def attempt(self, attempt_id: str) -> dict[str, Any]:
        """Return the outcome of an attempt; `running` until it has ended."""
        return self._ask("GET", f"/attempts/{attempt_id}")

    def _ask(
        self, method: str, path: str, seconds: float = ANSWER_SECONDS, order: object = None
    ) -> dict[str, Any]:
        pid = holder(self._settings.var)
        if pid is None:
            raise not_running(self._settings)
        address = "its address"
        try:
            address = address_file(self._settings.var).read_text(encoding="ascii").strip()
            headers = {"Authorization": f"Bearer {self._settings.secret('supervisor_token')}"}
            host, port = split_address(address)
            connection = http.client.HTTPConnection(host, port, timeout=seconds)
            try:
                connection.connect()
                trusted = trusted_users(self._settings.listener_users)
                peer_host, peer_port = connection.sock.getpeername()[:2]
                if why := refusal(peer_host, peer_port, trusted):
                    raise ConnectionRefusedError(why)
                body = None if order is None else json.dumps(order)
                connection.request(method, path, body=body, headers=headers)
                answer = connection.getresponse()
                reply = json.loads(answer.read())
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException, ConfigError) as error:
            raise StackError(
                f"the stack (process {pid}) does not answer at {address} ({error}): wait "
                f"while it starts, or end it with `kill {pid}`"
            ) from error
        if answer.status >= 300 or not isinstance(reply, dict):  # noqa: PLR2004 - HTTP's success
            raise StackError(f"the supervisor answered {answer.status} to {method} {path}: {reply}")
        return reply
