"""Paper or live: whether orders are sent at all.

*Live*: orders go to the configured venue; at our paper venue that is still play money. *Paper*: no
order is sent. Orders are planned and checked as usual and then denied with the code `paper_mode`,
so that it is visible what would have been sent. Fills are not simulated: a position that is not at
the venue would show as drift.

Any owner may switch to paper. Only an operator may switch to live, by name and with a confirmation,
and only if the configuration allows it.

A switch to paper is stored twice: in the records, for the other instances of the bot, and as a file
in the state folder, which is on disk before anything is awaited and does not need the records. The
bot is in paper mode if either of them is set.
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
from trading_ops.botkit.records.events import Event, EventLogKind
from trading_ops.botkit.records.store import Store
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

FACT = "mode"
"""The name of the fact in the records."""

FILE = "paper.json"
"""In the state folder, while the last switch at this instance was to paper."""

STORE_SECONDS = 3.0
"""Time limit for the records: orders must still be cancelled within the command's deadline."""

MACHINES = frozenset(
    {"reconciler", "agent", "bot", "risk", "recovery", "leadership", "supervisor", "automation"}
)
"""Owners that are not operators."""


class Mode(StrEnum):
    """Whether orders are sent."""

    PAPER = "paper"
    LIVE = "live"


class ModeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The last switch of the mode."""

    mode: Mode
    owner: str
    reason: str
    at: float
    """Seconds since the epoch."""


class PaperFile:
    """The switch to paper as a file; its existence counts, even if it is unreadable."""

    def __init__(self, path: Path) -> None:
        """Use this path; its folder exists."""
        self.path = path

    def write(self, record: ModeRecord) -> None:
        """Store the switch; it is on disk when this returns.

        Raises:
            OSError: it could not be stored.
        """
        write_json(self.path, msgspec.to_builtins(record))

    def read(self) -> ModeRecord | None:
        """Return the switch, or None without a file; an unreadable file means paper."""
        try:
            record = msgspec.json.decode(self.path.read_bytes(), type=ModeRecord)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            log.error("mode_unreadable", file=str(self.path), error=str(error))  # noqa: TRY400
            return ModeRecord(mode=Mode.PAPER, owner="", reason=str(error), at=0.0)
        return msgspec.structs.replace(record, mode=Mode.PAPER)

    def remove(self) -> None:
        """Remove the file; it is gone from disk when this returns.

        Raises:
            OSError: it may still exist.
        """
        self.path.unlink(missing_ok=True)
        durable.sync(self.path.parent)


class ModeSwitch:
    """The mode in force: the more cautious of the configured mode and the last switch."""

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
        """Start in paper mode; see `restore`.

        Args:
            bot: its name, the confirmation of a switch to live.
            configured: the mode of the configuration.
            metrics: of the bot.
            store: the records.
            book: records the event of a switch.
            state_dir: folder of the paper file.
        """
        self._bot = bot
        self._configured = configured
        self._metrics = metrics
        self._store = store
        self._book = book
        self._file = PaperFile(state_dir / FILE)
        self._paper: ModeRecord | None = None
        self._paper_switches = 0
        self.mode = Mode.PAPER

    @property
    def paper(self) -> bool:
        """Return whether no order may be sent."""
        return self.mode is Mode.PAPER

    async def restore(self) -> None:
        """Restore the last switch, at the start and after a takeover; unreadable means paper."""
        try:
            stored = await self._store.fact(FACT, ModeRecord)
        except StoreError as error:
            log.error("mode_unreadable", error=str(error))  # noqa: TRY400 - the message is complete
            stored = ModeRecord(mode=Mode.PAPER, owner="", reason=str(error), at=0.0)
        # Read after the await: this instance may have been switched to paper meanwhile.
        here = self._paper or self._file.read()
        there = stored is not None and stored.mode is Mode.PAPER
        paper = self._configured is Mode.PAPER or here is not None or there
        self._enter(Mode.PAPER if paper else Mode.LIVE)
        if here is not None and not there:
            await self._try_to_store(here)

    def enter_paper(self, owner: str, reason: str) -> str | None:
        """Send no order from now on, across restarts; blocks for the disk only.

        Returns:
            Why a restart could forget it, or None.
        """
        self._paper_switches += 1
        self._paper = ModeRecord(mode=Mode.PAPER, owner=owner, reason=reason, at=clock.timestamp())
        self._enter(Mode.PAPER)
        try:
            self._file.write(self._paper)
        except OSError as error:
            log.error("mode_not_stored", error=str(error))  # noqa: TRY400 - the message is complete
            return f"{self._file.path} could not be written: {error}"
        return None

    async def go_paper(self, owner: str, reason: str) -> None:
        """Send no order from now on; in force and on disk before anything is awaited.

        Raises:
            CommandFailed: paper is in force, and the message says where it could not be stored.
        """
        no_file = self.enter_paper(owner, reason)
        no_records = await self._store_paper(owner, reason)
        if no_file and no_records:
            raise CommandFailed(
                f"paper is in force, but it would be lost on restart: {no_file}; {no_records}"
            )
        if no_file:
            raise CommandFailed(f"paper is in force, but only the records store it: {no_file}")
        if no_records:
            raise CommandFailed(
                "paper is in force on this instance, across restarts too, but it is not in the"
                f" records, so that other instances do not know it: {no_records}"
            )

    async def go_live(self, owner: str, reason: str, confirm: str) -> None:
        """Send orders from now on; stored before it is in force.

        Args:
            owner: an operator.
            reason: why.
            confirm: must be the bot's name.

        Raises:
            CommandFailed: it is not allowed, the bot was switched to paper meanwhile, or it could
                not be stored; the mode is unchanged.
        """
        if owner.strip().casefold() in MACHINES or not owner.strip():
            raise CommandFailed(
                f"{owner!r} is not an operator: only an operator may switch to live"
            )
        if confirm != self._bot:
            raise CommandFailed(
                f"not confirmed: params.confirm must be the bot's name, {self._bot}"
            )
        if self._configured is Mode.PAPER:
            raise CommandFailed(
                "the configured mode is paper: change `mode` in the configuration and restart"
            )
        try:
            await self._switch_to_live(owner, reason)
        except (StoreError, Unavailable, OSError, CommandFailed) as error:
            if self.paper:
                failed = ModeRecord(
                    mode=Mode.PAPER, owner=owner, reason=str(error), at=clock.timestamp()
                )
                await self._try_to_store(self._paper or self._file.read() or failed)
            raise CommandFailed(f"the mode stays {self.mode.value}: {error}") from error

    async def _switch_to_live(self, owner: str, reason: str) -> None:
        switches = self._paper_switches
        await self._store_mode(Mode.LIVE, owner, reason)
        # Nothing is awaited from here on: a later switch to paper comes after live is in force.
        if self._paper_switches != switches:
            raise CommandFailed("the bot was switched to paper meanwhile: check why, then repeat")
        self._file.remove()
        self._paper = None
        self._enter(Mode.LIVE)

    def _enter(self, mode: Mode) -> None:
        if mode is not self.mode:
            log.warning("mode_changed", mode=mode.value)
        self.mode = mode
        self._metrics.mode(mode.value)

    async def _store_mode(self, mode: Mode, owner: str, reason: str) -> None:
        now = clock.timestamp()
        await self._store.set_fact(FACT, ModeRecord(mode=mode, owner=owner, reason=reason, at=now))
        detail = {"mode": mode.value, "owner": owner, "reason": reason}
        event = Event(at=now, kind=EventLogKind.RISK, code="mode", detail=detail)
        await self._book.record_events(event)

    async def _store_paper(self, owner: str, reason: str) -> str | None:
        """Store the switch to paper in the records; return why that failed, or None."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self._store_mode(Mode.PAPER, owner, reason)
        except TimeoutError:
            return f"the records were not written within {STORE_SECONDS:g} s"
        except (StoreError, Unavailable) as error:
            return str(error)
        return None

    async def _try_to_store(self, record: ModeRecord) -> None:
        """Write the mode in force to the records, for the other instances; log a failure."""
        try:
            await self._store.set_fact(FACT, record)
        except (StoreError, Unavailable) as error:
            log.error("mode_not_stored", error=str(error))  # noqa: TRY400 - the message is complete
