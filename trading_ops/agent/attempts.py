"""Runs each attempt once, even if it is requested several times."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from trading_ops import clock
from trading_ops.agent.commands import BadRequest, Command, CommandFailed, CommandRequest, Done, run
from trading_ops.agent.disk import DiskThread
from trading_ops.agent.fence import FenceKeeper
from trading_ops.redaction import redact

ADMIT_SECONDS = 5.0
"""Timeout for storing a fence: the sender of a command does not expect a later start."""

SAFE_STORE_SECONDS = 0.5
"""How long the answer to a halt waits for its fence to be stored; the halt itself never waits."""

_logger = logging.getLogger(__name__)

current_attempt: ContextVar[str | None] = ContextVar("current_attempt", default=None)
"""The id of the attempt that is being carried out, in the agent's loop and in the bot's."""


class Attempts:
    """Runs commands, remembers the answers, and refuses outdated senders.

    Used in the agent's loop, which never waits for a disk.
    """

    def __init__(
        self,
        target: str,
        keeper: FenceKeeper,
        disk: DiskThread,
        bot_loop: asyncio.AbstractEventLoop,
        *,
        admit_seconds: float = ADMIT_SECONDS,
    ) -> None:
        self._target = target
        self._keeper = keeper
        self._disk = disk
        self._admit_seconds = admit_seconds
        self._bot_loop = bot_loop
        self._running: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def perform(self, name: str, command: Command, request: CommandRequest) -> dict[str, Any]:
        """Return the answer to an attempt, carrying it out when it is new.

        Raises:
            StaleFence: a higher fence was seen; nothing was done. Never in the safe direction.
            BadRequest: the attempt id was used for another command.
            OSError: the fence could not be stored; nothing was done.
        """
        if (known := self._keeper.answer(request.attempt_id)) is not None:
            return self._repeat(known, name)
        if (running := self._running.get(request.attempt_id)) is not None:
            # The sender timed out and repeats the request while the first one still runs.
            return self._repeat(await asyncio.shield(running), name)
        if not command.repeatable and self._keeper.begun(request.attempt_id) is not None:
            return self._interrupted(request.attempt_id)
        # No await between the first check and the entry in `_running`, and the answer is stored
        # before the task ends: a second request finds the attempt running or answered.
        task = asyncio.create_task(self._carry_out(name, command, request))
        self._running[request.attempt_id] = task
        task.add_done_callback(lambda _: self._running.pop(request.attempt_id, None))
        answer = await asyncio.shield(task)
        return answer | {"repeated": False}

    def answer_to(self, attempt_id: str) -> dict[str, Any] | None:
        """Return the answer to an attempt, or that it is running; None if it was not admitted.

        Call this after raising the fence, which neither stops nor awaits an admitted attempt: only
        None means that nothing was done and nothing fenced will be. An attempt that an earlier
        process started and did not finish has the outcome `unknown`.
        """
        if (answer := self._keeper.answer(attempt_id)) is not None:
            return answer | {"repeated": True}
        if attempt_id in self._running:
            return {"attempt_id": attempt_id, "outcome": "running"}
        if self._keeper.begun(attempt_id) is not None:
            return self._interrupted(attempt_id)
        return None

    async def _carry_out(
        self, name: str, command: Command, request: CommandRequest
    ) -> dict[str, Any]:
        current_attempt.set(request.attempt_id)  # in this task and the tasks that it starts
        if command.safe_direction:
            # A safe command is accepted from any sender, even an outdated one, and does not wait
            # for a disk: halting twice is harmless, not halting may not be.
            answer = await self._run(name, command, request)
            self._keeper.remember(request.attempt_id, answer)
            with contextlib.suppress(OSError):
                await self._disk.within(SAFE_STORE_SECONDS, partial(self._store_safe, request))
            return answer
        await self._admit(name, request)
        answer = await self._run(name, command, request)
        with contextlib.suppress(OSError):
            await self._disk.run(partial(self._keeper.record, request.attempt_id, answer))
        return answer

    async def _admit(self, name: str, request: CommandRequest) -> None:
        """Store the fence and the start of the attempt.

        Raises:
            StaleFence: a higher fence was seen.
            OSError: it was not stored in time.
        """
        mark = {"command": name, "started_at": clock.timestamp()}
        admit = partial(
            self._keeper.admit,
            self._target,
            request.fence,
            attempt_id=request.attempt_id,
            mark=mark,
        )
        admitting = self._disk.begin(admit)
        await asyncio.wait({admitting}, timeout=self._admit_seconds)
        if admitting.done():
            return admitting.result()
        # If the disk stores it later, this answer records that it had no effect.
        detail = f"nothing was done: the disk did not store it within {self._admit_seconds:g} s"
        answer = {"attempt_id": request.attempt_id, "command": name, "outcome": "failed"}
        self._keeper.remember(request.attempt_id, answer | {"detail": detail})
        admitting.cancel()
        raise OSError(detail)

    def _store_safe(self, request: CommandRequest) -> None:
        self._keeper.raise_to(self._target, request.fence)
        self._keeper.store()

    async def _run(self, name: str, command: Command, request: CommandRequest) -> dict[str, Any]:
        started_at = clock.timestamp()
        facts: Mapping[str, Any] = {}
        try:
            detail = await run(command, request.params, self._bot_loop)
            outcome = "succeeded"
            if isinstance(detail, Done):
                facts = detail.facts
        except CommandFailed as error:
            outcome, detail = "failed", str(error)
        except Exception as error:  # every attempt needs an answer
            _logger.exception("command_failed command=%s", name)
            outcome, detail = "failed", f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            # The bot's loop was closed during the command; the agent's own task still answers.
            outcome, detail = "failed", "cancelled: the bot is stopping"
        answer = {
            **facts,
            "attempt_id": request.attempt_id,
            "command": name,
            "outcome": outcome,
            "detail": redact(detail),
            "started_at": started_at,
            "ended_at": clock.timestamp(),
        }
        _logger.info("command_ended command=%s outcome=%s detail=%s", name, outcome, detail)
        return answer

    def _interrupted(self, attempt_id: str) -> dict[str, Any]:
        """Return the answer for an attempt that an earlier process did not finish."""
        mark = self._keeper.begun(attempt_id) or {}
        detail = "the process that started it has ended; its outcome is unknown"
        answer = {"attempt_id": attempt_id, "outcome": "unknown", "detail": detail}
        return mark | answer | {"repeated": True}

    @staticmethod
    def _repeat(answer: dict[str, Any], name: str) -> dict[str, Any]:
        if answer.get("command") != name:
            raise BadRequest(f"attempt_id was used for the command {answer.get('command')}")
        return answer | {"repeated": True}
