"""Client of the agent inside a bot: health, commands, and the outcomes of attempts."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from trading_ops.clients.executor import CommandResult, Executor, decode_as, refusal
from trading_ops.clients.http import Http
from trading_ops.errors import Unreachable


class ComponentHealth(msgspec.Struct):
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
    """Number of the newest event; None: unknown, so the bot must be asked."""

    lost: int = 0
    """Events of this process that could not be written to disk."""


class BotEvent(msgspec.Struct):
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
    events: list[BotEvent]


class BotHealth(msgspec.Struct):
    """The health of a bot as its agent reports it."""

    bot: str
    status: str
    """`ok`, `degraded` or `failing`."""

    incarnation: str
    state: str
    components: dict[str, ComponentHealth]
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


class Agent(Executor):
    """One bot's agent."""

    def __init__(self, http: Http) -> None:
        super().__init__(http, fence_path="/fence")

    async def health(self) -> BotHealth:
        """Return the bot's health, asked directly.

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
