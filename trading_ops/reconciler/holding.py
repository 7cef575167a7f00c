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
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from trading_ops import clock, logs
from trading_ops.clients.agent import BotHealth, ReportedHold
from trading_ops.clients.directory import Directory
from trading_ops.clients.executor import CommandResult
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ClientError, Refused, StoreError, TradingOpsError, Unreachable
from trading_ops.store import Connection, holds
from trading_ops.store.journal import Journal
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

T = TypeVar("T")

STORE_SECONDS = 1.0
"""That the database, and then the journal, get to store a hold; nothing waits for them longer."""

COMMAND_WITHIN = timedelta(seconds=2)
AT_ONCE_SECONDS = 0.5
COMMANDS = {HeldState.HALTED: "halt", HeldState.REDUCING: "reduce"}
LONGEST_TEXT = 500
"""Of owner and reason, in characters: what an agent takes."""

MACHINE = "reconciler"
"""The owner of holds that no person laid."""


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
    ) -> None:
        """Take up what the journal still holds.

        Raises:
            StoreError: the journal cannot be read; the holds in it would be forgotten.
        """
        self._writer = writer
        self._reader = reader
        self._directory = directory
        self._registry = registry
        self._journal = journal
        # A thread of its own: the shared ones may all hang in a database that does not answer.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hold-journal")
        self._standing: dict[str, Hold] = {}
        self._unsettled: dict[str, Hold] = {}
        """Not known to be in the database."""

        self._acknowledged: set[str] = set()
        self._noted: set[str] = set()
        """Acknowledged, and the database knows that."""

        self._old: set[tuple[str, datetime]] = set()
        """Reported by a bot, but lifted here since they were laid there."""

        self._reading: asyncio.Task[tuple[list[Hold], Mapping[str, int]]] | None = None
        self._fences: Mapping[str, int] = {}
        self._lifted_at: dict[str, float] = {}
        self._locks = {target.name: asyncio.Lock() for target in registry}
        self._take_up_journal()

    @property
    def standing(self) -> tuple[Hold, ...]:
        """Return what holds, as far as it is known here; without waiting."""
        return tuple((self._standing | self._unsettled).values())

    @property
    def unsettled(self) -> int:
        """Return how many holds are not known to be in the database."""
        return len(self._unsettled)

    def fence(self, target: Target) -> int:
        """Return the newest fence known for a target, 0 for none."""
        return self._fences.get(target.name, 0)

    def is_acknowledged(self, hold_id: str) -> bool:
        """Whether the bot has said, to this process, that a hold is in force."""
        return hold_id in self._acknowledged

    def close(self) -> None:
        """End the journal's thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

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
            owner=_clean(owner),
            reason=_clean(reason),
            at=clock.now(),
        )
        self._unsettled[hold.id] = _stricter(hold, self._unsettled.get(hold.id))
        sending = asyncio.create_task(self._send(target, hold))
        stored, where = await self._keep(hold)
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
        owner, reason = _clean(owner), _clean(reason)
        async with self._locks[target.name]:
            await self._settle_or_refuse(target, ids, owner, reason)
            known = {hold.id for hold in self.standing if hold.target == target.name}
            await self._resume(target, ids, owner, reason)
            gone = known if ids is None else known & ids
            lifting = partial(holds.lift, ids=gone, owner=owner, reason=reason, now=clock.now())
            for key in gone:
                self._drop(key)
            self._lifted_at[target.name] = clock.monotonic()
            try:
                await self._within(self._writer.run(lifting))
            except (StoreError, TimeoutError) as error:
                log.error("lift_not_stored", target=target.name, error=str(error))  # noqa: TRY400
                detail = "lifted at the bot; the database learns it from there when it answers"
                return Lifted(ids=frozenset(gone), detail=detail)
        log.warning("holds_lifted", target=target.name, owner=owner, holds=sorted(gone))
        return Lifted(ids=frozenset(gone), detail=f"holds lifted by {owner}: {len(gone)}")

    async def withdraw(self, target: Target, hold_id: str, *, reason: str) -> bool:
        """Take back a hold of ours that never came into force: its process is gone.

        Returns whether it was taken back; one that was acknowledged stands.
        """
        async with self._locks[target.name]:
            if hold_id in self._acknowledged:
                return False
            withdrawing = partial(
                holds.lift,
                ids=(hold_id,),
                owner=MACHINE,
                reason=reason,
                now=clock.now(),
                kind="hold_withdrawn",
            )
            await self.settle_journal()
            await self._within(self._writer.run(withdrawing))
            self._drop(hold_id)
            return True

    async def enforce(self, reports: Mapping[str, Report] | None = None) -> None:
        """Make each bot and the database agree; what either of them holds, stands.

        Args:
            reports: what the agents have just said, by the bot's name; None: they are asked here.
        """
        await self._refresh()
        if reports is None:
            reports = await self._ask_all()
        for target in self._registry.of_kind(Kind.BOT):
            report = reports.get(target.name)
            if report is None or report.health.holds is None:
                continue
            async with self._locks[target.name]:
                # What was asked before a lift has not seen it.
                if report.asked_at > self._lifted_at.get(target.name, -math.inf):
                    await self._enforce_one(target, report.health, report.health.holds)

    async def settle_journal(self) -> None:
        """Bring what the database does not know into it, then forget it in the journal."""
        settled = set()
        for hold in tuple(self._unsettled.values()):
            settling = partial(_settle, hold=hold, now=clock.now())
            try:
                changed = await self._within(self._writer.run(settling))
            except (StoreError, TimeoutError) as error:
                log.warning("hold_not_settled", hold=hold.id, error=str(error) or "too slow")
                break
            settled.add(hold.id)
            if self._unsettled.get(hold.id) == hold:
                del self._unsettled[hold.id]
                if changed:
                    self._standing[hold.id] = hold
        if settled:
            await self._forget(settled)

    def _take_up_journal(self) -> None:
        try:
            entries = self._journal.entries()
        except OSError as error:
            raise StoreError(f"the journal of holds cannot be read: {error}") from error
        for entry in entries:
            try:
                hold = _from_entry(entry)
            except (KeyError, TypeError, ValueError) as error:
                log.error("journal_entry_strange", error=repr(error))  # noqa: TRY400
            else:
                self._unsettled[hold.id] = _stricter(hold, self._unsettled.get(hold.id))

    async def _keep(self, hold: Hold) -> tuple[bool, str]:
        """Store a hold; return whether that was done, and where it is now."""
        try:
            laying = partial(holds.lay, hold=hold, now=clock.now())
            await self._within(self._writer.run(laying))
        except Exception as error:  # noqa: BLE001 - whatever the database has, a halt must not care
            why = str(error) or "too slow"
            log.error("hold_not_in_database", hold=hold.id, error=why)  # noqa: TRY400
        else:
            if self._unsettled.get(hold.id) == hold:
                del self._unsettled[hold.id]
                self._standing[hold.id] = hold
            return True, "stored in the database"
        try:
            await self._on_disk(partial(self._journal.append, _as_entry(hold)))
        except (OSError, TimeoutError, RuntimeError) as error:
            why = str(error) or "too slow"
            log.error("hold_not_in_journal", hold=hold.id, error=why)  # noqa: TRY400
            return False, "NOT STORED: neither the database nor the disk took it"
        return True, "the database did not answer: kept in the journal until it does"

    async def _send(self, target: Target, hold: Hold) -> tuple[bool, str]:
        """Tell the bot; return whether it is in force there, and what was said."""
        try:
            result = await self._command(
                target,
                COMMANDS[hold.state],
                {"owner": hold.owner, "reason": hold.reason, "id": hold.id},
                # A new id each time: an answer kept from before a state file was lost, or from
                # before a lift, would say that it is in force when it is not.
                attempt_id=f"hold:{hold.id[:80]}:{uuid.uuid4().hex[:12]}",
            )
        except TradingOpsError as error:
            return False, f"{target.name} has not acknowledged it: {error}"
        except Exception as error:  # a defect here must not keep the hold from being stored
            log.exception("hold_not_sent", hold=hold.id)
            return False, f"{target.name} was not told: {error}"
        if not result.succeeded:
            # It may be in force and only not stored there: the next report of the bot tells.
            return False, f"{target.name} says: {result.detail}"
        await self._note_acknowledged(target, hold, result.detail)
        return True, f"{target.name} has acknowledged it: {result.detail}"

    async def _command(
        self, target: Target, name: str, params: Mapping[str, str], *, attempt_id: str
    ) -> CommandResult:
        """Send a command, and again when it failed at once.

        A connection that was kept open since the bot's former life is only then found closed.

        Raises:
            ClientError: it was not done, as far as anybody knows.
        """
        began = clock.monotonic()
        send = partial(
            self._directory.bot(target).command,
            name,
            params,
            attempt_id=attempt_id,
            fence=self.fence(target),
            within=COMMAND_WITHIN,
        )
        try:
            return await send()
        except Unreachable:
            if clock.monotonic() - began > AT_ONCE_SECONDS:
                raise
            return await send()

    async def _note_acknowledged(self, target: Target, hold: Hold, text: str) -> None:
        self._acknowledged.add(hold.id)
        if hold.id in self._noted:
            return
        noting = partial(
            holds.note,
            hold_id=hold.id,
            target=target.name,
            kind="hold_acknowledged",
            actor=target.name,
            text=text,
            now=clock.now(),
        )
        try:
            await self._within(self._writer.run(noting))
        except Exception as error:  # noqa: BLE001 - it is in force, whatever the database has
            log.warning("acknowledgement_not_stored", hold=hold.id, error=str(error) or "too slow")
        else:
            self._noted.add(hold.id)

    async def _settle_or_refuse(
        self, target: Target, ids: frozenset[str] | None, owner: str, reason: str
    ) -> None:
        """Prove that the database stores before anything is lifted.

        Raises:
            StoreError: it does not.
        """
        named = "all" if ids is None else ", ".join(sorted(ids))
        asking = partial(
            holds.note,
            hold_id=named,
            target=target.name,
            kind="hold_lift_asked",
            actor=owner,
            text=reason,
            now=clock.now(),
        )
        try:
            await self._within(self._writer.run(asking))
        except (StoreError, TimeoutError) as error:
            raise StoreError(
                f"nothing was lifted on {target.name}: the database cannot store it "
                f"({str(error) or 'no answer'}). Fix: bring the database back, then try again"
            ) from error
        await self.settle_journal()
        await self._refresh()

    async def _resume(
        self, target: Target, ids: frozenset[str] | None, owner: str, reason: str
    ) -> None:
        """Have the bot lift them.

        Raises:
            ClientError: it did not.
        """
        named = "all" if ids is None else ",".join(sorted(ids))
        try:
            result = await self._command(
                target,
                "resume",
                {"owner": owner, "reason": reason, "holds": named},
                attempt_id=f"lift:{uuid.uuid4()}",
            )
        except Unreachable as error:
            raise Unreachable(
                f"{target.name} did not answer, so its holds stand as far as anybody knows "
                f"({error}). Fix: see that it runs, then try again"
            ) from error
        if not result.succeeded:
            raise Refused(f"{target.name} lifted nothing: {result.detail}")

    async def _refresh(self) -> None:
        """Read what stands; while the database is away, what was known last counts."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._reader.read(_read))
        # Never two of them: a database that hangs must not take up every thread there is.
        await asyncio.wait({self._reading}, timeout=STORE_SECONDS)
        if not self._reading.done():
            log.warning("holds_not_read", error="too slow")
            return
        reading, self._reading = self._reading, None
        try:
            stored, self._fences = reading.result()
        except StoreError as error:
            log.warning("holds_not_read", error=str(error))
            return
        self._standing = {hold.id: hold for hold in stored}
        known = self._standing.keys() | self._unsettled.keys()
        self._acknowledged &= known
        self._noted &= known

    async def _ask_all(self) -> dict[str, Report]:
        reports = {}

        async def ask(target: Target) -> None:
            asked_at = clock.monotonic()
            with contextlib.suppress(ClientError):
                health = await self._directory.bot(target).health()
                reports[target.name] = Report(asked_at=asked_at, health=health)

        await asyncio.gather(*(ask(target) for target in self._registry.of_kind(Kind.BOT)))
        return reports

    async def _enforce_one(
        self, target: Target, report: BotHealth, reported: Iterable[ReportedHold]
    ) -> None:
        there = {hold.id: hold for hold in reported}
        lifts = {lift.id: lift for lift in report.lifted}
        for hold in self.standing:
            if hold.target != target.name:
                continue
            found, lift = there.get(hold.id), lifts.get(hold.id)
            if found is not None and _severity(found) >= hold.state.severity:
                await self._note_acknowledged(target, hold, f"{target.name} reports it")
            elif found is None and lift is not None and _moment(lift.lifted_at) > hold.at:
                await self._learn_lift(hold, lift.lifted_by, lift.lifted_for)
            else:
                done, said = await self._send(target, hold)
                log.warning("hold_enforced", hold=hold.id, acknowledged=done, said=said)
        known = {hold.id for hold in self.standing}
        for found in there.values():
            if found.id not in known and _severity(found) >= 0:
                await self._adopt(target, found)

    async def _learn_lift(self, hold: Hold, owner: str, reason: str) -> None:
        lifting = partial(
            holds.lift,
            ids=(hold.id,),
            owner=_clean(owner),
            reason=f"at the bot itself: {_clean(reason)}",
            now=clock.now(),
        )
        await self.settle_journal()
        try:
            await self._within(self._writer.run(lifting))
        except (StoreError, TimeoutError) as error:
            log.warning("lift_not_stored", hold=hold.id, error=str(error) or "too slow")
            return
        self._drop(hold.id)

    async def _adopt(self, target: Target, found: ReportedHold) -> None:
        """Keep a hold that was laid at the bot itself, so that it outlives the bot's own file."""
        hold = Hold(
            id=found.id,
            target=target.name,
            state=HeldState(found.state),
            owner=_clean(found.owner),
            reason=_clean(found.reason),
            at=_moment(found.at),
        )
        if (hold.id, hold.at) in self._old:
            return
        laying = partial(holds.lay, hold=hold, now=clock.now(), kind="hold_adopted")
        try:
            if not await self._within(self._writer.run(laying)):
                # Lifted here after it was laid there: the bot stays as careful as it is, and a
                # person may say so again.
                self._old.add((hold.id, hold.at))
                log.warning("hold_not_adopted", hold=hold.id, target=target.name, owner=hold.owner)
            else:
                log.warning("hold_adopted", hold=hold.id, target=target.name, owner=hold.owner)
        except (StoreError, TimeoutError) as error:
            log.warning("hold_not_adopted", hold=hold.id, error=str(error) or "too slow")

    async def _forget(self, ids: set[str]) -> None:
        gone = ids - self._unsettled.keys()
        try:
            await self._on_disk(partial(self._journal.forget, gone))
        except (OSError, TimeoutError, RuntimeError) as error:  # settling again does no harm
            log.warning("journal_not_shortened", error=str(error) or "too slow")

    def _drop(self, hold_id: str) -> None:
        self._standing.pop(hold_id, None)
        self._unsettled.pop(hold_id, None)
        self._acknowledged.discard(hold_id)

    async def _on_disk(self, work: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        await self._within(loop.run_in_executor(self._thread, work))

    @staticmethod
    async def _within(work: Awaitable[T]) -> T:
        async with asyncio.timeout(STORE_SECONDS):
            return await work


def _read(connection: Connection) -> tuple[list[Hold], Mapping[str, int]]:
    return holds.standing(connection), holds.fences_seen(connection)


def _settle(connection: Connection, hold: Hold, now: datetime) -> bool:
    changed = holds.lay(connection, hold, now=now)
    holds.note(
        connection,
        hold_id=hold.id,
        target=hold.target,
        kind="hold_settled",
        actor=MACHINE,
        text="from the journal" if changed else "from the journal; it was known already",
        now=now,
    )
    return changed


def _stricter(hold: Hold, other: Hold | None) -> Hold:
    if other is None or hold.state.severity >= other.state.severity:
        return hold
    return replace(hold, state=other.state)


def _severity(found: ReportedHold) -> int:
    """Return how strict a reported hold is; below zero: in a way that nobody here knows."""
    try:
        return HeldState(found.state).severity
    except ValueError:
        return -1


def _as_entry(hold: Hold) -> dict[str, str]:
    return {
        "id": hold.id,
        "target": hold.target,
        "state": hold.state.value,
        "owner": hold.owner,
        "reason": hold.reason,
        "at": hold.at.isoformat(),
    }


def _from_entry(entry: Mapping[str, Any]) -> Hold:
    at = datetime.fromisoformat(entry["at"])
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    texts = {word: str(entry[word]) for word in ("id", "target", "owner", "reason")}
    return Hold(**texts, state=HeldState(entry["state"]), at=at)


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, tz=UTC)


def _clean(text: str) -> str:
    """Return a text that every database and the agent take: no NUL, no half characters, not empty.

    Whatever it was, it must not keep a halt from being laid.
    """
    whole = text.replace("\0", "").encode("utf-8", "replace").decode()
    return whole[:LONGEST_TEXT] or "not said"
