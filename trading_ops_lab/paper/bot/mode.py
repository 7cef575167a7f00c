"""Paper or live: whether orders are sent at all.

*Live* means that orders go to the configured venue, whatever that is; beside our paper venue its
money is play money all the same. *Paper* means that nothing is sent: orders are planned and checked
as ever, and then denied with the code `paper_mode`, so that it shows what would have been sent.
They are not filled in simulation: a position that is not at the venue would be a difference at each
comparison.

Everybody may switch to paper. Only a person switches back, by name and with a confirmation, and
only where the configuration allows live.

The word for paper is kept twice: in the records, where the other instances of the bot find it, and
as a file in the state folder, which needs no records and is on the disk before anything is waited
for. Whichever of both says paper is believed.
"""

import asyncio
from enum import StrEnum
from pathlib import Path

import msgspec

from trading_ops import clock, durable, logs
from trading_ops.agent import CommandFailed
from trading_ops.agent.durable import write_json
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.records.events import Event, EventKind
from trading_ops.botkit.records.store import Store
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

FACT = "mode"
"""The name of what is kept in the records."""

FILE = "paper.json"
"""In the state folder, as long as the last word on this instance is paper."""

STORE_SECONDS = 3.0
"""For the records to take the word: orders are still to be cancelled within the same deadline."""

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


class Marker:
    """The word for paper as a file; that it is there is enough, whatever can be read in it."""

    def __init__(self, path: Path) -> None:
        """Take where it is laid; its folder exists."""
        self.path = path

    def lay(self, said: Said) -> None:
        """Keep the word; when this returns, it is on the disk.

        Raises:
            OSError: it could not be stored.
        """
        write_json(self.path, msgspec.to_builtins(said))

    def read(self) -> Said | None:
        """Return the word, or None when there is none; one that cannot be read is one."""
        try:
            said = msgspec.json.decode(self.path.read_bytes(), type=Said)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            log.error("mode_unreadable", file=str(self.path), error=str(error))  # noqa: TRY400
            return Said(mode=Mode.PAPER, owner="", reason=str(error), at=0.0)
        return msgspec.structs.replace(said, mode=Mode.PAPER)

    def remove(self) -> None:
        """Forget the word; when this returns, a restart does not find it.

        Raises:
            OSError: it may still be there.
        """
        self.path.unlink(missing_ok=True)
        durable.sync(self.path.parent)


class ModeSwitch:
    """The mode in force: the more cautious of the configured one and the last word on it."""

    def __init__(
        self,
        bot: str,
        configured: Mode,
        metrics: BotMetrics,
        store: Store,
        book: Book,
        *,
        state_dir: Path,
    ) -> None:
        """Begin in paper until it is known; see `restore`."""
        self._bot = bot
        self._configured = configured
        self._metrics = metrics
        self._store = store
        self._book = book
        self._marker = Marker(state_dir / FILE)
        self._said: Said | None = None
        self._papers = 0
        self.mode = Mode.PAPER

    @property
    def paper(self) -> bool:
        """Say whether nothing may be sent."""
        return self.mode is Mode.PAPER

    async def restore(self) -> None:
        """Take up what was said before; a word that cannot be read means paper.

        Also after a takeover, so that what was said to this process meanwhile counts as well.
        """
        try:
            stored = await self._store.fact(FACT, Said)
        except StoreError as error:
            log.error("mode_unreadable", error=str(error))  # noqa: TRY400 - it is said
            stored = Said(mode=Mode.PAPER, owner="", reason=str(error), at=0.0)
        # Looked at after the wait: paper may have been said during it.
        here = self._said or self._marker.read()
        there = stored is not None and stored.mode is Mode.PAPER
        paper = self._configured is Mode.PAPER or here is not None or there
        self._enter(Mode.PAPER if paper else Mode.LIVE)
        if here is not None and not there:
            await self._put_down(here)

    def enter_paper(self, owner: str, reason: str) -> str | None:
        """Send nothing from now on, over a restart too; waits for nothing but the disk.

        Returns:
            Why a restart could forget it, or None.
        """
        self._papers += 1
        self._said = Said(mode=Mode.PAPER, owner=owner, reason=reason, at=clock.timestamp())
        self._enter(Mode.PAPER)
        try:
            self._marker.lay(self._said)
        except OSError as error:
            log.error("mode_not_stored", error=str(error))  # noqa: TRY400 - it is said
            return f"{self._marker.path} could not be written: {error}"
        return None

    async def go_paper(self, owner: str, reason: str) -> None:
        """Send nothing from now on; in force, and on the disk, before anything is waited for.

        Raises:
            CommandFailed: it is in force, and the message says what does not keep it.
        """
        no_file = self.enter_paper(owner, reason)
        no_records = await self._try_to_keep(owner, reason)
        if no_file and no_records:
            raise CommandFailed(
                f"paper is in force, but a restart would forget it: {no_file}; {no_records}"
            )
        if no_file:
            raise CommandFailed(f"paper is in force, but only the records keep it: {no_file}")
        if no_records:
            raise CommandFailed(
                "paper is in force on this instance, over a restart too, but it is not in the"
                f" records, so that no other instance knows: {no_records}"
            )

    async def go_live(self, owner: str, reason: str, confirm: str) -> None:
        """Send orders from now on; stored before it is in force.

        Raises:
            CommandFailed: nobody may say so here, paper was said meanwhile, or it could not be
                stored; the mode stays.
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
            await self._take_up_live(owner, reason)
        except (StoreError, Unavailable, OSError, CommandFailed) as error:
            if self.paper:
                said = Said(mode=Mode.PAPER, owner=owner, reason=str(error), at=clock.timestamp())
                await self._put_down(self._said or self._marker.read() or said)
            raise CommandFailed(f"{self.mode.value} stays: {error}") from error

    async def _take_up_live(self, owner: str, reason: str) -> None:
        papers = self._papers
        await self._keep(Mode.LIVE, owner, reason)
        # From here on nothing is waited for: paper may be said again only when live is in force.
        if self._papers != papers:
            raise CommandFailed("paper was said meanwhile; look again, and say live once more")
        self._marker.remove()
        self._said = None
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
        await self._book.record_events(Event(at=now, kind=EventKind.RISK, code="mode", detail=told))

    async def _try_to_keep(self, owner: str, reason: str) -> str | None:
        """Keep the word for paper in the records; return why they did not take it."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self._keep(Mode.PAPER, owner, reason)
        except TimeoutError:
            return f"the records did not take it within {STORE_SECONDS:g} s"
        except (StoreError, Unavailable) as error:
            return str(error)
        return None

    async def _put_down(self, said: Said) -> None:
        """Have the records say what is in force here, for the other instances; or log it."""
        try:
            await self._store.set_fact(FACT, said)
        except (StoreError, Unavailable) as error:
            log.error("mode_not_stored", error=str(error))  # noqa: TRY400 - it is said
