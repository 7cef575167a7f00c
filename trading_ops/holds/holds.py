"""Holds on bots: placed despite failures, and never lost until an operator releases them.

A halt is sent immediately, in parallel to storing it. If the database does not answer within a
second, a journal on disk stores the hold; if that fails too, the hold is still sent, with a
warning. A stored hold is placed again whenever the bot's agent does not report it, so a restart or
a lost file of the bot does not release a halt. Only an operator releases holds; that needs the
database.
"""

import asyncio
import contextlib
import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from trading_ops import clock, logs
from trading_ops.clients.agent import BotHealth
from trading_ops.clients.directory import Directory
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ClientError, StoreError
from trading_ops.holds.delivery import HoldSender
from trading_ops.holds.memory import HoldMemory
from trading_ops.holds.sync import HoldSync, agent_of, as_hold, clean, severity
from trading_ops.store import Connection, holds
from trading_ops.store.journal import Journal
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

AT_A_TIME = 100
"""Bots that get a request at the same time: a session has as many connections."""

ONLY_THERE = {
    Kind.BOT: "released at the bot; the database will learn of it when it answers",
    Kind.FREQTRADE: "released at the bot, but not stored: it is placed again. Release it again "
    "when the database answers",
}
"""Results of a release that the database did not store; a Freqtrade does not record releases."""


@dataclass(frozen=True, kw_only=True)
class AgentReport:
    """An agent's report, and when it was requested."""

    asked_at: float
    """Monotonic seconds."""

    health: BotHealth


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Result of placing a hold."""

    id: str
    stored: bool
    """Stored in the database or the journal: it survives a restart of ours."""

    acknowledged: bool
    """The bot acknowledged that it is in force."""

    detail: str


@dataclass(frozen=True, kw_only=True)
class Released:
    """Result of releasing holds."""

    ids: frozenset[str]
    detail: str


class HoldManager:
    """Places, releases and enforces holds."""

    def __init__(
        self,
        *,
        writer: Writer,
        reader: Reader,
        directory: Directory,
        registry: Registry,
        journal: Journal,
        release_at_bot: bool = False,
        on_reapplied: Callable[[str], None] = lambda _target: None,
    ) -> None:
        """Load the journal.

        Args:
            writer: of the database.
            reader: of the database.
            directory: of the bots' agents.
            registry: of the targets.
            journal: stores holds while the database does not answer.
            release_at_bot: whether an operator's hold may be released directly at the bot.
            on_reapplied: called with the bot at which one was released and is placed again.

        Raises:
            StoreError: the journal cannot be read; its holds would be lost.
        """
        self._registry = registry
        self._memory = HoldMemory(writer=writer, reader=reader, journal=journal)
        self._sender = HoldSender(directory, self._memory)
        self._agreement = HoldSync(
            memory=self._memory,
            sender=self._sender,
            release_at_bot=release_at_bot,
            on_reapplied=on_reapplied,
        )
        self._released_at: dict[str, float] = {}
        # For releasing and enforcing only: placing a hold never waits.
        self._locks = {target.name: asyncio.Lock() for target in registry}

    @property
    def active(self) -> tuple[Hold, ...]:
        """Return the active holds known here; does not block."""
        return self._memory.active

    @property
    def unsettled(self) -> int:
        """Return the number of holds not known to be stored in the database."""
        return self._memory.unsettled

    def of(self, target: str) -> tuple[Hold, ...]:
        """Return the active holds of one target known here; does not block."""
        return self._memory.of(target)

    def fence(self, target: Target) -> int:
        """Return the newest fence known for a target, 0 for none."""
        return self._memory.fence(target.name)

    def is_acknowledged(self, hold_id: str) -> bool:
        """Whether the bot has acknowledged a hold to this process."""
        return self._sender.is_acknowledged(hold_id)

    def close(self) -> None:
        """End the journal's thread."""
        self._memory.close()

    async def place(
        self,
        target: Target,
        state: str,
        *,
        owner: str,
        reason: str,
        key: str | None = None,
    ) -> Placed:
        """Place a hold on a bot; reports failures in the result instead of raising.

        Args:
            target: a bot.
            state: `halted` or `reducing`.
            owner: who places it.
            reason: why.
            key: the hold's id, for idempotent requests; default: a new id.
        """
        return await self._place(target, state, owner, reason, key)

    async def place_all(
        self, targets: Iterable[Target], state: str, *, owner: str, reason: str
    ) -> list[Placed]:
        """Place a hold on each of several bots; like `place`, in the order of the bots.

        All holds are stored at once. The bots get the request in turns: more requests would wait
        for a connection until their deadline.
        """
        turn = asyncio.Semaphore(AT_A_TIME)
        placing = (self._place(target, state, owner, reason, None, turn) for target in targets)
        return await asyncio.gather(*placing)

    async def _place(
        self,
        target: Target,
        state: str,
        owner: str,
        reason: str,
        key: str | None,
        turn: asyncio.Semaphore | None = None,
    ) -> Placed:
        hold = Hold(
            id=key or str(uuid.uuid4()),
            target=target.name,
            state=HeldState(state),
            owner=clean(owner),
            reason=clean(reason),
            at=clock.now(),
        )
        self._memory.remember(hold)
        sending = asyncio.create_task(self._send(target, hold, turn))
        stored, where = await self._memory.keep(hold)
        acknowledged, answer = await sending
        log.warning(
            "hold_placed",
            hold=hold.id,
            target=target.name,
            state=hold.state.value,
            owner=hold.owner,
            acknowledged=acknowledged,
            stored=where,
        )
        detail = f"{answer}. {where}"
        return Placed(id=hold.id, stored=stored, acknowledged=acknowledged, detail=detail)

    async def _send(
        self, target: Target, hold: Hold, turn: asyncio.Semaphore | None
    ) -> tuple[bool, str]:
        async with turn or contextlib.nullcontext():
            return await self._sender.send(target, hold)

    async def release(
        self, target: Target, *, ids: frozenset[str] | None, owner: str, reason: str
    ) -> Released:
        """Release holds of a bot, None for all.

        The bot is updated first, then the store. If the store fails in between, the
        bot's next report has the release.

        Raises:
            StoreError: the database does not answer; no hold was released.
            ClientError: the bot did not do it; holds that it did not release stay in force.
        """
        owner, reason = clean(owner), clean(reason)
        async with self._locks[target.name]:
            await self._record_request(target, ids, owner, reason)
            await self._memory.settle()
            await self._memory.refresh()
            known = {hold.id for hold in self._memory.of(target.name)}
            there = await self._sender.resume(target, ids, owner, reason)
            ours = frozenset(known if ids is None else known & ids)
            # A hold placed directly at the bot since its last report is not known here yet.
            others = [held for held in there if held.id not in known and severity(held) >= 0]
            gone = ours.union(held.id for held in there)
            for key in gone:
                self._drop(key)
            self._released_at[target.name] = clock.monotonic()
            releasing = partial(
                _release,
                ids=ours,
                others=[as_hold(target, held) for held in others],
                owner=owner,
                reason=reason,
                now=clock.now(),
            )
            try:
                await self._memory.write(releasing)
            except StoreError as error:
                log.error("release_not_stored", target=target.name, error=str(error))  # noqa: TRY400
                return Released(ids=gone, detail=ONLY_THERE[target.kind])
            # Holds read while this was written still include them. An agent reports releases;
            # Freqtrade does not, so they would be placed there again.
            for key in gone:
                self._drop(key)
        log.warning("holds_released", target=target.name, owner=owner, holds=sorted(gone))
        return Released(ids=gone, detail=f"holds released by {owner}: {len(gone)}")

    async def refresh(self) -> None:
        """Read the active holds; while the database is unreachable, keep the last known."""
        await self._memory.refresh()

    async def release_unregistered(
        self, name: str, ids: frozenset[str] | None, *, owner: str, reason: str
    ) -> Released:
        """Release holds, None for all, of a bot that is no longer in targets.yml; contacts no bot.

        Raises:
            StoreError: the database does not answer; no hold was released.
        """
        await self._memory.settle()
        await self._memory.refresh()
        known = frozenset(hold.id for hold in self._memory.of(name))
        gone = known if ids is None else known & ids
        releasing = partial(
            _release, ids=gone, others=[], owner=clean(owner), reason=clean(reason), now=clock.now()
        )
        await self._memory.write(releasing)
        for key in gone:
            self._drop(key)
        log.warning("holds_released", target=name, owner=owner, holds=sorted(gone))
        detail = (
            f"{len(gone)} holds released; {name} is not in targets.yml, so no bot was contacted"
        )
        return Released(ids=gone, detail=detail)

    async def withdraw(self, target: Target, hold_id: str, *, reason: str) -> bool:
        """Withdraw one of our holds that was never in force: its process is gone.

        Returns whether it was withdrawn; an acknowledged one stays.

        Raises:
            StoreError: the database does not answer; the hold stays.
        """
        async with self._locks[target.name]:
            if self.is_acknowledged(hold_id):
                return False
            return await self._agreement.withdraw(hold_id, reason)

    async def enforce(self, reports: Mapping[str, AgentReport] | None = None) -> None:
        """Synchronize each bot with the database: a hold of either stays in force.

        Args:
            reports: the agents' latest reports by bot name; None: request them here.
        """
        if reports is None:
            reports = await self._request_reports()
        # After the reports: a hold placed after this read is for the process that reported.
        read = await self._memory.refresh()
        # A hold released by another replica may be placed again with the same id.
        self._sender.keep_only({hold.id for hold in self._memory.active})
        # In parallel: one misbehaving bot must not delay the others.
        await asyncio.gather(
            *(
                self._sync_bot(target, report, confirm=read)
                for target in self._registry.bots
                if (report := reports.get(target.name)) and self._has_holds(target, report)
            )
        )

    def _has_holds(self, target: Target, report: AgentReport) -> bool:
        """Whether the bot, or we, know of a hold: most bots of a fleet have none."""
        health = report.health
        if health.holds is None:
            return False
        return bool(health.holds or health.awaiting_holds or self._memory.of(target.name))

    async def _sync_bot(self, target: Target, report: AgentReport, *, confirm: bool) -> None:
        async with self._locks[target.name]:
            # A report requested before a release does not include it.
            if report.asked_at > self._released_at.get(target.name, -math.inf):
                agreed = await self._agreement.sync(target, report.health)
                if agreed and confirm and report.health.awaiting_holds:
                    await self._sender.confirm(target, report.health.incarnation)

    async def suspend_parts(self, target: Target, seconds: int) -> str:
        """Suspend the parts of a bot that can wait; 0 seconds resume them; return its answer.

        Raises:
            ClientError: it failed, or the bot has no such parts.
        """
        return await self._sender.suspend_parts(target, seconds)

    async def settle_journal(self) -> None:
        """Store journaled holds in the database, then remove them from the journal."""
        await self._memory.settle()

    async def _record_request(
        self, target: Target, ids: frozenset[str] | None, owner: str, reason: str
    ) -> None:
        """Check that the database accepts writes before releasing holds.

        Raises:
            StoreError: it does not.
        """
        asking = partial(
            holds.note,
            hold_id="all" if ids is None else ", ".join(sorted(ids)),
            target=target.name,
            kind="hold_release_requested",
            actor=owner,
            text=reason,
            now=clock.now(),
        )
        try:
            await self._memory.write(asking)
        except StoreError as error:
            raise StoreError(
                f"no hold was released on {target.name}: {error}. "
                "Fix: restore the database, then retry"
            ) from error

    async def _request_reports(self) -> dict[str, AgentReport]:
        reports = {}

        async def ask(target: Target) -> None:
            asked_at = clock.monotonic()
            with contextlib.suppress(ClientError):
                health = await self._sender.directory.bot(target).health()
                reports[target.name] = AgentReport(asked_at=asked_at, health=health)

        await asyncio.gather(*(ask(target) for target in self._registry.bots))
        return reports

    def _drop(self, hold_id: str) -> None:
        self._memory.drop(hold_id)
        self._sender.forget(hold_id)


def _release(
    connection: Connection,
    *,
    ids: frozenset[str],
    others: Iterable[Hold],
    owner: str,
    reason: str,
    now: datetime,
) -> None:
    """Store releases; for holds known only to the bot, also store that they were placed."""
    released = set(ids)
    for hold in others:
        with contextlib.suppress(holds.IdTaken):  # it is another bot's hold and stays
            actor = agent_of(hold.target)
            holds.place(connection, hold, now=now, kind="hold_adopted", actor=actor)
            released.add(hold.id)
    holds.release(connection, ids=released, owner=owner, reason=reason, now=now)
