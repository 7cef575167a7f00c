"""The local stack's supervisor, as the service manager of its processes."""

from datetime import timedelta

import msgspec

from trading_ops.clients.executor import CommandResult, Executor, decode_result
from trading_ops.clients.http import Http
from trading_ops.errors import Refused, Unreachable


class Process(msgspec.Struct):
    """One process as its supervisor sees it."""

    unit: str
    state: str
    incarnation: str | None = None
    """`<pid>:<start time>`; None while it does not run."""

    pid: int | None = None


class _Processes(msgspec.Struct):
    processes: list[Process]


class SupervisedUnit(Executor):
    """One unit of the supervisor."""

    def __init__(self, http: Http, unit: str) -> None:
        super().__init__(http, fence_path=f"/processes/{unit}/fence")
        self._unit = unit

    async def process(self) -> Process:
        """Return the unit's process as it is now.

        Raises:
            Unreachable: the supervisor did not answer.
            Refused: it has no such unit.
        """
        body = await self._http.get("/processes")
        try:
            processes = msgspec.json.decode(body, type=_Processes).processes
        except msgspec.DecodeError as error:
            raise Unreachable(f"the supervisor's answer cannot be read: {error}") from error
        for process in processes:
            if process.unit == self._unit:
                return process
        raise Refused(f"the supervisor has no unit {self._unit}")

    async def restart(
        self, *, incarnation: str | None, attempt_id: str, fence: int, within: timedelta
    ) -> CommandResult:
        """Restart exactly the process that is meant; another incarnation is left alone.

        Raises:
            Unreachable: no answer: whether it was done is unknown.
            Refused: it was not done, and will not be.
        """
        answer = await self._http.ask(
            "POST",
            f"/processes/{self._unit}/restart",
            json={"attempt_id": attempt_id, "fence": fence, "incarnation": incarnation},
            within=within,
        )
        if answer.status >= 500:  # noqa: PLR2004
            raise Unreachable(f"restart of {self._unit}: HTTP {answer.status}")
        if answer.status != 200:  # noqa: PLR2004
            text = answer.body[:200].decode(errors="replace")
            raise Refused(f"restart of {self._unit}: HTTP {answer.status}: {text}")
        return decode_result(answer.body)
