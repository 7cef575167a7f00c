"""Client of the agent inside a bot: health, commands, and the outcomes of attempts.

`HttpExecutor` is what it has in common with the client of a node: fences, and stored answers.
"""

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Literal, TypeVar

import msgspec

from trading_ops.clients.http import Http, HttpResponse
from trading_ops.errors import FencedOff, NotOffered, Refused, Unreachable


class CommandResult(msgspec.Struct):
    """The answer to one command."""

    outcome: str
    """`succeeded`, `failed`, `running` or `unknown`.

    `unknown`: the executor process that started it has died since.
    """

    detail: str = ""
    before: str | None = None
    """For a restart: the incarnation that ran when it started."""

    log: list[str] = []
    """For a restart of a dead process: the last lines that it had logged."""

    @property
    def succeeded(self) -> bool:
        """Whether the command succeeded."""
        return self.outcome == "succeeded"


R = TypeVar("R", bound=CommandResult)


class HttpExecutor:
    """Requests that agents and node processes have in common."""

    def __init__(self, http: Http, *, fence_path: str) -> None:
        self._http = http
        self._fence_path = fence_path

    async def attempt(self, attempt_id: str) -> CommandResult | None:
        """Return the stored answer of an attempt, or None if it never arrived.

        Raises:
            Unreachable: no answer, so the outcome is unknown.
        """
        answer = await self._http.ask("GET", f"/attempts/{attempt_id}")
        if answer.status == 404:  # noqa: PLR2004
            return None
        if answer.status != 200:  # noqa: PLR2004
            raise Unreachable(f"attempt {attempt_id}: HTTP {answer.status}")
        return decode_result(answer.body)

    async def raise_fence(self, fence: int) -> None:
        """Make the executor reject every lower fence from now on, durably.

        Raises:
            Unreachable: no answer; an older command may still arrive.
            Refused: it rejected the request.
        """
        answer = await self._http.ask("POST", self._fence_path, json={"fence": fence})
        if answer.status >= 500:  # noqa: PLR2004
            raise Unreachable(f"raising the fence: HTTP {answer.status}")
        if answer.status != 200:  # noqa: PLR2004
            raise Refused(f"raising the fence: HTTP {answer.status}")


class _Stale(msgspec.Struct):
    error: Literal["stale_fence"]
    highest: int


def refusal(request: str, answer: HttpResponse) -> Refused:
    """Return the error of a clear rejection."""
    text = answer.body[:200].decode(errors="replace")
    message = f"{request}: HTTP {answer.status}: {text}"
    if answer.status == HTTPStatus.NOT_FOUND and b'"unknown_command"' in answer.body:
        return NotOffered(message)
    try:
        stale = msgspec.json.decode(answer.body, type=_Stale)
    except msgspec.DecodeError:
        return Refused(message)
    return FencedOff(message, stale.highest)


def decode_result(body: bytes) -> CommandResult:
    """Read an executor's answer.

    Raises:
        Unreachable: it cannot be read, so the outcome is unknown.
    """
    return decode_as(body, CommandResult)


def decode_as(body: bytes, kind: type[R]) -> R:
    """Decode an executor's answer that has further fields.

    Raises:
        Unreachable: it cannot be read, so the outcome is unknown.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Unreachable(f"invalid response from the executor: {error}") from error


class ReportedComponent(msgspec.Struct):
    """One supervised part of a bot."""

    up: bool
    detail: str = ""


class ReportedHold(msgspec.Struct):
    """One active hold at the agent."""

    id: str
    state: str
    """`halted` or `reducing`."""

    owner: str
    reason: str
    at: float
    """When it was placed there, seconds since the epoch."""


class ReportedRelease(msgspec.Struct):
    """One hold that was released at the agent."""

    id: str
    at: float
    """When the hold was placed there, seconds since the epoch."""

    released_at: float
    released_by: str
    released_for: str


class EventsHead(msgspec.Struct):
    """How far the bot's event journal goes."""

    journal: str
    """Changes with the file; empty: the file could not be opened yet."""

    head: int | None
    """Number of the newest event; None: unknown, so the bot must be queried."""

    lost: int = 0
    """Events of this process that could not be written to disk."""


class ReportedEvent(msgspec.Struct):
    """One event of a bot. Its texts and numbers come from the bot and are not verified."""

    number: int
    id: str
    kind: str
    severity: str
    at: float
    """Seconds since the epoch."""

    summary: str
    strategy: str = ""
    symbol: str = ""
    order: str = ""
    correlation: str = ""
    data: dict[str, Any] = {}


class EventsPage(msgspec.Struct):
    """Events after a number, oldest first."""

    journal: str
    events: list[ReportedEvent]


class BotHealth(msgspec.Struct):
    """The health of a bot as its agent reports it."""

    bot: str
    status: str
    """`ok`, `degraded` or `failing`."""

    incarnation: str
    state: str
    components: dict[str, ReportedComponent]
    heartbeat_at: float | None = None
    """Time of the last complete pass, seconds since the epoch; None: none yet."""

    recovered: bool | None = None
    """Whether it has reconciled with the venue; None: not reported."""

    holds: list[ReportedHold] | None = None
    """The active holds; None: not reported."""

    awaiting_holds: bool = False
    """Whether it sends no order until its holds are confirmed."""

    released: list[ReportedRelease] = []
    """The latest releases, oldest first."""

    events: EventsHead | None = None
    """None: the agent keeps no events, as in older versions."""


class CommandAnswer(CommandResult):
    """The answer to one command of a bot."""

    released: list[ReportedHold] | None = None
    """Holds released by `resume`; None: not reported."""


HEALTH_PATH = "/health"
_HEALTH = msgspec.json.Decoder(BotHealth)


def read_health(body: bytes) -> BotHealth:
    """Return the health in an agent's answer.

    Raises:
        Unreachable: it is not an agent's answer.
    """
    try:
        return _HEALTH.decode(body)
    except msgspec.DecodeError as error:
        raise Unreachable(f"invalid health response from the agent: {error}") from error


class AgentClient(HttpExecutor):
    """One bot's agent."""

    def __init__(self, http: Http) -> None:
        super().__init__(http, fence_path="/fence")

    async def health(self) -> BotHealth:
        """Query the bot's health directly.

        Raises:
            Unreachable: no answer, or not an agent's answer.
        """
        return read_health(await self._http.get(HEALTH_PATH))

    async def events(self, after: int) -> EventsPage:
        """Return a page of the bot's events after a number, oldest first.

        Raises:
            Unreachable: no answer, or not an agent's answer.
        """
        body = await self._http.get("/events", params={"after": str(after)})
        try:
            return msgspec.json.decode(body, type=EventsPage)
        except msgspec.DecodeError as error:
            raise Unreachable(f"invalid events from the agent: {error}") from error

    async def command(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        attempt_id: str,
        fence: int,
        within: timedelta,
    ) -> CommandAnswer:
        """Send the bot a command; a repeated `attempt_id` returns the first answer again.

        Raises:
            Unreachable: no answer: whether it was done is unknown.
            Refused: it was not done, and will not be.
        """
        answer = await self._http.ask(
            "POST",
            f"/commands/{name}",
            json={"attempt_id": attempt_id, "fence": fence, "params": dict(params)},
            within=within,
        )
        if answer.status >= 500:  # noqa: PLR2004 - the class of server errors
            raise Unreachable(f"command {name}: HTTP {answer.status}")
        if answer.status != 200:  # noqa: PLR2004
            raise refusal(f"command {name}", answer)
        return decode_as(answer.body, CommandAnswer)
