"""Synchronizes holds between a bot and the database: a hold of either stays in force."""

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from trading_ops import clock, logs
from trading_ops.clients.agent import BotHealth, ReportedHold, ReportedRelease
from trading_ops.domain.hold import RECONCILER, HeldState, Hold, meant_incarnation
from trading_ops.domain.target import Target
from trading_ops.errors import StoreError
from trading_ops.holds.delivery import HoldSender
from trading_ops.holds.memory import HoldMemory
from trading_ops.store import Connection, holds

log = logs.get(__name__)

ORPHANED = timedelta(seconds=10)
"""Seconds for which a halt for silence is left to its requester; longer than reports are valid."""

NOTED_EACH_SECONDS = 60.0
"""Minimum seconds between two events that the same hold was placed again."""

_TOKEN = re.compile(r"\s*\(token[^)]*\)?")

LONGEST_TEXT = 500
"""Maximum characters of owner and reason that an agent accepts."""


@dataclass(frozen=True, kw_only=True)
class HoldSync:
    """Synchronizes the holds of a bot and the database."""

    memory: HoldMemory
    sender: HoldSender
    passed: set[tuple[str, datetime]] = field(default_factory=set)
    """Reported by a bot, but not adopted: released here after they were placed there."""

    noted_again: dict[str, float] = field(default_factory=dict)
    """Monotonic time of the last event that a hold was placed again, by hold id."""

    release_at_bot: bool = False
    """Whether an operator's hold may be released directly at the bot."""

    on_reapplied: Callable[[str], None] = lambda _target: None
    """Called with the bot at which an operator's hold was released and is placed again."""

    async def sync(self, target: Target, report: BotHealth) -> bool:
        """Place missing holds again, and learn of those released or placed directly at the bot.

        Returns whether the report already has every hold for this process.
        """
        there = {hold.id: hold for hold in report.holds or ()}
        releases = {release.id: release for release in report.released}
        ours = self.memory.of(target.name)
        agreed = True
        for hold in ours:
            found, release = there.get(hold.id), releases.get(hold.id)
            if found is None and not await self._applies_to(hold, report.incarnation):
                await self._withdraw_orphan(hold)
            else:
                agreed &= await self._ensure_in_force(target, hold, found, release)
        known = {hold.id for hold in ours}
        for found in there.values():
            if found.id not in known and severity(found) >= 0:
                await self._adopt(target, found)
        return agreed

    async def withdraw(self, hold_id: str, reason: str) -> bool:
        """Withdraw one of our holds; return False if it was in force: it stays.

        Raises:
            StoreError: the database does not answer; the hold stays.
        """
        withdrawing = partial(
            holds.withdraw, hold_id=hold_id, owner=RECONCILER, reason=reason, now=clock.now()
        )
        await self.memory.settle()
        if not await self.memory.write(withdrawing):
            return False
        self.memory.drop(hold_id)
        self.sender.forget(hold_id)
        return True

    async def _applies_to(self, hold: Hold, incarnation: str) -> bool:
        """Whether a hold may be placed on a process that does not have it.

        Another replica may have requested it for a process that has ended since. Once a bot has
        acknowledged it, it applies to all later processes.
        """
        if meant_incarnation(hold) in {None, incarnation} or self.sender.is_acknowledged(hold.id):
            return True
        try:
            return await self.memory.write(partial(holds.is_acknowledged, hold_id=hold.id))
        except StoreError as error:
            log.warning("hold_incarnation_unknown", hold=hold.id, error=str(error))
            return False

    async def _withdraw_orphan(self, hold: Hold) -> None:
        """Withdraw holds for a process that has ended, if their requester is gone."""
        if clock.now() - hold.at < ORPHANED:
            return  # it may be for a process newer than the report
        try:
            await self.withdraw(hold.id, "another process answers now")
        except StoreError as error:
            log.warning("hold_not_withdrawn", hold=hold.id, error=str(error))

    async def _ensure_in_force(
        self,
        target: Target,
        hold: Hold,
        found: ReportedHold | None,
        release: ReportedRelease | None,
    ) -> bool:
        if found is not None and severity(found) >= hold.state.severity:
            await self.sender.note_acknowledged(hold, f"{target.name} reports it")
            return True
        if found is None and release is not None and moment(release.released_at) > hold.at:
            await self._adopt_release(target, hold, release)
        else:
            was_in_force = asyncio.create_task(self._was_in_force(hold))
            done, detail = await self.sender.send(target, hold)
            log.warning("hold_enforced", hold=hold.id, acknowledged=done, detail=detail)
            if await was_in_force and done:
                await self._note_again(target, hold, "the bot had lost it")
        return False

    async def _was_in_force(self, hold: Hold) -> bool:
        if self.sender.is_acknowledged(hold.id):
            return True
        try:
            return await self.memory.write(partial(holds.is_acknowledged, hold_id=hold.id))
        except StoreError:
            return False

    async def _note_again(self, target: Target, hold: Hold, why: str) -> None:
        """Add the event that a hold was placed again, rate-limited."""
        now = clock.monotonic()
        if now - self.noted_again.get(hold.id, -math.inf) < NOTED_EACH_SECONDS:
            return
        self.noted_again[hold.id] = now
        noting = partial(
            holds.note,
            hold_id=hold.id,
            target=target.name,
            kind="hold_reapplied",
            actor=RECONCILER,
            text=f"{why}, so it is placed again",
            now=clock.now(),
        )
        try:
            await self.memory.write(noting)
        except StoreError as error:
            log.warning("event_not_stored", hold=hold.id, error=str(error))

    async def _adopt_release(self, target: Target, hold: Hold, release: ReportedRelease) -> None:
        """Adopt a release that the bot reports, or place the hold again.

        Only a request through our API authenticates the operator. The agent's report is untrusted:
        any client with its token can cause it.
        """
        adopting = partial(
            _adopted, hold=hold, release=release, allowed=self.release_at_bot, now=clock.now()
        )
        try:
            await self.memory.settle()
            adopted = await self.memory.write(adopting)
        except StoreError as error:
            log.warning("release_not_stored", hold=hold.id, error=str(error))
            return
        if adopted:
            self.memory.drop(hold.id)
            self.sender.forget(hold.id)
            return
        done, detail = await self.sender.send(target, hold)
        self.on_reapplied(target.name)
        log.error(
            "hold_reapplied", hold=hold.id, target=target.name, acknowledged=done, detail=detail
        )

    async def _adopt(self, target: Target, found: ReportedHold) -> None:
        """Store a hold that was placed directly at the bot, so that it survives the bot's file."""
        hold = as_hold(target, found)
        if (hold.id, hold.at) in self.passed:
            return
        placing = partial(
            holds.place,
            hold=hold,
            now=clock.now(),
            kind="hold_adopted",
            actor=agent_of(target.name),
        )
        try:
            adopted = await self.memory.write(placing)
        except holds.IdTaken:
            adopted = False
        except StoreError as error:
            log.warning("hold_not_adopted", hold=hold.id, error=str(error))
            return
        if not adopted:
            # Released here after it was placed there: the bot keeps it, and an operator may release
            # it again.
            self.passed.add((hold.id, hold.at))
        log.warning("hold_found", hold=hold.id, target=target.name, adopted=adopted)


def _adopted(
    connection: Connection, *, hold: Hold, release: ReportedRelease, allowed: bool, now: datetime
) -> bool:
    """Store a release that a bot reports; False: releasing it there is not allowed."""
    by, why = claimed(release.released_by), clean(release.released_for)
    claim = f"according to the agent by {by}: {why}"
    orderer = holds.release_orderer(connection, hold)
    if orderer is None and not allowed and holds.is_persons(connection, hold):
        holds.note(
            connection,
            hold_id=hold.id,
            target=hold.target,
            kind="hold_reapplied",
            actor=agent_of(hold.target),
            text=f"released directly at the bot, so it is placed again; {claim}",
            now=now,
        )
        return False
    actor = orderer or agent_of(hold.target)
    reason = f"directly at the bot; {claim}"
    holds.release(connection, ids=(hold.id,), owner=actor, reason=reason, now=now)
    return True


def agent_of(target: str) -> str:
    """Return the actor of an agent's report: only its token was authenticated."""
    return f"agent:{target}"


def claimed(name: str) -> str:
    """Return a name that an agent reports, without text that looks like a token name."""
    return clean(_TOKEN.sub("", name))


def severity(found: ReportedHold) -> int:
    """Return how strict a reported hold is; negative: unknown state."""
    try:
        return HeldState(found.state).severity
    except ValueError:
        return -1


def as_hold(target: Target, found: ReportedHold) -> Hold:
    """Convert a reported hold with a known state."""
    return Hold(
        id=found.id,
        target=target.name,
        state=HeldState(found.state),
        owner=claimed(found.owner),
        reason=clean(found.reason),
        at=moment(found.at),
    )


def moment(timestamp: float) -> datetime:
    """Convert Unix seconds to UTC; an invalid value becomes the epoch, so it counts as old."""
    try:
        return datetime.fromtimestamp(timestamp, tz=UTC)
    except (OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(0, tz=UTC)


def clean(text: str) -> str:
    """Return text that databases and agents accept: no NUL, no lone surrogates, not empty.

    Invalid text must not prevent a halt.
    """
    cleaned = text.replace("\0", "").encode("utf-8", "replace").decode()
    return cleaned[:LONGEST_TEXT] or "not given"
