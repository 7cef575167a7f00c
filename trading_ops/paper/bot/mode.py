"""Paper or live: whether orders are sent at all.

*Live* means that orders go to the configured venue, whatever that is; beside our paper venue its
money is play money all the same. *Paper* means that nothing is sent: orders are planned and checked
as ever, and then denied with the code `paper_mode`, so that it shows what would have been sent.
They are not filled in simulation: a position that is not at the venue would be a difference at each
comparison.

Everybody may switch to paper. Only a person switches back, by name and with a confirmation, and
only where the configuration allows live.
"""

from enum import StrEnum

import msgspec

from trading_ops import clock, logs
from trading_ops.agent import CommandFailed
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.component import Unavailable
from trading_ops.paper.bot.records.events import Event, EventKind
from trading_ops.paper.bot.records.store import Store
from trading_ops.paper.bot.trading.book import Book

log = logs.get(__name__)

FACT = "mode"
"""The name of what is kept in the records."""

MACHINES = frozenset(
    {"reconciler", "agent", "bot", "risk", "recovery", "leadership", "supervisor", "automation"}
)
"""Owners that are no persons."""


class Mode(StrEnum):
    """Whether orders are sent."""

    PAPER = "paper"
    LIVE = "live"


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """The last word on the mode, and whose it was."""

    mode: Mode
    owner: str
    reason: str
    at: float


class ModeSwitch:
    """The mode in force: the more cautious of the configured one and the last word on it."""

    def __init__(
        self, bot: str, configured: Mode, metrics: BotMetrics, store: Store, book: Book
    ) -> None:
        """Begin in paper until it is known; see `restore`."""
        self._bot = bot
        self._configured = configured
        self._metrics = metrics
        self._store = store
        self._book = book
        self.mode = Mode.PAPER

    @property
    def paper(self) -> bool:
        """Say whether nothing may be sent."""
        return self.mode is Mode.PAPER

    async def restore(self) -> None:
        """Take up what was said to an earlier process; a word that cannot be read means paper."""
        try:
            said = await self._store.fact(FACT, Said)
        except StoreError as error:
            log.error("mode_unreadable", error=str(error))  # noqa: TRY400 - it is said
            said = Said(mode=Mode.PAPER, owner="", reason=str(error), at=0.0)
        paper = self._configured is Mode.PAPER or (said is not None and said.mode is Mode.PAPER)
        self._enter(Mode.PAPER if paper else Mode.LIVE)

    def enter_paper(self) -> None:
        """Send nothing from now on, as long as this process lives."""
        self._enter(Mode.PAPER)

    async def go_paper(self, owner: str, reason: str) -> None:
        """Send nothing from now on; in force before it is stored.

        Raises:
            CommandFailed: it is in force, and a restart would forget it.
        """
        self.enter_paper()
        try:
            await self._keep(Mode.PAPER, owner, reason)
        except (StoreError, Unavailable) as error:
            raise CommandFailed(
                f"paper is in force, but a restart would forget it: {error}"
            ) from error

    async def go_live(self, owner: str, reason: str, confirm: str) -> None:
        """Send orders from now on; stored before it is in force.

        Raises:
            CommandFailed: nobody may say so here, or it could not be stored; paper stays.
        """
        if owner.strip().casefold() in MACHINES or not owner.strip():
            raise CommandFailed(f"{owner!r} is no person: only a person switches to live")
        if confirm != self._bot:
            raise CommandFailed(
                f"not confirmed: params.confirm must be the bot's name, {self._bot}"
            )
        if self._configured is Mode.PAPER:
            raise CommandFailed("the configuration says paper: change `mode` there, and restart")
        try:
            await self._keep(Mode.LIVE, owner, reason)
        except (StoreError, Unavailable) as error:
            raise CommandFailed(f"paper stays, for it could not be stored: {error}") from error
        self._enter(Mode.LIVE)

    def _enter(self, mode: Mode) -> None:
        if mode is not self.mode:
            log.warning("mode_changed", mode=mode.value)
        self.mode = mode
        self._metrics.mode(mode.value)

    async def _keep(self, mode: Mode, owner: str, reason: str) -> None:
        now = clock.timestamp()
        await self._store.set_fact(FACT, Said(mode=mode, owner=owner, reason=reason, at=now))
        told = {"mode": mode.value, "owner": owner, "reason": reason}
        await self._book.note(Event(at=now, kind=EventKind.RISK, code="mode", detail=told))
