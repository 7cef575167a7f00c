"""A bot's report held against what is kept here: what either of them holds, stands."""

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from trading_ops import clock, logs
from trading_ops.clients.agent import BotHealth, ReportedHold, ReportedLift
from trading_ops.domain.hold import MACHINE, HeldState, Hold, life_meant
from trading_ops.domain.target import Target
from trading_ops.errors import StoreError
from trading_ops.reconciler.hold_delivery import HoldOrders
from trading_ops.reconciler.hold_store import HoldMemory
from trading_ops.store import Connection, holds

log = logs.get(__name__)

ORPHANED = timedelta(seconds=10)
"""So long a silence's halt is left to who asked for it; longer than any report is believed."""

NOTED_EACH_SECONDS = 60.0
"""Between two events that the same hold was placed again."""

_TOKEN = re.compile(r"\s*\(token[^)]*\)?")

LONGEST_TEXT = 500
"""Of owner and reason, in characters: what an agent takes."""


@dataclass(frozen=True, kw_only=True)
class HoldAgreement:
    """Makes a bot and the database agree."""

    memory: HoldMemory
    orders: HoldOrders
    passed: set[tuple[str, datetime]] = field(default_factory=set)
    """Reported by a bot, but not taken over: lifted here since they were laid there."""

    noted_again: dict[str, float] = field(default_factory=dict)
    """When the event that a hold was placed again was last added, by its id, monotonic."""

    release_at_bot: bool = False
    """Whether a person's hold may be released at the bot itself."""

    on_reapplied: Callable[[str], None] = lambda _target: None
    """Told of the bot at which a person's hold was released and is placed again."""

    async def reach(self, target: Target, report: BotHealth) -> bool:
        """Lay again what the bot has not, learn what was lifted or laid at the bot itself.

        Returns whether the report already has every hold that is meant for this process.
        """
        there = {hold.id: hold for hold in report.holds or ()}
        lifts = {lift.id: lift for lift in report.lifted}
        ours = self.memory.of(target.name)
        agreed = True
        for hold in ours:
            found, lift = there.get(hold.id), lifts.get(hold.id)
            if found is None and not await self._is_meant(hold, report.incarnation):
                await self._let_go(hold)
            else:
                agreed &= await self._have_it_there(target, hold, found, lift)
        known = {hold.id for hold in ours}
        for found in there.values():
            if found.id not in known and severity(found) >= 0:
                await self._adopt(target, found)
        return agreed

    async def withdraw(self, hold_id: str, reason: str) -> bool:
        """Take back a hold of ours; return False for one that was in force: it stands.

        Raises:
            StoreError: the database does not answer; the hold stands.
        """
        withdrawing = partial(
            holds.withdraw, hold_id=hold_id, owner=MACHINE, reason=reason, now=clock.now()
        )
        await self.memory.settle()
        if not await self.memory.write(withdrawing):
            return False
        self.memory.drop(hold_id)
        self.orders.forget(hold_id)
        return True

    async def _is_meant(self, hold: Hold, incarnation: str) -> bool:
        """Whether a hold may be laid on a life that has not got it.

        Another replica may have asked for it, of a life that has ended since. Once a bot had it,
        it is for all its lives.
        """
        if life_meant(hold) in {None, incarnation} or self.orders.is_acknowledged(hold.id):
            return True
        try:
            return await self.memory.write(partial(holds.is_acknowledged, hold_id=hold.id))
        except StoreError as error:
            log.warning("life_meant_unknown", hold=hold.id, error=str(error))
            return False

    async def _let_go(self, hold: Hold) -> None:
        """Take back what is of a life that has ended, should nobody be left who asked for it."""
        if clock.now() - hold.at < ORPHANED:
            return  # it may be of a life that the report is too old to tell of
        try:
            await self.withdraw(hold.id, "another process answers now")
        except StoreError as error:
            log.warning("hold_not_withdrawn", hold=hold.id, error=str(error))

    async def _have_it_there(
        self, target: Target, hold: Hold, found: ReportedHold | None, lift: ReportedLift | None
    ) -> bool:
        if found is not None and severity(found) >= hold.state.severity:
            await self.orders.note_acknowledged(hold, f"{target.name} reports it")
            return True
        if found is None and lift is not None and moment(lift.lifted_at) > hold.at:
            await self._learn_lift(target, hold, lift)
        else:
            was_in_force = asyncio.create_task(self._was_in_force(hold))
            done, said = await self.orders.send(target, hold)
            log.warning("hold_enforced", hold=hold.id, acknowledged=done, said=said)
            if await was_in_force and done:
                await self._note_again(target, hold, "the bot had lost it")
        return False

    async def _was_in_force(self, hold: Hold) -> bool:
        if self.orders.is_acknowledged(hold.id):
            return True
        try:
            return await self.memory.write(partial(holds.is_acknowledged, hold_id=hold.id))
        except StoreError:
            return False

    async def _note_again(self, target: Target, hold: Hold, why: str) -> None:
        """Add the event that a hold was placed again; of one that is lost all the time, not all."""
        now = clock.monotonic()
        if now - self.noted_again.get(hold.id, -math.inf) < NOTED_EACH_SECONDS:
            return
        self.noted_again[hold.id] = now
        noting = partial(
            holds.note,
            hold_id=hold.id,
            target=target.name,
            kind="hold_reapplied",
            actor=MACHINE,
            text=f"{why}, so it is placed again",
            now=clock.now(),
        )
        try:
            await self.memory.write(noting)
        except StoreError as error:
            log.warning("event_not_stored", hold=hold.id, error=str(error))

    async def _learn_lift(self, target: Target, hold: Hold, lift: ReportedLift) -> None:
        """Take over a release that the bot reports, or place the hold again.

        Only an order through our API proves who released it. What the agent says of that is a
        claim: whoever has the agent's token can make it.
        """
        learning = partial(
            _learn, hold=hold, lift=lift, allowed=self.release_at_bot, now=clock.now()
        )
        try:
            await self.memory.settle()
            learnt = await self.memory.write(learning)
        except StoreError as error:
            log.warning("lift_not_stored", hold=hold.id, error=str(error))
            return
        if learnt:
            self.memory.drop(hold.id)
            self.orders.forget(hold.id)
            return
        done, said = await self.orders.send(target, hold)
        self.on_reapplied(target.name)
        log.error("hold_reapplied", hold=hold.id, target=target.name, acknowledged=done, said=said)

    async def _adopt(self, target: Target, found: ReportedHold) -> None:
        """Keep a hold that was laid at the bot itself, so that it outlives the bot's own file."""
        hold = as_hold(target, found)
        if (hold.id, hold.at) in self.passed:
            return
        laying = partial(
            holds.lay,
            hold=hold,
            now=clock.now(),
            kind="hold_adopted",
            actor=agent_of(target.name),
        )
        try:
            adopted = await self.memory.write(laying)
        except holds.IdTaken:
            adopted = False
        except StoreError as error:
            log.warning("hold_not_adopted", hold=hold.id, error=str(error))
            return
        if not adopted:
            # Lifted here after it was laid there: the bot stays as careful as it is, and a person
            # may say so again.
            self.passed.add((hold.id, hold.at))
        log.warning("hold_found", hold=hold.id, target=target.name, adopted=adopted)


def _learn(
    connection: Connection, *, hold: Hold, lift: ReportedLift, allowed: bool, now: datetime
) -> bool:
    """Store a release that a bot reports; False: it must not have been released there."""
    claim = f"the agent says by {claimed(lift.lifted_by)}: {clean(lift.lifted_for)}"
    orderer = holds.release_orderer(connection, hold)
    if orderer is None and not allowed and holds.is_persons(connection, hold):
        holds.note(
            connection,
            hold_id=hold.id,
            target=hold.target,
            kind="hold_reapplied",
            actor=agent_of(hold.target),
            text=f"released at the bot itself, so it is placed again; {claim}",
            now=now,
        )
        return False
    actor = orderer or agent_of(hold.target)
    reason = f"at the bot itself; {claim}"
    holds.lift(connection, ids=(hold.id,), owner=actor, reason=reason, now=now)
    return True


def agent_of(target: str) -> str:
    """Return the actor of what a bot's agent reports: what was authenticated is its token."""
    return f"agent:{target}"


def claimed(name: str) -> str:
    """Return a name that an agent reports, without what would look like an API token's."""
    return clean(_TOKEN.sub("", name))


def severity(found: ReportedHold) -> int:
    """Return how strict a reported hold is; below zero: in a way that nobody here knows."""
    try:
        return HeldState(found.state).severity
    except ValueError:
        return -1


def as_hold(target: Target, found: ReportedHold) -> Hold:
    """Return a reported hold, whose state is known, as it is kept here."""
    return Hold(
        id=found.id,
        target=target.name,
        state=HeldState(found.state),
        owner=claimed(found.owner),
        reason=clean(found.reason),
        at=moment(found.at),
    )


def moment(timestamp: float) -> datetime:
    """Return seconds since the epoch as a time in UTC; nonsense is the epoch, so it is no news."""
    try:
        return datetime.fromtimestamp(timestamp, tz=UTC)
    except (OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(0, tz=UTC)


def clean(text: str) -> str:
    """Return a text that every database and the agent take: no NUL, no half characters, not empty.

    Whatever it was, it must not keep a halt from being laid.
    """
    whole = text.replace("\0", "").encode("utf-8", "replace").decode()
    return whole[:LONGEST_TEXT] or "not said"
