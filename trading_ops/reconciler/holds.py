"""Holds on bots, laid whatever is broken, and never lost before a person lifts them.

A halt is sent at once, while the database is still being asked to store it. When the database does
not answer within a second, a journal on the disk takes the hold; when that fails too, it is sent
all the same, and said. What is kept is laid onto a bot again whenever its agent does not report
it, so neither a restart nor a lost file of the bot lifts a halt. Lifting is a person's word, and
needs the database.
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
from trading_ops.reconciler.hold_delivery import HoldOrders
from trading_ops.reconciler.hold_store import MACHINE, STORE_SECONDS, HoldMemory
from trading_ops.reconciler.hold_sync import (
    HoldAgreement,
    agent_of,
    as_hold,
    clean,
    severity,
)
from trading_ops.store import Connection, holds
from trading_ops.store.journal import Journal
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

__all__ = ["MACHINE", "STORE_SECONDS", "Holding", "Laid", "Lifted", "Report"]

log = logs.get(__name__)

ONLY_THERE = {
    Kind.BOT: "lifted at the bot; the database learns it from there when it answers",
    Kind.FREQTRADE: "lifted at the bot, but not stored: it is laid again, and must then be lifted "
    "again, when the database answers",
}
"""What is said of a lift that the database did not take; a Freqtrade does not keep its lifts."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an agent said of its bot, and when it was asked."""

    asked_at: float
    """Monotonic seconds."""

    health: BotHealth


@dataclass(frozen=True, kw_only=True)
class Laid:
    """What became of a hold."""

    id: str
    stored: bool
    """In the database, or at least in the journal: a restart of ours knows it."""

    acknowledged: bool
    """The bot has said that it is in force."""

    detail: str


@dataclass(frozen=True, kw_only=True)
class Lifted:
    """Which holds a person has lifted."""

    ids: frozenset[str]
    detail: str


class Holding:
    """Lays, lifts and enforces holds."""

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
        """Take up what the journal still holds.

        Args:
            writer: of the database.
            reader: of the database.
            directory: of the bots' agents.
            registry: of the targets.
            journal: keeps holds while the database does not answer.
            release_at_bot: whether a person's hold may be released at the bot itself.
            on_reapplied: told of the bot at which one was, and is placed again.

        Raises:
            StoreError: the journal cannot be read; the holds in it would be forgotten.
        """
        self._registry = registry
        self._memory = HoldMemory(writer=writer, reader=reader, journal=journal)
        self._orders = HoldOrders(directory, self._memory)
        self._agreement = HoldAgreement(
            memory=self._memory,
            orders=self._orders,
            release_at_bot=release_at_bot,
            on_reapplied=on_reapplied,
        )
        self._lifted_at: dict[str, float] = {}
        # Of lifting and enforcing only: to lay waits for nobody.
        self._locks = {target.name: asyncio.Lock() for target in registry}

    @property
    def standing(self) -> tuple[Hold, ...]:
        """Return what holds, as far as it is known here; without waiting."""
        return self._memory.standing

    @property
    def unsettled(self) -> int:
        """Return how many holds are not known to be in the database."""
        return self._memory.unsettled

    def fence(self, target: Target) -> int:
        """Return the newest fence known for a target, 0 for none."""
        return self._memory.fence(target.name)

    def is_acknowledged(self, hold_id: str) -> bool:
        """Whether the bot has said, to this process, that a hold is in force."""
        return self._orders.is_acknowledged(hold_id)

    def close(self) -> None:
        """End the journal's thread."""
        self._memory.close()

    async def lay(
        self, target: Target, state: str, *, owner: str, reason: str, key: str | None = None
    ) -> Laid:
        """Hold a bot in a state; never raises for what is broken, but says it.

        Args:
            target: a bot.
            state: `halted` or `reducing`.
            owner: who wants it.
            reason: why.
            key: the hold's id, where asking twice must be one hold; otherwise it gets a new one.
        """
        hold = Hold(
            id=key or str(uuid.uuid4()),
            target=target.name,
            state=HeldState(state),
            owner=clean(owner),
            reason=clean(reason),
            at=clock.now(),
        )
        self._memory.remember(hold)
        sending = asyncio.create_task(self._orders.send(target, hold))
        stored, where = await self._memory.keep(hold)
        acknowledged, answer = await sending
        log.warning(
            "hold_laid",
            hold=hold.id,
            target=target.name,
            state=hold.state.value,
            owner=hold.owner,
            acknowledged=acknowledged,
            stored=where,
        )
        detail = f"{answer}; {where}"
        return Laid(id=hold.id, stored=stored, acknowledged=acknowledged, detail=detail)

    async def lift(
        self, target: Target, *, ids: frozenset[str] | None, owner: str, reason: str
    ) -> Lifted:
        """Lift holds of a bot, None for all: a person's word.

        The bot is told first, and its word is stored. Should the store be gone by then, it is
        learnt from the bot later.

        Raises:
            StoreError: the database does not answer; nothing was lifted.
            ClientError: the bot did not do it; what it did not lift stands.
        """
        owner, reason = clean(owner), clean(reason)
        async with self._locks[target.name]:
            await self._note_wish(target, ids, owner, reason)
            await self._memory.settle()
            await self._memory.refresh()
            known = {hold.id for hold in self._memory.of(target.name)}
            there = await self._orders.resume(target, ids, owner, reason)
            ours = frozenset(known if ids is None else known & ids)
            # One that was laid at the bot itself since its last report is not known here yet.
            others = [one for one in there if one.id not in known and severity(one) >= 0]
            gone = ours.union(one.id for one in there)
            for key in gone:
                self._drop(key)
            self._lifted_at[target.name] = clock.monotonic()
            lifting = partial(
                _lift,
                ids=ours,
                others=[as_hold(target, one) for one in others],
                owner=owner,
                reason=reason,
                now=clock.now(),
            )
            try:
                await self._memory.write(lifting)
            except StoreError as error:
                log.error("lift_not_stored", target=target.name, error=str(error))  # noqa: TRY400
                return Lifted(ids=gone, detail=ONLY_THERE[target.kind])
            # What was read while this was being written still has them. An agent tells what was
            # lifted there, a Freqtrade does not: there they would be laid again.
            for key in gone:
                self._drop(key)
        log.warning("holds_lifted", target=target.name, owner=owner, holds=sorted(gone))
        return Lifted(ids=gone, detail=f"holds lifted by {owner}: {len(gone)}")

    async def refresh(self) -> None:
        """Read what stands; while the database is away, what was known last counts."""
        await self._memory.refresh()

    async def lift_unregistered(
        self, name: str, ids: frozenset[str] | None, *, owner: str, reason: str
    ) -> Lifted:
        """Lift holds, None for all, of a bot that targets.yml no longer has: no bot is asked.

        Raises:
            StoreError: the database does not answer; nothing was lifted.
        """
        await self._memory.settle()
        await self._memory.refresh()
        known = frozenset(hold.id for hold in self._memory.of(name))
        gone = known if ids is None else known & ids
        lifting = partial(
            _lift, ids=gone, others=[], owner=clean(owner), reason=clean(reason), now=clock.now()
        )
        await self._memory.write(lifting)
        for key in gone:
            self._drop(key)
        log.warning("holds_lifted", target=name, owner=owner, holds=sorted(gone))
        detail = f"{len(gone)} holds released; targets.yml has no {name}, so no bot was told"
        return Lifted(ids=gone, detail=detail)

    async def withdraw(self, target: Target, hold_id: str, *, reason: str) -> bool:
        """Take back a hold of ours that never came into force: its process is gone.

        Returns whether it was taken back; one that was acknowledged stands.

        Raises:
            StoreError: the database does not answer; the hold stands.
        """
        async with self._locks[target.name]:
            if self.is_acknowledged(hold_id):
                return False
            return await self._agreement.withdraw(hold_id, reason)

    async def enforce(self, reports: Mapping[str, Report] | None = None) -> None:
        """Make each bot and the database agree; what either of them holds, stands.

        Args:
            reports: what the agents have just said, by the bot's name; None: they are asked here.
        """
        if reports is None:
            reports = await self._ask_all()
        # After the reports: a hold placed later than this reading finds the process that reported.
        read = await self._memory.refresh()
        # One that another replica lifted may be laid again under the same name.
        self._orders.forget_others({hold.id for hold in self._memory.standing})
        # All at once: one that answers and does not obey must not keep the others waiting.
        await asyncio.gather(
            *(
                self._agree(target, reports.get(target.name), confirm=read)
                for target in self._registry.bots
            )
        )

    async def _agree(self, target: Target, report: Report | None, *, confirm: bool) -> None:
        if report is None or report.health.holds is None:
            return
        async with self._locks[target.name]:
            # What was asked before a lift has not seen it.
            if report.asked_at > self._lifted_at.get(target.name, -math.inf):
                agreed = await self._agreement.reach(target, report.health)
                if agreed and confirm and report.health.awaiting_holds:
                    await self._orders.confirm(target, report.health.incarnation)

    async def settle_journal(self) -> None:
        """Bring what the database does not know into it, then forget it in the journal."""
        await self._memory.settle()

    async def _note_wish(
        self, target: Target, ids: frozenset[str] | None, owner: str, reason: str
    ) -> None:
        """Prove that the database stores before anything is lifted.

        Raises:
            StoreError: it does not.
        """
        asking = partial(
            holds.note,
            hold_id="all" if ids is None else ", ".join(sorted(ids)),
            target=target.name,
            kind="hold_lift_asked",
            actor=owner,
            text=reason,
            now=clock.now(),
        )
        try:
            await self._memory.write(asking)
        except StoreError as error:
            raise StoreError(
                f"nothing was lifted on {target.name}: {error}. "
                "Fix: bring the database back, then try again"
            ) from error

    async def _ask_all(self) -> dict[str, Report]:
        reports = {}

        async def ask(target: Target) -> None:
            asked_at = clock.monotonic()
            with contextlib.suppress(ClientError):
                health = await self._orders.directory.bot(target).health()
                reports[target.name] = Report(asked_at=asked_at, health=health)

        await asyncio.gather(*(ask(target) for target in self._registry.bots))
        return reports

    def _drop(self, hold_id: str) -> None:
        self._memory.drop(hold_id)
        self._orders.forget(hold_id)


def _lift(
    connection: Connection,
    *,
    ids: frozenset[str],
    others: Iterable[Hold],
    owner: str,
    reason: str,
    now: datetime,
) -> None:
    """Store a lift; of others, that the bot alone knew of, also that they were laid."""
    lifted = set(ids)
    for hold in others:
        with contextlib.suppress(holds.IdTaken):  # it is another bot's hold, and stays
            actor = agent_of(hold.target)
            holds.lay(connection, hold, now=now, kind="hold_adopted", actor=actor)
            lifted.add(hold.id)
    holds.lift(connection, ids=lifted, owner=owner, reason=reason, now=now)
