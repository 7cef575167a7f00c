"""Client of a host's node process, which controls its services, or of the local supervisor."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trading_ops.clients.agent import CommandResult, HttpExecutor, decode_result, refusal
from trading_ops.clients.http import Http
from trading_ops.errors import Unreachable

UNKNOWN = "unknown"
"""The state of a unit whose service manager does not answer."""


class Process(msgspec.Struct):
    """One process as reported by its service manager."""

    unit: str
    state: str
    incarnation: str | None = None
    """Identifies one run of the process; the last run if it is stopped, None before the first."""

    reported: str | msgspec.UnsetType | None = msgspec.UNSET
    """Incarnation that its agent reports; unset: the same, None: unknown."""

    pid: int | None = None
    """None while it does not run."""

    problem: str | None = None
    """Why the service manager did not answer or could not start it."""

    @property
    def agents(self) -> str | None:
        """The incarnation that its agent reports; None: unknown."""
        return self.incarnation if self.reported is msgspec.UNSET else self.reported


class HostBackups(msgspec.Struct, kw_only=True):
    """Backups that a node takes on a host without a reconciler."""

    interval_seconds: float = 0.0
    """Between two backups; 0: none are taken."""

    bots: list[str] = []
    """Bots whose records are in them."""

    newest: datetime | None = None
    """When the newest was taken; None: there is none."""

    restore_tested: datetime | None = None
    """When one last passed a restore test; None: never."""


async def host_backups(http: Http) -> HostBackups:
    """Return the backups of a node's host.

    Raises:
        Unreachable: it did not answer, or not as a node does.
        Refused: the token is wrong, or an older release takes no backups.
    """
    try:
        return msgspec.json.decode(await http.get("/backups"), type=HostBackups)
    except msgspec.DecodeError as error:
        raise Unreachable(f"invalid response from the node: {error}") from error


class ServiceUnit(HttpExecutor):
    """One unit of an executor."""

    def __init__(self, http: Http, unit: str) -> None:
        super().__init__(http, fence_path=f"/processes/{unit}/fence")
        self._unit = unit

    async def process(self) -> Process:
        """Return the unit's process as it is now.

        Raises:
            Unreachable: the executor or its service manager did not answer.
            Refused: no such unit.
        """
        body = await self._http.get(f"/processes/{self._unit}")
        try:
            process = msgspec.json.decode(body, type=Process)
        except msgspec.DecodeError as error:
            raise Unreachable(f"invalid response from the executor: {error}") from error
        if process.state == UNKNOWN:
            raise Unreachable(f"the service manager of {self._unit}: {process.problem}")
        return process

    async def restart(
        self, *, incarnation: str | None, attempt_id: str, fence: int | None, within: timedelta
    ) -> CommandResult:
        """Restart the process only if it is still the expected incarnation.

        Without a fence it is an operator's request, which replaces no sender.

        Raises:
            Unreachable: no answer: whether it was done is unknown.
            Refused: it was not done, and will not be.
        """
        body = {"attempt_id": attempt_id, "fence": fence, "incarnation": incarnation}
        return await self._request("restart", body, within)

    async def stop(
        self,
        *,
        incarnation: str,
        attempt_id: str,
        fence: int,
        grace: timedelta,
        within: timedelta,
    ) -> CommandResult:
        """Stop the process only if it is still the expected incarnation; SIGKILL after a grace.

        It is in the safe direction, so an old fence is not refused.

        Raises:
            Unreachable: no answer: whether it was done is unknown.
            Refused: not done; another process runs there.
        """
        body = {
            "attempt_id": attempt_id,
            "fence": fence,
            "incarnation": incarnation,
            "grace_seconds": grace.total_seconds(),
        }
        return await self._request("stop", body, within)

    async def scale(
        self,
        *,
        resource: str,
        value: int,
        seconds: int,
        attempt_id: str,
        fence: int,
        within: timedelta,
        undoes: str | None = None,
    ) -> CommandResult:
        """Change a resource limit of the unit for a time; the node restores it.

        With 0 seconds, `undoes` limits the end to the change of that attempt.

        Raises:
            Unreachable: no answer: whether it was done is unknown.
            Refused: it was not done, and will not be.
        """
        body = {
            "attempt_id": attempt_id,
            "fence": fence,
            "resource": resource,
            "value": value,
            "seconds": seconds,
            **({"undoes": undoes} if undoes else {}),
        }
        return await self._request("scale", body, within)

    async def _request(
        self, command: str, body: Mapping[str, Any], within: timedelta
    ) -> CommandResult:
        answer = await self._http.ask(
            "POST", f"/processes/{self._unit}/{command}", json=dict(body), within=within
        )
        if answer.status >= 500:  # noqa: PLR2004
            raise Unreachable(f"{command} of {self._unit}: HTTP {answer.status}")
        if answer.status != 200:  # noqa: PLR2004
            raise refusal(f"{command} of {self._unit}", answer)
        result = decode_result(answer.body)
        if result.outcome == "unknown":
            raise Unreachable(f"{command} of {self._unit}: {result.detail}")
        return result
