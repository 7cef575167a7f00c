"""Sends holds to the bots' agents, and tracks their acknowledgements."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from trading_ops import clock, logs
from trading_ops.clients.agent import CommandAnswer, ReportedHold
from trading_ops.clients.directory import Directory
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.domain.target import Kind, Target
from trading_ops.errors import FencedOff, Refused, TradingOpsError, Unreachable
from trading_ops.holds.memory import HoldMemory
from trading_ops.store import holds

log = logs.get(__name__)

COMMAND_WITHIN = timedelta(seconds=2)
AT_ONCE_SECONDS = 0.5
COMMANDS = {HeldState.HALTED: "halt", HeldState.REDUCING: "reduce"}


class HoldSender:
    """Sends holds to agents."""

    def __init__(self, directory: Directory, memory: HoldMemory) -> None:
        self.directory = directory
        self._memory = memory
        self._acknowledged: set[str] = set()
        self._noted: set[str] = set()
        """Acknowledged, and stored as such."""

    def is_acknowledged(self, hold_id: str) -> bool:
        """Whether the bot has acknowledged a hold to this process."""
        return hold_id in self._acknowledged

    def forget(self, hold_id: str) -> None:
        """Forget a released hold: a later one with the same id is a new one."""
        self._acknowledged.discard(hold_id)
        self._noted.discard(hold_id)

    def keep_only(self, ids: set[str]) -> None:
        """Forget all other holds."""
        self._acknowledged &= ids
        self._noted &= ids

    async def send(self, target: Target, hold: Hold) -> tuple[bool, str]:
        """Send a hold; return whether the bot acknowledged it, and its answer. Never raises."""
        try:
            result = await self._command(
                target,
                COMMANDS[hold.state],
                {"owner": hold.owner, "reason": hold.reason, "id": hold.id},
                # A new id each time: a stored answer from before a lost state file or a release
                # would wrongly acknowledge it.
                attempt_id=f"hold:{hold.id[:80]}:{uuid.uuid4().hex[:12]}",
            )
        except TradingOpsError as error:
            return False, f"Hold not acknowledged by {target.name}: {error}"
        except Exception as error:  # a bug here must not prevent storing the hold
            log.exception("hold_not_sent", hold=hold.id)
            return False, f"Hold not sent to {target.name}: {error}"
        if not result.succeeded:
            # It may be in force without being stored there: the bot's next report shows it.
            return False, f"Hold refused by {target.name}: {result.detail}"
        if not await self._is_reported(target, hold):
            return False, f"Hold acknowledged by {target.name}, but its health does not show it"
        await self.note_acknowledged(hold, result.detail)
        return True, f"Hold acknowledged by {target.name}: {result.detail}"

    async def _is_reported(self, target: Target, hold: Hold) -> bool:
        """Whether the bot reports the hold now; for a Freqtrade, the command checked it."""
        if target.kind is not Kind.BOT:
            return True
        try:
            there = (await self.directory.bot(target).health()).holds
        except TradingOpsError as error:
            log.warning("hold_not_seen", hold=hold.id, error=str(error))
            return False
        strict = {state.value for state in HeldState if state.severity >= hold.state.severity}
        return there is None or any(
            known.id == hold.id and known.state in strict for known in there
        )

    async def confirm(self, target: Target, incarnation: str) -> None:
        """Confirm to a process that its reported holds are complete. Never raises."""
        try:
            answer = await self._command(
                target,
                "confirm_holds",
                {"incarnation": incarnation},
                attempt_id=f"confirm:{uuid.uuid4()}",
            )
        except TradingOpsError as error:
            log.warning("holds_not_confirmed", target=target.name, error=str(error))
            return
        log.info("holds_confirmed", target=target.name, detail=answer.detail)

    async def suspend_parts(self, target: Target, seconds: int) -> str:
        """Suspend the parts of a bot that can wait, for that long; return its answer.

        Raises:
            ClientError: it failed, or the bot has no such parts.
        """
        answer = await self._command(
            target,
            "suspend_parts",
            {"seconds": str(seconds)},
            attempt_id=f"suspend:{uuid.uuid4()}",
        )
        return answer.detail

    async def resume(
        self, target: Target, ids: frozenset[str] | None, owner: str, reason: str
    ) -> list[ReportedHold]:
        """Release holds at the bot, None for all; return those that it released.

        If the agent does not list them, only those known here count as released.

        Raises:
            ClientError: it failed, or the outcome is unknown.
        """
        named = "all" if ids is None else ",".join(sorted(ids))
        try:
            result = await self._command(
                target,
                "resume",
                {"owner": owner, "reason": reason, "holds": named},
                attempt_id=f"release:{uuid.uuid4()}",
            )
        except Unreachable as error:
            raise Unreachable(
                f"{target.name} did not answer, so its holds stay in force "
                f"({error}). Fix: make sure that it runs, then retry"
            ) from error
        if not result.succeeded:
            raise Refused(f"{target.name} released no holds: {result.detail}")
        return result.released or []

    async def note_acknowledged(self, hold: Hold, text: str) -> None:
        """Record that a hold is in force, once for all replicas and restarts of ours."""
        self._acknowledged.add(hold.id)
        if hold.id in self._noted:
            return
        noting = partial(holds.note_acknowledged, hold=hold, text=text, now=clock.now())
        try:
            await self._memory.write(noting)
        except Exception as error:  # noqa: BLE001 - it is in force even if the database fails
            log.warning("acknowledgement_not_stored", hold=hold.id, error=str(error))
        else:
            self._noted.add(hold.id)

    async def _command(
        self, target: Target, name: str, params: Mapping[str, str], *, attempt_id: str
    ) -> CommandAnswer:
        """Send a command with the newest fence known here, or the agent's if that is higher.

        Fences order remediation attempts. Holds do not depend on them: they come from operators or
        the database. So a higher fence at the agent, even one that an attacker sent with the bot's
        token, does not block them.

        Raises:
            ClientError: it failed, or the outcome is unknown.
        """
        fence = self._memory.fence(target.name)
        try:
            return await self._send(target, name, params, attempt_id=attempt_id, fence=fence)
        except FencedOff as error:
            log.warning("agent_fence_adopted", target=target.name, ours=fence, its=error.highest)
            highest = error.highest
        return await self._send(target, name, params, attempt_id=attempt_id, fence=highest)

    async def _send(
        self, target: Target, name: str, params: Mapping[str, str], *, attempt_id: str, fence: int
    ) -> CommandAnswer:
        """Send a command; retry if it fails immediately.

        A keep-alive connection to the bot's previous process fails only when it is used.

        Raises:
            ClientError: it failed, or the outcome is unknown.
        """
        began = clock.monotonic()
        send = partial(
            self.directory.bot(target).command,
            name,
            params,
            attempt_id=attempt_id,
            fence=fence,
            within=COMMAND_WITHIN,
        )
        try:
            return await send()
        except Unreachable:
            if clock.monotonic() - began > AT_ONCE_SECONDS:
                raise
            return await send()
